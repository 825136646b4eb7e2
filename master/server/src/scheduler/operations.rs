//! What an ACCEPT does with its offers.

use chapada_master_core::{MalformedTask, Operation, Proposal};
use chapada_model::{OperationId, TaskDescription};
use chapada_wire::v1;
use chapada_wire::v1::offer::operation::Type;
use prost::Message;

/// The largest task description, in bytes, so that a launch fits into one message of the agent link (256 KiB) together
/// with the framework's own description.
const MAX_TASK_BYTES: usize = 192 * 1024;

/// Reads one operation. Never fails: what cannot be read is a task in error, or an operation that is not there.
pub(super) fn operation(wire: &v1::offer::Operation) -> Operation {
    let kind = wire.r#type.and_then(|number| Type::try_from(number).ok()).unwrap_or(Type::Unknown);
    let named = |name| Operation::Unsupported {
        name,
        id: wire.id.as_ref().and_then(|id| OperationId::try_from(id).ok()),
    };
    match kind {
        Type::Launch => {
            let tasks = wire.launch.as_ref().map(|launch| launch.task_infos.as_slice()).unwrap_or_default();
            Operation::Launch { tasks: tasks.iter().map(proposal).collect() }
        }
        Type::LaunchGroup => {
            let group = wire.launch_group.as_ref().and_then(|launch| launch.task_group.as_ref());
            let tasks = group.map(|group| group.tasks.as_slice()).unwrap_or_default();
            Operation::LaunchGroup { tasks: tasks.iter().map(proposal).collect() }
        }
        Type::Reserve => named("RESERVE"),
        Type::Unreserve => named("UNRESERVE"),
        Type::Create => named("CREATE"),
        Type::Destroy => named("DESTROY"),
        Type::GrowVolume => named("GROW_VOLUME"),
        Type::ShrinkVolume => named("SHRINK_VOLUME"),
        Type::CreateDisk => named("CREATE_DISK"),
        Type::DestroyDisk => named("DESTROY_DISK"),
        Type::Unknown => named("UNKNOWN"),
    }
}

fn proposal(info: &v1::TaskInfo) -> Proposal {
    let malformed = |message: String| {
        Proposal::Malformed(MalformedTask {
            task_id: text(info.task_id.as_ref().and_then(|id| id.value.as_deref())),
            agent_id: text(info.agent_id.as_ref().and_then(|id| id.value.as_deref())),
            message: message.into(),
        })
    };
    if info.encoded_len() > MAX_TASK_BYTES {
        return malformed(format!("TaskInfo is larger than the {MAX_TASK_BYTES} bytes that are allowed"));
    }
    match TaskDescription::try_from(info) {
        Ok(task) => Proposal::Valid(Box::new(task)),
        Err(problem) => malformed(format!("TaskInfo is not valid: {problem}")),
    }
}

fn text(value: Option<&str>) -> chapada_model::Text {
    value.unwrap_or_default().into()
}
