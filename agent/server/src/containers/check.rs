//! What a check runs in a task's container.

use chapada_agent_core::TaskRecord;
use chapada_model::{AgentId, TaskDescription};
use chapada_shim::ExecSpec;
use chapada_wire::v1;
use prost::Message;

use super::description::text;
use super::start::command_of;
use super::{Means, environment};

/// The command as a program beside the task's own, with the task's environment and what the check adds to it.
///
/// # Errors
/// Says why the task's description cannot be read.
pub(crate) fn check_spec(
    means: &Means,
    agent: &AgentId,
    record: &TaskRecord,
    check: &v1::CommandInfo,
) -> Result<ExecSpec, String> {
    let info = v1::TaskInfo::decode(record.info.as_bytes()).map_err(|error| error.to_string())?;
    let task = TaskDescription::try_from(&info).map_err(|error| error.to_string())?;
    let own = info.command.unwrap_or_default();
    let added = check.environment.iter().flat_map(|environment| environment.variables.clone());
    let mut command = own.clone();
    command.environment.get_or_insert_default().variables.extend(added);
    let sandbox = means.layout.sandbox(agent, record);
    let place = environment::Place { agent, record, sandbox: &sandbox, settings: &means.settings };
    let user = Some(text(&check.user).to_owned()).filter(|user| !user.is_empty());
    Ok(ExecSpec {
        command: command_of(check),
        environment: environment::of(&command, &task, &place),
        user: user.filter(|_| means.settings.switch_user),
        working_directory: None,
        terminal: None,
    })
}
