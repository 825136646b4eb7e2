//! LAUNCH_NESTED_CONTAINER_SESSION: a program beside a container's command, whose output is the answer. It ends with the
//! connection.

use std::sync::Arc;

use chapada_listener::{Call as HttpCall, HttpResponse};
use chapada_shim::{ExecSpec, WindowSize};
use chapada_wire::v1;
use chapada_wire::v1::agent::Call;
use chapada_wire::v1::agent::call::LaunchNestedContainerSession;
use http::StatusCode;

use super::target::unknown;
use super::{Api, Refusal, invalid, records, refusal};
use crate::attach::{ContainerPath, NotBegun, window_size};
use crate::containers::{beside, beside_executor};

const FIELD: &str = "launch_nested_container_session";

pub(super) async fn open(api: &Arc<Api>, call: &HttpCall, asked: &Call) -> Result<HttpResponse, Refusal> {
    let media = records::form_wanted(call)?;
    let launch = asked.launch_nested_container_session.as_ref();
    let launch = launch.ok_or_else(|| invalid(&format!("Expecting '{FIELD}' to be present")))?;
    let path = ContainerPath::read(&format!("{FIELD}.container_id"), launch.container_id.as_ref());
    let path = path.map_err(|problem| invalid(&problem))?;
    let (mut spec, shim) = program(api, launch, &path).await?;
    spec.terminal = terminal(launch.container.as_ref())?;
    let runtime_dir = api.means.runtime_dir.join(shim);
    let begun = api.means.sessions.run(&path, &runtime_dir, &spec, &api.tasks).await;
    let begun = begun.map_err(|error| not_begun(&path, &error))?;
    Ok(records::answer(api, call, media, begun.pieces, None))
}

fn not_begun(path: &ContainerPath, error: &NotBegun) -> Refusal {
    let status = match error {
        NotBegun::Name(_) => StatusCode::CONFLICT,
        NotBegun::Program(_) => StatusCode::BAD_REQUEST,
        NotBegun::Shim(_) | NotBegun::Streams(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    refusal(status, format!("Container {path} cannot be launched: {error}"))
}

/// What to run, and the name of the container it runs in.
async fn program(
    api: &Api,
    launch: &LaunchNestedContainerSession,
    path: &ContainerPath,
) -> Result<(ExecSpec, String), Refusal> {
    let parent = path.parent();
    let parent =
        parent.ok_or_else(|| invalid(&format!("Expecting '{FIELD}.container_id.parent' to be present")))?;
    let command = launch.command.as_ref();
    let command = command.ok_or_else(|| invalid(&format!("Expecting '{FIELD}.command' to be present")))?;
    if !command.uris.is_empty() {
        let message = format!("'{FIELD}.command.uris' is not supported: fetch in the command");
        return Err(refusal(StatusCode::NOT_IMPLEMENTED, message));
    }
    let unknown = || unknown(&parent);
    if let Some(launched) = api.means.nested.find(&parent) {
        let runs = launched.pid().is_some() && launched.ended().is_none();
        let spec = launched.beside(&api.means, command);
        return runs.then(|| (spec, launched.record.shim.clone())).ok_or_else(unknown);
    }
    let view = api.view().await.map_err(Box::new)?;
    let agent = view.agent.as_ref().ok_or_else(unknown)?;
    // Tasks of an executor of the framework's own are in its container.
    let mut executors = view.executors.iter().filter(|executor| executor.phase.pid().is_some());
    if let Some(executor) = executors.find(|executor| executor.record.container == *parent.own()) {
        let spec = beside_executor(&api.means, agent, &executor.record, command);
        return Ok((spec, executor.record.container.to_string()));
    }
    let mut tasks = view.tasks.iter().filter(|task| task.phase.pid().is_some());
    let task = tasks.find(|task| task.record.container == *parent.own()).ok_or_else(unknown)?;
    let spec = beside(&api.means, agent, &task.record, command).map_err(|problem| invalid(&problem))?;
    Ok((spec, task.record.container.to_string()))
}

/// The terminal that is wanted, if any. A session has all else of its container.
fn terminal(container: Option<&v1::ContainerInfo>) -> Result<Option<WindowSize>, Refusal> {
    let Some(container) = container else { return Ok(None) };
    let terminal = container.tty_info;
    let plain = v1::ContainerInfo { r#type: container.r#type, tty_info: terminal, ..Default::default() };
    if *container != plain {
        let message = format!(
            "'{FIELD}.container' has more than 'tty_info': a session has the image, volumes, network and limits of its container"
        );
        return Err(refusal(StatusCode::NOT_IMPLEMENTED, message));
    }
    Ok(terminal.map(|terminal| window_size(&terminal)))
}
