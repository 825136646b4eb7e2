//! The agent's own HTTP API: Mesos' read-only paths, their `/slave(1)` prefix and `.json` ends.

mod containers;
#[cfg(test)]
mod doors;
mod executor;
mod files;
mod insiders;
mod metrics;
mod operator;
mod state;
mod strangers;

use strangers::Strangers;

pub(crate) use state::executor_name;

use std::collections::HashSet;
use std::sync::Arc;

use chapada_agent_core::View;
use chapada_coordination::MasterAddress;
use chapada_listener::{
    Action, Call, ContentRule, HttpResponse, Logging, RouteEntry, Routes, empty, json, text,
};
use chapada_model::{Resources, Wall};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::AgentConfig;
use crate::containers::Means;
use crate::files::Files;
use crate::history::{History, Past};
use crate::link::Presentation;
use crate::metrics::Counters;
use crate::shell::Input;

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) files: Files,
    pub(crate) means: Arc<Means>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) history: Arc<History>,
    pub(crate) logging: Logging,
    pub(crate) who: Arc<Presentation>,
    pub(crate) resources: Resources,
    pub(crate) config: AgentConfig,
    pub(crate) clock: Clock,
    pub(crate) started: Wall,
    /// What goes on beside the answers.
    pub(crate) tasks: TaskTracker,
}

/// Declares a GET under each of the paths it is known by.
macro_rules! aliases {
    ($routes:expr, $api:expr, $path:literal, $action:expr, $handler:path) => {{
        let mut routes = $routes;
        for pattern in [
            $path,
            concat!($path, ".json"),
            concat!("/slave(1)", $path),
            concat!("/slave(1)", $path, ".json"),
        ] {
            let api = $api.clone();
            routes = routes.get(pattern, $action, move |call: Call| $handler(api.clone(), call));
        }
        routes
    }};
}

/// Every route of the agent.
pub(crate) fn routes(api: Arc<Api>) -> Routes {
    let routes = api.logging.routes_behind(Routes::new(), |call| async move {
        match insiders::refuse(&call, Action::OperateCluster).await {
            Ok(()) => Ok(call),
            Err(refusal) => Err(*refusal),
        }
    });
    let routes = aliases!(routes, api, "/health", Action::ViewHealth, health);
    let routes = aliases!(routes, api, "/version", Action::ViewHealth, version);
    let routes = aliases!(routes, api, "/flags", Action::ViewFlags, flags);
    let routes = aliases!(routes, api, "/state", Action::ViewCluster, state::state);
    let routes = aliases!(routes, api, "/containers", Action::ViewCluster, containers::containers);
    let routes = aliases!(routes, api, "/monitor/statistics", Action::ViewCluster, containers::statistics);
    let routes = aliases!(routes, api, "/metrics/snapshot", Action::ViewMetrics, metrics::snapshot);
    let routes = aliases!(routes, api, "/files/browse", Action::AccessSandbox, files::browse);
    let routes = aliases!(routes, api, "/files/read", Action::AccessSandbox, files::read);
    let routes = aliases!(routes, api, "/files/download", Action::AccessSandbox, files::download);
    let routes = aliases!(routes, api, "/files/follow", Action::AccessSandbox, files::follow);
    let routes = of_executors(routes, &api);
    let routes = ["/api/v1", "/slave(1)/api/v1"].into_iter().fold(routes, |routes, pattern| {
        // What a call does is known when it is read, and is asked again then.
        let (action, content) = (Action::ViewHealth, ContentRule::Handler);
        let api = api.clone();
        let entry = RouteEntry { method: None, pattern, action, content };
        routes.add(entry, move |call: Call| operator::handle(api.clone(), call))
    });
    routes.get("/metrics", Action::ViewMetrics, move |call| metrics::prometheus(api.clone(), call))
}

/// The routes of executors, which is all that there is at their socket.
pub(crate) fn of_executors(routes: Routes, api: &Arc<Api>) -> Routes {
    executor_routes(routes, api, executor::handle)
}

/// The routes of those who speak no TLS at a port that does: executors have no certificate, and most speak plain HTTP only.
pub(crate) fn of_plain_callers(api: &Arc<Api>) -> Routes {
    let strangers = Arc::new(Strangers::new(api.means.tokens.clone()));
    executor_routes(Routes::new(), api, move |api, call| {
        let strangers = strangers.clone();
        async move {
            match strangers.refuse(&call).await {
                Ok(()) => executor::handle(api, call).await,
                Err(refusal) => *refusal,
            }
        }
    })
}

fn executor_routes<H, F>(routes: Routes, api: &Arc<Api>, handle: H) -> Routes
where
    H: Fn(Arc<Api>, Call) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = HttpResponse> + Send + 'static,
{
    ["/api/v1/executor", "/slave(1)/api/v1/executor"].into_iter().fold(routes, |routes, pattern| {
        let (action, content) = (Action::ActAsExecutor, ContentRule::Handler);
        let (api, handle) = (api.clone(), handle.clone());
        let entry = RouteEntry { method: None, pattern, action, content };
        routes.add(entry, move |call: Call| handle(api.clone(), call))
    })
}

impl Api {
    /// What the agent holds now; a 503 when it is stopping.
    async fn view(&self) -> Result<View, HttpResponse> {
        let (reply, answer) = oneshot::channel();
        let stopping = || text(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping");
        self.inputs.send(Input::View(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }

    /// What is over, without what the view shows as well because it ended in this moment.
    fn past(&self, view: &View) -> Vec<Past> {
        let shown: HashSet<_> = view.tasks.iter().map(|task| &task.record.key).collect();
        let mut past = self.history.past();
        past.iter_mut().for_each(|past| past.retain(|task| !shown.contains(&task.record.key)));
        past
    }
}

async fn health(_: Arc<Api>, _: Call) -> HttpResponse {
    empty(StatusCode::OK)
}

async fn version(_: Arc<Api>, _: Call) -> HttpResponse {
    json(StatusCode::OK, &json!({ "version": env!("CARGO_PKG_VERSION") }))
}

async fn flags(api: Arc<Api>, _: Call) -> HttpResponse {
    json(StatusCode::OK, &json!({ "flags": flags_of(&api.config) }))
}

/// Flags as Mesos shows them: names with underscores, values as text.
fn flags_of(config: &AgentConfig) -> Value {
    let Ok(Value::Object(flags)) = serde_json::to_value(config) else { return Value::Null };
    let shown = flags.into_iter().filter(|(_, value)| !value.is_null());
    let shown = shown.map(|(name, value)| {
        let text = match value {
            // A zk:// address may hold a password.
            Value::String(text) if name == "master" => {
                text.parse::<MasterAddress>().map(|address| address.to_string()).unwrap_or_default()
            }
            Value::String(text) => text,
            other => other.to_string(),
        };
        (name.replace('-', "_"), Value::String(text))
    });
    Value::Object(shown.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_show_no_password() {
        let config = AgentConfig { master: "zk://me:secret@h/x".to_owned(), ..AgentConfig::default() };
        let flags = flags_of(&config);
        assert_eq!(flags["master"], "zk://h:2181/x");
        assert_eq!(flags["work_dir"], "/var/lib/chapada/agent");
    }
}
