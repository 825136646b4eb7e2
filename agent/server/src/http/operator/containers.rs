//! The calls about containers: what there is, waiting for the end of one, ending one.

use std::sync::Arc;

use chapada_agent_core::Signal;
use chapada_listener::{HttpResponse, bytes, empty};
use chapada_model::ContainerId;
use chapada_wire::Media;
use chapada_wire::v1;
use chapada_wire::v1::agent::call::Type;
use chapada_wire::v1::agent::response::get_containers::Container;
use chapada_wire::v1::agent::response::{GetContainers, Type as Answer, WaitContainer, WaitNestedContainer};
use chapada_wire::v1::agent::{Call, Response};
use http::StatusCode;
use tokio::sync::oneshot;

use super::super::containers::{Running, running, usage};
use super::{Api, Refusal, bare, invalid, refusal};
use crate::shell::Input;

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

pub(super) async fn list(api: &Arc<Api>) -> Result<Response, Refusal> {
    let view = api.view().await.map_err(Box::new)?;
    let reading = api.clone();
    let read = tokio::task::spawn_blocking(move || {
        running(&view).into_iter().map(|running| container(&reading, running)).collect()
    });
    let containers = read.await.unwrap_or_default();
    Ok(Response { get_containers: Some(GetContainers { containers }), ..bare(Answer::GetContainers) })
}

fn container(api: &Api, running: Running) -> Container {
    let resource_statistics = usage(api, &running);
    Container {
        framework_id: Some(v1::FrameworkId { value: Some(running.framework) }),
        executor_id: Some(v1::ExecutorId { value: Some(running.executor) }),
        executor_name: Some(running.name),
        container_status: Some(v1::ContainerStatus {
            container_id: Some(running.container.clone()),
            executor_pid: Some(running.pid),
            ..v1::ContainerStatus::default()
        }),
        container_id: Some(running.container),
        resource_statistics,
    }
}

/// The answer to a call that waits for a container or ends one; `None` for another call.
pub(super) async fn act(
    api: &Arc<Api>,
    kind: Type,
    asked: &Call,
    media: Media,
) -> Option<Result<HttpResponse, Refusal>> {
    Some(match kind {
        Type::WaitContainer => {
            let id = asked.wait_container.as_ref().map(|wait| wait.container_id.as_ref());
            wait(api, id, Answer::WaitContainer, media).await
        }
        Type::WaitNestedContainer => {
            let id = asked.wait_nested_container.as_ref().map(|wait| wait.container_id.as_ref());
            wait(api, id, Answer::WaitNestedContainer, media).await
        }
        Type::KillContainer => {
            let kill = asked.kill_container.as_ref();
            let (id, signal) =
                (kill.map(|kill| kill.container_id.as_ref()), kill.and_then(|kill| kill.signal));
            end(api, id, signal, "kill_container").await
        }
        Type::KillNestedContainer => {
            let kill = asked.kill_nested_container.as_ref();
            let (id, signal) =
                (kill.map(|kill| kill.container_id.as_ref()), kill.and_then(|kill| kill.signal));
            end(api, id, signal, "kill_nested_container").await
        }
        _ => return None,
    })
}

/// The container that a call names, in a field of this name.
fn named(id: Option<Option<&v1::ContainerId>>, field: &str) -> Result<ContainerId, Refusal> {
    let id = id.ok_or_else(|| invalid(&format!("Expecting '{field}' to be present")))?;
    let id = id.and_then(|id| id.value.as_deref());
    let id = id.ok_or_else(|| invalid(&format!("Expecting '{field}.container_id' to be present")))?;
    id.parse().map_err(|error| invalid(&format!("'{field}.container_id': {error}")))
}

fn unknown(container: &ContainerId) -> Refusal {
    refusal(StatusCode::NOT_FOUND, format!("Container {container} cannot be found"))
}

async fn wait(
    api: &Arc<Api>,
    id: Option<Option<&v1::ContainerId>>,
    kind: Answer,
    media: Media,
) -> Result<HttpResponse, Refusal> {
    let container = named(id, &kind.as_str_name().to_ascii_lowercase())?;
    let (reply, ended) = oneshot::channel();
    let stopping = || refusal(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping".to_owned());
    api.inputs.send(Input::Wait(container.clone(), reply)).await.map_err(|_| stopping())?;
    let exit_status = ended.await.map_err(|_| unknown(&container))?;
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
    id: Option<Option<&v1::ContainerId>>,
    signal: Option<i32>,
    field: &str,
) -> Result<HttpResponse, Refusal> {
    let container = named(id, field)?;
    let signal = match signal.unwrap_or(SIGKILL) {
        SIGTERM => Signal::Terminate,
        SIGKILL => Signal::Kill,
        other => {
            let message = format!("'{field}.signal' must be 9 or 15, not {other}");
            return Err(refusal(StatusCode::NOT_IMPLEMENTED, message));
        }
    };
    let (reply, done) = oneshot::channel();
    let stopping = || refusal(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping".to_owned());
    api.inputs.send(Input::Signal(container.clone(), signal, reply)).await.map_err(|_| stopping())?;
    match done.await.map_err(|_| stopping())? {
        true => Ok(empty(StatusCode::OK)),
        false => Err(unknown(&container)),
    }
}
