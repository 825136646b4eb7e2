//! `/v2/tasks`, and killing tasks.

use std::ops::Bound;
use std::sync::Arc;

use chapada_listener::{Call, HttpResponse, Query, bytes};
use chapada_model::TaskState;
use chapada_services_core::{AppId, AppState, Command, InstanceId, Reply, Task, Which};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Answer, error, ok, unavailable};
use super::pages::{self, Turn};
use super::{Api, apps, params, walk};
use crate::render;
use crate::seen::Seen;

pub(crate) async fn list(api: Arc<Api>, call: Call) -> Answer {
    if wants_text(call.header("accept")) {
        let query = call.query();
        let networks = query.all("containerNetworks").flat_map(|names| names.split(','));
        let networks: Vec<String> = networks.map(|name| name.trim().to_owned()).collect();
        let text = move |state: &AppState| {
            let is_app = !state.deleting && !state.app.is_pod();
            is_app.then(|| render::tasks::Text::of(state, &networks))
        };
        let text = walk::all(&api.services, text).await.map_err(unavailable)?.concat();
        return Ok(bytes(StatusCode::OK, "text/plain; charset=utf-8", text));
    }
    let query = call.query();
    let wanted: Vec<String> =
        query.all("status").chain(query.all("status[]")).map(str::to_lowercase).collect();
    let readiness = query.all("embed").any(|wanted| matches!(wanted, "readiness" | "tasks.readiness"));
    let after = match query.get("after").filter(|after| !after.is_empty()) {
        None => None,
        Some(after) => {
            let id = InstanceId::of_task(after);
            Some(Place::After(id.ok_or_else(|| answer::invalid("/after", "must be the id of a task"))?))
        }
    };
    let limit = pages::limit(&query)?;
    let turn = move |seen: &Seen<'_>, from: Option<Place>, most: usize| {
        let mut turn = Turn { items: Vec::new(), next: None };
        let (from, after) = match &from {
            None => (Bound::Unbounded, None),
            Some(Place::App(app)) => (Bound::Excluded(app), None),
            Some(Place::After(id)) => (Bound::Included(id.app()), Some(id)),
        };
        let mut looked = 0;
        for state in seen.apps_from(from) {
            let after = after.filter(|id| *id.app() == state.app.definition.id).map(InstanceId::uuid);
            for instance in state.instances.after(after).take_while(|_| seen.may_see(state)) {
                if let Some(task) = instance.task().filter(|task| has_status(task, &wanted)) {
                    let mut json = render::tasks::task(&state.app, task);
                    if readiness {
                        json["ready"] = json!(task.ready);
                    }
                    turn.items.push(json);
                }
                looked += 1;
                if turn.items.len() == most || looked >= TASKS_AT_ONCE {
                    turn.next = Some(Place::After(instance.id.clone()));
                    return turn;
                }
            }
            looked += 1;
            if looked >= TASKS_AT_ONCE {
                turn.next = Some(Place::App(state.app.definition.id.clone()));
                return turn;
            }
        }
        turn
    };
    pages::list(&api.services, "tasks", limit, after, turn).await
}

/// How many apps and instances are looked at in one turn.
const TASKS_AT_ONCE: usize = 256;

/// Where a list of tasks goes on.
enum Place {
    /// With the app after this one.
    App(AppId),
    /// With the instance after this one.
    After(InstanceId),
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
    let mut known =
        wanted.iter().filter(|wanted| matches!(wanted.as_str(), "running" | "staging")).peekable();
    // Marathon passes over what is no status.
    known.peek().is_none() || known.any(|wanted| wanted == status)
}

#[derive(Deserialize)]
struct Ids {
    ids: Vec<String>,
}

pub(crate) async fn delete(api: Arc<Api>, call: Call) -> Answer {
    let Ids { ids } = api.bodies.read(&call).await?;
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
            let mut list = shown(api, killed).await?;
            match name {
                "task" => ok(&json!({"task": list.pop()})),
                _ => ok(&json!({"tasks": list})),
            }
        }
        reply => Ok(answer::reply(reply)),
    }
}

/// Tasks as they were, each as far as its app is still there.
async fn shown(api: &Api, tasks: Vec<(AppId, Task)>) -> Result<Vec<Value>, HttpResponse> {
    let (mut shown, mut left) = (Vec::with_capacity(tasks.len()), tasks.into_iter());
    while left.len() > 0 {
        let part: Vec<(AppId, Task)> = left.by_ref().take(TASKS_AT_ONCE).collect();
        let read = move |services: &Seen, _| {
            let render = |(app, task): &(AppId, Task)| {
                services.app(app).map(|state| render::tasks::task(&state.app, task))
            };
            part.iter().filter_map(render).collect::<Vec<Value>>()
        };
        shown.extend(api.services.read(read).await.map_err(unavailable)?);
    }
    Ok(shown)
}
