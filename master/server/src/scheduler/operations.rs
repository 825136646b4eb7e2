//! What an ACCEPT does with its offers.

use chapada_master_core::{Change, MalformedTask, Operation, Proposal, TaskGroup};
use chapada_model::{ExecutorDescription, OperationId, TaskDescription};
use chapada_wire::convert::InvalidField;
use chapada_wire::v1;
use chapada_wire::v1::offer::operation::Type;
use prost::Message;

use super::shape;
use crate::changes;

/// The largest task description, in bytes, so that a launch fits into one message of the agent link (256 KiB) together
/// with the framework's own description.
const MAX_TASK_BYTES: usize = 192 * 1024;

/// Why a disk is neither made nor ended, and what does it instead.
const NO_PLUGINS: &str = "there are no storage plugins. Make the disk on the agent's machine and name it in the agent's \
    --resources, with disk.source of type PATH or MOUNT; then CREATE and DESTROY make and end volumes on it";

/// Reads one operation. Never fails: what cannot be read is a task in error, or an operation that is not there.
pub(super) fn operation(wire: &v1::offer::Operation) -> Operation {
    let kind = wire.r#type.and_then(|number| Type::try_from(number).ok()).unwrap_or(Type::Unknown);
    let id = match wire.id.as_ref().map(OperationId::try_from).transpose() {
        Ok(id) => id,
        Err(problem) if !matches!(kind, Type::Launch | Type::LaunchGroup) => {
            return misnamed(kind, wire, &problem.within("id"));
        }
        // Tasks are refused for any id.
        Err(_) => None,
    };
    let refused = |name, message: &str| Operation::Refused { name, id: id.clone(), message: message.into() };
    match kind {
        Type::Launch => {
            let tasks = wire.launch.as_ref().map(|launch| launch.task_infos.as_slice()).unwrap_or_default();
            Operation::Launch { tasks: tasks.iter().map(|task| proposal(task, wire.id.is_some())).collect() }
        }
        Type::LaunchGroup => {
            let launch = wire.launch_group.as_ref();
            let group = launch.and_then(|launch| launch.task_group.as_ref());
            let tasks = group.map(|group| group.tasks.as_slice()).unwrap_or_default();
            let executor = launch.and_then(|launch| launch.executor.as_ref());
            Operation::LaunchGroup(launch_group(executor, tasks, wire.id.is_some()))
        }
        Type::Reserve
        | Type::Unreserve
        | Type::Create
        | Type::Destroy
        | Type::GrowVolume
        | Type::ShrinkVolume => match change(kind, wire) {
            Ok(change) => Operation::Change { id, change },
            Err(problem) => refused(kind.as_str_name(), &problem.to_string()),
        },
        Type::CreateDisk | Type::DestroyDisk => {
            Operation::Unsupported { name: kind.as_str_name(), id: id.clone(), message: NO_PLUGINS.into() }
        }
        Type::Unknown => refused("UNKNOWN", "its type is unknown"),
    }
}

/// An operation is refused under the id that it was given, so that whoever waits for it hears of it.
fn misnamed(kind: Type, wire: &v1::offer::Operation, problem: &InvalidField) -> Operation {
    let id = text(wire.id.as_ref().and_then(|id| id.value.as_deref()));
    Operation::Misnamed { name: kind.as_str_name(), id, message: problem.to_string().into() }
}

/// Reads an operation that changes resources, as a scheduler may ask for it.
fn change(kind: Type, wire: &v1::offer::Operation) -> Result<Change, InvalidField> {
    if wire.reserve.as_ref().is_some_and(|reserve| !reserve.source.is_empty()) {
        let problem = "must not be set: a scheduler cannot change whom a reservation is for";
        return Err(InvalidField::new("reserve.source", problem));
    }
    changes::read(kind, wire)
}

/// Reads a group: whole, or with the reason why it cannot be.
fn launch_group(
    executor: Option<&v1::ExecutorInfo>,
    tasks: &[v1::TaskInfo],
    names_operation: bool,
) -> TaskGroup {
    let described = executor.map(ExecutorDescription::try_from).transpose();
    let (executor_description, unread) = match described {
        Ok(executor) => (executor.map(Box::new), None),
        Err(problem) => (None, Some(format!("'launch_group.executor' is not valid: {problem}"))),
    };
    let broken = shape::group(executor, tasks).err();
    let named = names_operation.then(|| "'Operation.id' must not be set for LAUNCH_GROUP".to_owned());
    TaskGroup {
        executor: executor_description,
        tasks: tasks.iter().map(described_task).collect(),
        problem: named.or(unread).or(broken).map(Into::into),
    }
}

fn proposal(info: &v1::TaskInfo, names_operation: bool) -> Proposal {
    let malformed = |message: String| Proposal::Malformed(malformed(info, message));
    if names_operation {
        return malformed("'Operation.id' must not be set for LAUNCH and LAUNCH_GROUP".to_owned());
    }
    if info.encoded_len() > MAX_TASK_BYTES {
        return malformed(format!("TaskInfo is larger than the {MAX_TASK_BYTES} bytes that are allowed"));
    }
    match (described_task(info), shape::task(info)) {
        (Proposal::Valid(_), Err(problem)) => malformed(format!("TaskInfo is not valid: {problem}")),
        (described, _) => described,
    }
}

fn described_task(info: &v1::TaskInfo) -> Proposal {
    match TaskDescription::try_from(info) {
        Ok(task) => Proposal::Valid(Box::new(task)),
        Err(problem) => Proposal::Malformed(malformed(info, format!("TaskInfo is not valid: {problem}"))),
    }
}

fn malformed(info: &v1::TaskInfo, message: String) -> MalformedTask {
    MalformedTask {
        task_id: text(info.task_id.as_ref().and_then(|id| id.value.as_deref())),
        agent_id: text(info.agent_id.as_ref().and_then(|id| id.value.as_deref())),
        message: message.into(),
    }
}

fn text(value: Option<&str>) -> chapada_model::Text {
    value.unwrap_or_default().into()
}
