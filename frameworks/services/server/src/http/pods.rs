//! `/v2/pods` and everything below.

use std::sync::Arc;

use chapada_listener::{Call, HttpResponse, empty, json as answer_json};
use chapada_services_core::{AppId, AppState, Command, Instance, Reply, Timestamp};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use super::answer::{self, Answer, error, ok, unavailable};
use super::{Api, apps, params, walk, why};
use crate::render;
use crate::render::pods::{Definition, Status};
use crate::seen::Seen;

/// What a path below `/v2/pods/` names. An id that is none is kept as it came: there is no such pod.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    /// All pods.
    Pods,
    /// How all pods are.
    Statuses,
    /// One pod.
    Pod(String),
    /// How it is.
    Status(String),
    /// Why it is not where it should be.
    Why(String),
    /// Its versions.
    Versions(String),
    /// It in one version.
    Version(String, String),
    /// Its instances.
    Instances(String),
    /// One of them.
    Instance(String, String),
}

#[cfg(test)]
impl Target {
    /// Where the OpenAPI document has it.
    fn documented(&self) -> &'static str {
        match self {
            Self::Pods => "/v2/pods",
            Self::Statuses => "/v2/pods/::status",
            Self::Pod(_) => "/v2/pods/{id}",
            Self::Status(_) => "/v2/pods/{id}::status",
            Self::Why(_) => "/v2/pods/{id}::why",
            Self::Versions(_) => "/v2/pods/{id}::versions",
            Self::Version(..) => "/v2/pods/{id}::versions/{version}",
            Self::Instances(_) => "/v2/pods/{id}::instances",
            Self::Instance(..) => "/v2/pods/{id}::instances/{instance}",
        }
    }
}

/// Where the document has what a path below `/v2/pods` means, and all that there is.
#[cfg(test)]
pub(super) fn documented(path: &str) -> (&'static str, Vec<&'static str>) {
    let text = || "x".to_owned();
    let all = [
        Target::Pods,
        Target::Statuses,
        Target::Pod(text()),
        Target::Status(text()),
        Target::Why(text()),
        Target::Versions(text()),
        Target::Version(text(), text()),
        Target::Instances(text()),
        Target::Instance(text(), text()),
    ];
    (target(path).documented(), all.iter().map(Target::documented).collect())
}

/// How many instances are shown in one turn.
const INSTANCES_AT_ONCE: usize = 256;

/// Reads a decoded path; doubled and trailing slashes do not matter.
fn target(path: &str) -> Target {
    let (id, rest) = path.split_once("::").map_or((path, None), |(id, rest)| (id, Some(rest)));
    let segments: Vec<&str> = id.split('/').filter(|segment| !segment.is_empty()).collect();
    let id = format!("/{}", segments.join("/"));
    let rest = rest.map(|rest| rest.trim_matches('/'));
    match (segments.is_empty(), rest.map(|rest| rest.split_once('/').unwrap_or((rest, "")))) {
        (true, None) => Target::Pods,
        (true, Some(("status", ""))) => Target::Statuses,
        (false, None) => Target::Pod(id),
        (false, Some(("status", ""))) => Target::Status(id),
        (false, Some(("why", ""))) => Target::Why(id),
        (false, Some(("versions", ""))) => Target::Versions(id),
        (false, Some(("versions", version))) => Target::Version(id, version.to_owned()),
        (false, Some(("instances", ""))) => Target::Instances(id),
        (false, Some(("instances", instance))) => Target::Instance(id, instance.to_owned()),
        (_, Some((word, _))) => Target::Pod(format!("{id}::{word}")),
    }
}

fn no_pod(id: &str) -> HttpResponse {
    error(StatusCode::NOT_FOUND, format!("Pod '{id}' does not exist"))
}

fn known(id: &str) -> Result<AppId, HttpResponse> {
    id.parse().map_err(|_| no_pod(id))
}

fn wrong_method() -> HttpResponse {
    error(StatusCode::METHOD_NOT_ALLOWED, "this method is not allowed here")
}

/// As a GET, without a body: clients ask whether there are pods at all.
pub(crate) async fn head(api: Arc<Api>, call: Call) -> Answer {
    let status = match get(api, call).await {
        Ok(answer) | Err(answer) => answer.status(),
    };
    Ok(empty(status))
}

pub(crate) async fn get(api: Arc<Api>, call: Call) -> Answer {
    match target(call.param("path")) {
        Target::Pods => {
            let definition = |state: &AppState| {
                let is_pod = state.app.is_pod() && !state.deleting;
                is_pod.then(|| Definition::of(state))
            };
            ok(&json!(walk::all(&api.services, definition).await.map_err(unavailable)?))
        }
        Target::Statuses => {
            let status = |state: &AppState| state.app.is_pod().then(Status::default);
            ok(&json!(walk::all(&api.services, status).await.map_err(unavailable)?))
        }
        Target::Pod(id) => ok(&of_pod(&api, &id, |state| render::apps::definition(&state.app)).await?),
        Target::Status(id) => {
            let pod = known(&id)?;
            let status = |state: &AppState| state.app.is_pod().then(Status::default);
            let status = walk::one(&api.services, pod, status).await.map_err(unavailable)?;
            ok(&status.ok_or_else(|| no_pod(&id))?)
        }
        Target::Why(id) => {
            let pod = known(&id)?;
            why::of(&api, pod, || no_pod(&id)).await
        }
        Target::Versions(id) => {
            let newest_first =
                |state: &AppState| state.versions.keys().rev().copied().collect::<Vec<Timestamp>>();
            ok(&json!(of_pod(&api, &id, newest_first).await?))
        }
        Target::Version(id, version) => {
            let missing =
                || error(StatusCode::NOT_FOUND, format!("Pod '{id}' does not exist in version {version}"));
            let Ok(version) = version.parse::<Timestamp>() else { return Err(missing()) };
            let one = move |state: &AppState| state.versions.get(&version).map(render::apps::definition);
            ok(&of_pod(&api, &id, one).await?.ok_or_else(missing)?)
        }
        Target::Instances(_) | Target::Instance(..) => Err(wrong_method()),
    }
}

async fn of_pod<T: Send + 'static>(
    api: &Api,
    id: &str,
    render: impl FnOnce(&AppState) -> T + Send + 'static,
) -> Result<T, HttpResponse> {
    let pod = known(id)?;
    let found = api.services.read(move |services, _| services.pod(&pod).map(render)).await;
    found.map_err(unavailable)?.ok_or_else(|| no_pod(id))
}

pub(crate) async fn post(api: Arc<Api>, call: Call) -> Answer {
    let Target::Pods = target(call.param("path")) else { return Err(wrong_method()) };
    let force = params::flag(&call.query(), "force", false);
    let definition: Map<String, Value> = api.bodies.read(&call).await?;
    let id = definition.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let reply = apps::run(&api, Command::CreatePod { definition, force }).await?;
    announce(&api, &call, &id, "pod_created_event");
    Ok(accepted(StatusCode::CREATED, reply))
}

pub(crate) async fn put(api: Arc<Api>, call: Call) -> Answer {
    let Target::Pod(id) = target(call.param("path")) else { return Err(wrong_method()) };
    let pod = known(&id)?;
    let force = params::flag(&call.query(), "force", false);
    let definition: Map<String, Value> = api.bodies.read(&call).await?;
    let reply = apps::run(&api, Command::ReplacePod { pod, definition, force }).await?;
    announce(&api, &call, &id, "pod_updated_event");
    Ok(accepted(StatusCode::OK, reply))
}

pub(crate) async fn delete(api: Arc<Api>, call: Call) -> Answer {
    match target(call.param("path")) {
        Target::Pod(id) => {
            let force = params::flag(&call.query(), "force", false);
            let reply = apps::run(&api, Command::DeletePod { pod: known(&id)?, force }).await?;
            announce(&api, &call, &id, "pod_deleted_event");
            match reply {
                Reply::Deployed { deployment, .. } => {
                    Ok(answer::with_deployment(empty(StatusCode::ACCEPTED), deployment))
                }
                _ => Ok(empty(StatusCode::ACCEPTED)),
            }
        }
        Target::Instances(id) => {
            let instances: Vec<String> = api.bodies.read(&call).await?;
            let killed = kill(&api, &call, &id, instances, false).await?;
            ok(&json!(killed))
        }
        Target::Instance(id, instance) => {
            let killed = kill(&api, &call, &id, vec![instance], true).await?;
            ok(killed.first().unwrap_or(&Value::Null))
        }
        _ => Err(wrong_method()),
    }
}

/// Kills instances, and shows them as they were.
async fn kill(
    api: &Api,
    call: &Call,
    id: &str,
    instances: Vec<String>,
    all: bool,
) -> Result<Vec<Value>, HttpResponse> {
    let pod = known(id)?;
    let command = match params::flag(&call.query(), "wipe", false) {
        false => Command::KillInstances { pod: pod.clone(), instances, all },
        true => Command::WipeInstances { pod: pod.clone(), instances, all },
    };
    let Reply::KilledInstances(killed) = apps::run(api, command).await? else { return Ok(Vec::new()) };
    let (mut shown, mut left) = (Vec::with_capacity(killed.len()), killed.into_iter());
    while left.len() > 0 {
        let part: Vec<Instance> = left.by_ref().take(INSTANCES_AT_ONCE).collect();
        let pod = pod.clone();
        let read = move |services: &Seen, _| {
            let state = services.even_ending(&pod)?;
            Some(part.iter().map(|one| render::pods::instance(state, one)).collect::<Vec<Value>>())
        };
        shown.extend(api.services.read(read).await.map_err(unavailable)?.unwrap_or_default());
    }
    Ok(shown)
}

/// A pod as it was accepted, and what brings it about.
fn accepted(status: StatusCode, reply: Reply) -> HttpResponse {
    let Reply::Pod { app, deployment } = reply else { return answer::reply(reply) };
    let mut response = answer_json(status, &render::apps::definition(&app));
    if status == StatusCode::CREATED
        && let Ok(place) = HeaderValue::from_str(&format!("/v2/pods{}", app.definition.id))
    {
        response.headers_mut().insert(LOCATION, place);
    }
    answer::with_deployment(response, deployment)
}

fn announce(api: &Api, call: &Call, id: &str, kind: &'static str) {
    let client = call.peer.remote.ip().to_string();
    let path = format!("/{}", id.trim_matches('/'));
    api.hub.announce_about(&path, kind, json!({"clientIp": client, "uri": call.path}));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_colons_tell_what_of_a_pod_is_meant() {
        let pod = || "/a/b".to_owned();
        for (path, expected) in [
            ("", Target::Pods),
            ("/", Target::Pods),
            ("::status", Target::Statuses),
            ("a//b/", Target::Pod(pod())),
            ("a/b::status", Target::Status(pod())),
            ("a/b::why", Target::Why(pod())),
            ("a/b::versions", Target::Versions(pod())),
            ("a/b::versions/v", Target::Version(pod(), "v".into())),
            ("a/b::instances", Target::Instances(pod())),
            ("a/b::instances/i.1", Target::Instance(pod(), "i.1".into())),
            ("a/b::nothing", Target::Pod("/a/b::nothing".into())),
        ] {
            assert_eq!(target(path), expected, "{path}");
        }
    }
}
