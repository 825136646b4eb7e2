//! A program beside the command of a container: what a check runs, and what somebody executes.

use chapada_agent_core::{ExecutorRecord, TaskRecord};
use chapada_images::environment_of;
use chapada_model::{AgentId, TaskDescription};
use chapada_shim::ExecSpec;
use chapada_wire::v1;
use prost::Message;

use super::description::text;
use super::nested::Launched;
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

/// The same beside the command of an executor of the framework's own, whose token it does not get.
pub(crate) fn beside_executor(
    means: &Means,
    agent: &AgentId,
    record: &ExecutorRecord,
    command: &v1::CommandInfo,
) -> ExecSpec {
    let info = v1::ExecutorInfo::decode(record.info.as_bytes()).unwrap_or_default();
    let sandbox = means.layout.executor_sandbox(agent, record);
    let own = info.command.unwrap_or_default();
    let told = environment::of_executor(&own, record, agent, &sandbox, String::new(), &means.settings);
    let names = told.into_iter().map(|(name, _)| name);
    let inherited = names.filter(|name| name != "MESOS_EXECUTOR_AUTHENTICATION_TOKEN").collect();
    with_names(means, command, inherited)
}

impl Launched {
    /// The same beside the command of a container of no task.
    pub(crate) fn beside(&self, means: &Means, command: &v1::CommandInfo) -> ExecSpec {
        let of_image = means.supplies.images.config_of(&self.record.shim);
        let of_image = of_image.map(|config| environment_of(&config, &[])).unwrap_or_default();
        let names = of_image.into_iter().map(|(name, _)| name);
        with_names(means, command, names.chain(self.record.variables.iter().cloned()).collect())
    }
}

/// This command with these variables of the container it runs in.
fn with_names(means: &Means, command: &v1::CommandInfo, inherited: Vec<String>) -> ExecSpec {
    let user = Some(text(&command.user).to_owned()).filter(|user| !user.is_empty());
    let variables = command.environment.iter().flat_map(|environment| &environment.variables);
    let own = variables.map(|variable| (text(&variable.name).to_owned(), text(&variable.value).to_owned()));
    ExecSpec {
        command: command_of(command),
        environment: own.collect(),
        inherited,
        user: user.filter(|_| means.settings.switch_user),
        working_directory: None,
        terminal: None,
    }
}

/// Takes out the variables with secrets, which only the container's shim has; their names.
fn take_secret(command: &mut v1::CommandInfo) -> Vec<String> {
    let Some(environment) = &mut command.environment else { return Vec::new() };
    let secret = environment.variables.extract_if(.., |variable| variable.secret.is_some());
    secret.filter_map(|variable| variable.name).collect()
}
