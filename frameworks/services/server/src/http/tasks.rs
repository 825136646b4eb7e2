//! `/v2/tasks`, and killing tasks.

use std::sync::Arc;

use chapada_listener::{Call, Query, bytes};
use chapada_model::TaskState;
use chapada_services_core::{AppState, Command, Reply, Task, Which};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Answer, error, ok, unavailable};
use super::{Api, apps, params};
use crate::render;
use crate::seen::Seen;

pub(crate) async fn list(api: Arc<Api>, call: Call) -> Answer {
    if wants_text(call.header("accept")) {
        let read = |services: &Seen, _| services.apps().map(render::tasks::as_text).collect::<String>();
        let text = api.services.read(read).await.map_err(unavailable)?;
        return Ok(bytes(StatusCode::OK, "text/plain; charset=utf-8", text));
    }
    let query = call.query();
    let wanted: Vec<String> =
        query.all("status").chain(query.all("status[]")).map(str::to_lowercase).collect();
    let readiness = query.all("embed").any(|wanted| matches!(wanted, "readiness" | "tasks.readiness"));
    let tasks = api.services.read(move |services, _| {
        let of_app = |state: &AppState| -> Vec<Value> {
            let tasks = state.tasks().filter(|task| has_status(task, &wanted));
            let rendered = |task: &Task| {
                let mut json = render::tasks::task(&state.app, task);
                if readiness {
                    json["ready"] = json!(task.ready);
                }
                json
            };
            tasks.map(rendered).collect()
        };
        services.apps().flat_map(of_app).collect::<Vec<Value>>()
    });
    ok(&json!({"tasks": tasks.await.map_err(unavailable)?}))
}

/// Whether plain text is preferred to JSON.
fn wants_text(accept: Option<&str>) -> bool {
    accept.is_some_and(|accept| accept.trim_start().starts_with("text/plain"))
}

fn has_status(task: &Task, wanted: &[String]) -> bool {
    let status = match render::tasks::shown_state(task) {
        TaskState::Running => "running",
        TaskState::Staging | TaskState::Starting => "staging",
        _ => "",
    };
    wanted.is_empty() || wanted.iter().any(|wanted| wanted == status)
}

#[derive(Deserialize)]
struct Ids {
    ids: Vec<String>,
}

pub(crate) async fn delete(api: Arc<Api>, call: Call) -> Answer {
    let Ids { ids } = answer::body(&call).await?;
    kill(&api, &call.query(), Which::Any(ids), "tasks").await
}

/// Kills tasks; the answer names them under `name`, or the deployment when their app shrinks.
pub(crate) async fn kill(api: &Api, query: &Query, which: Which, name: &str) -> Answer {
    let scale = params::flag(query, "scale", false);
    if scale && params::flag(query, "wipe", false) {
        return Err(error(StatusCode::BAD_REQUEST, "You cannot use scale and wipe at the same time."));
    }
    let force = params::flag(query, "force", false);
    let command = match params::flag(query, "wipe", false) {
        true => Command::Wipe { which },
        false => Command::Kill { which, scale, force },
    };
    match apps::run(api, command).await? {
        Reply::Killed(killed) => {
            let list = api.services.read(move |services, _| {
                let render = |(app, task): &(_, Task)| {
                    services.app(app).map(|state| render::tasks::task(&state.app, task))
                };
                killed.iter().filter_map(render).collect::<Vec<Value>>()
            });
            let mut list = list.await.map_err(unavailable)?;
            match name {
                "task" => ok(&json!({"task": list.pop()})),
                _ => ok(&json!({"tasks": list})),
            }
        }
        reply => Ok(answer::reply(reply)),
    }
}
