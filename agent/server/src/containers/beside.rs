//! A program beside the command of a task, in its container: what a check runs, and what somebody executes.

use chapada_agent_core::TaskRecord;
use chapada_model::{AgentId, TaskDescription};
use chapada_shim::ExecSpec;
use chapada_wire::v1;
use prost::Message;

use super::description::text;
use super::start::command_of;
use super::{Means, environment, image};

/// This command beside the task's own, with the task's environment and what it adds to that, as the task's user unless it
/// names another.
///
/// # Errors
/// Says why the task's description cannot be read.
pub(crate) fn beside(
    means: &Means,
    agent: &AgentId,
    record: &TaskRecord,
    command: &v1::CommandInfo,
) -> Result<ExecSpec, String> {
    let info = v1::TaskInfo::decode(record.info.as_bytes()).map_err(|error| error.to_string())?;
    let task = TaskDescription::try_from(&info).map_err(|error| error.to_string())?;
    let added = command.environment.iter().flat_map(|environment| environment.variables.clone());
    let mut own = info.command.unwrap_or_default();
    let inherited = take_secret(&mut own);
    own.environment.get_or_insert_default().variables.extend(added);
    let sandbox = means.layout.sandbox(agent, record);
    let place = environment::Place { agent, record, sandbox: &sandbox, settings: &means.settings };
    let user = Some(text(&command.user).to_owned()).filter(|user| !user.is_empty());
    let environment = environment::of(&own, &task, &place);
    let environment = match means.supplies.images.config_of(record.container.as_str()) {
        Some(config) => image::beside(&config, &own, environment),
        None => environment,
    };
    Ok(ExecSpec {
        command: command_of(command),
        environment,
        inherited,
        user: user.filter(|_| means.settings.switch_user),
        working_directory: None,
        terminal: None,
    })
}

/// Takes out the variables with secrets, which only the container's shim has; their names.
fn take_secret(command: &mut v1::CommandInfo) -> Vec<String> {
    let Some(environment) = &mut command.environment else { return Vec::new() };
    let secret = environment.variables.extract_if(.., |variable| variable.secret.is_some());
    secret.filter_map(|variable| variable.name).collect()
}
