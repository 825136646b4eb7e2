//! The calls about containers: what there is, waiting for the end of one, ending one.

use std::sync::Arc;

use chapada_agent_core::Signal;
use chapada_listener::{HttpResponse, bytes, empty};
use chapada_wire::Media;
use chapada_wire::v1;
use chapada_wire::v1::agent::call::Type;
use chapada_wire::v1::agent::response::get_containers::Container;
use chapada_wire::v1::agent::response::{GetContainers, Type as Answer, WaitContainer, WaitNestedContainer};
use chapada_wire::v1::agent::{Call, Response};
use http::StatusCode;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::target::unknown;
use super::{Api, Refusal, bare, invalid, refusal};
use crate::attach::ContainerPath;
use crate::containers::End;
use crate::containers::Request;
use crate::containers::nested::Launched;
use crate::networks::network_infos;
use crate::outward::resource_limitation;
use crate::shell::Input;
use crate::statistics::{self, Listed};
use crate::waiting::{Ended, NotWaited};

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;
/// Those that the kernel has.
const SIGNALS: std::ops::RangeInclusive<i32> = 1..=64;

pub(super) async fn list(api: &Arc<Api>, asked: &Call) -> Result<Response, Refusal> {
    let view = api.view().await.map_err(Box::new)?;
    let wanted = asked.get_containers.unwrap_or_default();
    let listed = statistics::list(&api.means, &view).await.into_iter();
    let listed = listed.filter(|one| wanted.show_nested() || one.running.parent.is_none());
    let mut containers: Vec<Container> = listed.map(container).collect();
    containers.extend(launched(api, wanted.show_nested(), wanted.show_standalone()).await);
    Ok(Response { get_containers: Some(GetContainers { containers }), ..bare(Answer::GetContainers) })
}

fn container(listed: Listed) -> Container {
    let Listed { running, status, used } = listed;
    Container {
        container_id: Some(running.container_id()),
        framework_id: Some(v1::FrameworkId { value: Some(running.framework) }),
        executor_id: Some(v1::ExecutorId { value: Some(running.executor) }),
        executor_name: Some(running.name),
        container_status: Some(status),
        resource_statistics: used,
    }
}

/// Containers of no task: those within others, those that are standalone.
async fn launched(api: &Arc<Api>, nested: bool, standalone: bool) -> Vec<Container> {
    let is_wanted = |one: &Arc<Launched>| if one.path.parent().is_some() { nested } else { standalone };
    let wanted: Vec<_> = api.means.nested.running().into_iter().filter(is_wanted).collect();
    let reading = api.clone();
    let read = spawn_blocking(move || {
        let shown = |one: Arc<Launched>| {
            let container_id = Some(one.path.to_wire());
            let attached = reading.means.supplies.networks.of(&one.record.shim);
            let container_status = Some(v1::ContainerStatus {
                container_id: container_id.clone(),
                executor_pid: one.pid(),
                network_infos: attached.as_ref().map(network_infos).unwrap_or_default(),
                ..v1::ContainerStatus::default()
            });
            let resource_statistics = one.statistics(&reading.means);
            Container { container_id, container_status, resource_statistics, ..Container::default() }
        };
        wanted.into_iter().map(shown).collect()
    });
    read.await.unwrap_or_default()
}

/// The answer to a call that waits for a container, ends one, or removes what is left of one; `None` for another call.
pub(super) async fn act(
    api: &Arc<Api>,
    kind: Type,
    asked: &Call,
    media: Media,
) -> Option<Result<HttpResponse, Refusal>> {
    let field = kind.as_str_name().to_ascii_lowercase();
    macro_rules! asked {
        ($call:ident) => {
            named(asked.$call.as_ref().map(|call| call.container_id.as_ref()), &field)
        };
        ($call:ident, signal) => {
            (asked!($call), asked.$call.as_ref().and_then(|call| call.signal))
        };
    }
    Some(match kind {
        Type::WaitContainer => wait(api, asked!(wait_container), Answer::WaitContainer, media).await,
        Type::WaitNestedContainer => {
            wait(api, asked!(wait_nested_container), Answer::WaitNestedContainer, media).await
        }
        Type::KillContainer => end(api, asked!(kill_container, signal), &field).await,
        Type::KillNestedContainer => end(api, asked!(kill_nested_container, signal), &field).await,
        Type::RemoveContainer => remove(api, asked!(remove_container)).await,
        Type::RemoveNestedContainer => remove(api, asked!(remove_nested_container)).await,
        _ => return None,
    })
}

/// The container that a call names, in a field of this name.
fn named(id: Option<Option<&v1::ContainerId>>, field: &str) -> Result<ContainerPath, Refusal> {
    let id = id.ok_or_else(|| invalid(&format!("Expecting '{field}' to be present")))?;
    ContainerPath::read(&format!("{field}.container_id"), id).map_err(|problem| invalid(&problem))
}

fn stopping() -> Refusal {
    refusal(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping".to_owned())
}

async fn wait(
    api: &Arc<Api>,
    container: Result<ContainerPath, Refusal>,
    kind: Answer,
    media: Media,
) -> Result<HttpResponse, Refusal> {
    let end = end_of(api, &container?).await?;
    let exit_status = end.status;
    let state = end.limitation.as_ref().map(|_| v1::TaskState::TaskFailed as i32);
    let reason = end.limitation.as_ref().map(|limitation| limitation.reason.number());
    let limitation = end.limitation.as_ref().map(|limitation| resource_limitation(&limitation.resources));
    let message = end.limitation.map(|limitation| limitation.message).or(end.message);
    let mut response = bare(kind);
    match kind {
        Answer::WaitNestedContainer => {
            let waited = WaitNestedContainer { exit_status, state, reason, limitation, message };
            response.wait_nested_container = Some(waited);
        }
        _ => {
            let waited = WaitContainer { exit_status, state, reason, limitation, message };
            response.wait_container = Some(waited);
        }
    }
    Ok(bytes(StatusCode::OK, media.content_type(), media.encode(&response)))
}

/// Waits for the end of whatever has this name.
async fn end_of(api: &Arc<Api>, container: &ContainerPath) -> Result<End, Refusal> {
    if let Some(session) = api.means.sessions.find(container) {
        return Ok(End { status: session.end().await, ..End::default() });
    }
    if let Some(launched) = api.means.nested.find(container) {
        return launched.end().await.ok_or_else(|| unknown(container));
    }
    let ended = waited(api, container).await?;
    ended.await.map_err(|_| stopping())
}

/// Has the end of a container of the books told, which may come later.
pub(super) async fn waited(api: &Api, container: &ContainerPath) -> Result<Ended, Refusal> {
    let (reply, answer) = oneshot::channel();
    let question = Input::Wait(container.own().clone(), reply);
    api.inputs.send(question).await.map_err(|_| stopping())?;
    match answer.await.map_err(|_| stopping())? {
        Ok(ended) => Ok(ended),
        Err(NotWaited::Unknown) => Err(unknown(container)),
        Err(why @ NotWaited::TooMany) => Err(refusal(StatusCode::SERVICE_UNAVAILABLE, why.to_string())),
    }
}

async fn end(
    api: &Arc<Api>,
    (container, signal): (Result<ContainerPath, Refusal>, Option<i32>),
    field: &str,
) -> Result<HttpResponse, Refusal> {
    let (container, signal) = (container?, signal.unwrap_or(SIGKILL));
    if let Some(session) = api.means.sessions.find(&container) {
        return pass_on(&session.signals, signal, field);
    }
    if let Some(launched) = api.means.nested.find(&container) {
        return pass_on(&launched.signals, signal, field);
    }
    let request = match signal {
        SIGTERM => Request::End(Signal::Terminate),
        SIGKILL => Request::End(Signal::Kill),
        other if SIGNALS.contains(&other) => Request::Send(other),
        other => return Err(no_signal(field, other)),
    };
    let (reply, done) = oneshot::channel();
    let order = Input::Signal(container.own().clone(), request, reply);
    api.inputs.send(order).await.map_err(|_| stopping())?;
    match done.await.map_err(|_| stopping())? {
        true => Ok(empty(StatusCode::OK)),
        false => Err(unknown(&container)),
    }
}

fn no_signal(field: &str, signal: i32) -> Refusal {
    invalid(&format!("'{field}.signal' must be 1 to 64, not {signal}"))
}

fn pass_on(signals: &mpsc::Sender<i32>, signal: i32, field: &str) -> Result<HttpResponse, Refusal> {
    if !SIGNALS.contains(&signal) {
        return Err(no_signal(field, signal));
    }
    match signals.try_send(signal) {
        Err(TrySendError::Full(_)) => {
            let message = "signals wait to be passed on: send this one again".to_owned();
            Err(refusal(StatusCode::SERVICE_UNAVAILABLE, message))
        }
        // One that has ended hears nothing, and that is what was wanted.
        Ok(()) | Err(TrySendError::Closed(_)) => Ok(empty(StatusCode::OK)),
    }
}

async fn remove(api: &Api, container: Result<ContainerPath, Refusal>) -> Result<HttpResponse, Refusal> {
    let container = container?;
    let runs = || {
        let message = format!("Container {container} has not ended: kill it first");
        refusal(StatusCode::CONFLICT, message)
    };
    if let Some(launched) = api.means.nested.find(&container) {
        launched.ended().ok_or_else(runs)?;
        launched.remove().await;
    } else if api.means.sessions.find(&container).is_none() {
        return Err(unknown(&container));
    } else if !api.means.sessions.remove(&container) {
        return Err(runs());
    }
    Ok(empty(StatusCode::OK))
}
