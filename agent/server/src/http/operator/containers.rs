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
use tokio::sync::oneshot;

use super::{Api, Refusal, bare, invalid, refusal};
use crate::attach::{ContainerPath, Session};
use crate::shell::Input;
use crate::statistics::{self, Listed};

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;
/// Those that the kernel has.
const SIGNALS: std::ops::RangeInclusive<i32> = 1..=64;

pub(super) async fn list(api: &Arc<Api>) -> Result<Response, Refusal> {
    let view = api.view().await.map_err(Box::new)?;
    let containers = statistics::list(&api.means, &view).await.into_iter().map(container).collect();
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
        Type::RemoveContainer => remove(api, asked!(remove_container)),
        Type::RemoveNestedContainer => remove(api, asked!(remove_nested_container)),
        _ => return None,
    })
}

/// The container that a call names, in a field of this name.
fn named(id: Option<Option<&v1::ContainerId>>, field: &str) -> Result<ContainerPath, Refusal> {
    let id = id.ok_or_else(|| invalid(&format!("Expecting '{field}' to be present")))?;
    ContainerPath::read(&format!("{field}.container_id"), id).map_err(|problem| invalid(&problem))
}

fn unknown(container: &ContainerPath) -> Refusal {
    refusal(StatusCode::NOT_FOUND, format!("Container {container} cannot be found"))
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
    let container = container?;
    let exit_status = match api.means.sessions.find(&container) {
        Some(session) => session.end().await,
        None => {
            let (reply, ended) = oneshot::channel();
            let question = Input::Wait(container.own().clone(), reply);
            api.inputs.send(question).await.map_err(|_| stopping())?;
            ended.await.map_err(|_| unknown(&container))?
        }
    };
    let mut response = bare(kind);
    match kind {
        Answer::WaitNestedContainer => {
            let waited = WaitNestedContainer { exit_status, ..Default::default() };
            response.wait_nested_container = Some(waited);
        }
        _ => response.wait_container = Some(WaitContainer { exit_status, ..Default::default() }),
    }
    Ok(bytes(StatusCode::OK, media.content_type(), media.encode(&response)))
}

async fn end(
    api: &Arc<Api>,
    (container, signal): (Result<ContainerPath, Refusal>, Option<i32>),
    field: &str,
) -> Result<HttpResponse, Refusal> {
    let (container, signal) = (container?, signal.unwrap_or(SIGKILL));
    if let Some(session) = api.means.sessions.find(&container) {
        return signal_session(&session, signal, field);
    }
    let signal = match signal {
        SIGTERM => Signal::Terminate,
        SIGKILL => Signal::Kill,
        other => {
            let message = format!("'{field}.signal' must be 9 or 15, not {other}");
            return Err(refusal(StatusCode::NOT_IMPLEMENTED, message));
        }
    };
    let (reply, done) = oneshot::channel();
    let order = Input::Signal(container.own().clone(), signal, reply);
    api.inputs.send(order).await.map_err(|_| stopping())?;
    match done.await.map_err(|_| stopping())? {
        true => Ok(empty(StatusCode::OK)),
        false => Err(unknown(&container)),
    }
}

fn signal_session(session: &Session, signal: i32, field: &str) -> Result<HttpResponse, Refusal> {
    if !SIGNALS.contains(&signal) {
        return Err(invalid(&format!("'{field}.signal' must be 1 to 64, not {signal}")));
    }
    match session.signals.try_send(signal) {
        Err(TrySendError::Full(_)) => {
            let message = "signals wait to be passed on: send this one again".to_owned();
            Err(refusal(StatusCode::SERVICE_UNAVAILABLE, message))
        }
        // One that has ended hears nothing, and that is what was wanted.
        Ok(()) | Err(TrySendError::Closed(_)) => Ok(empty(StatusCode::OK)),
    }
}

fn remove(api: &Api, container: Result<ContainerPath, Refusal>) -> Result<HttpResponse, Refusal> {
    let container = container?;
    if api.means.sessions.find(&container).is_none() {
        return Err(unknown(&container));
    }
    if !api.means.sessions.remove(&container) {
        let message = format!("Container {container} has not ended: kill it first");
        return Err(refusal(StatusCode::CONFLICT, message));
    }
    Ok(empty(StatusCode::OK))
}
