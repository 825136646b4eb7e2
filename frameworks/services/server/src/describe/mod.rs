//! What is to be launched, in the API's terms.

mod check;
mod container;
mod discovery;
pub(crate) mod group;
mod network;
#[cfg(test)]
mod tests;

use chapada_model::{AgentId, InvalidId, Label, Limit, OfferId, TaskDescription, chain};
use chapada_sdk::{InvalidExecutor, InvalidTask, Offer, Placement, TaskBuilder, operation, wire};
use chapada_services_core::{Bound, Fetch, HomeOperation, Launch, LaunchValue, ResourceLimits};
use wire::environment::variable::Type;

use crate::secrets::{SecretLost, Secrets};

pub(crate) use check::{check_info, health_check};
pub(crate) use container::container_info;
pub(crate) use discovery::discovery_info;

/// Why a task cannot be described. It is not launched then, and counts as failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Indescribable {
    /// The description makes no sense.
    #[error("the task cannot be described: {}", chain(.0))]
    Task(#[from] InvalidTask),
    /// The executor's description makes no sense.
    #[error("the executor cannot be described: {0}")]
    Executor(#[from] InvalidExecutor),
    /// The executor's id cannot be one.
    #[error("the executor's id is not valid")]
    ExecutorId(#[from] InvalidId),
    /// A secret cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretLost),
}

/// The task, with the values of its secrets.
pub(crate) async fn task(launch: Launch, secrets: &Secrets) -> Result<TaskDescription, Indescribable> {
    let mut builder = TaskBuilder::shell(&launch.task, "");
    for (key, value) in launch.labels {
        builder = builder.label(Label { key: key.into(), value: Some(value.into()) });
    }
    if let Some(grace) = launch.kill_grace {
        builder = builder.kill_grace_period(grace);
    }
    for (resource, limit) in bounds(launch.limits.as_ref()) {
        builder = builder.limit(resource, limit);
    }
    let has_image = launch.container.as_ref().is_some_and(|container| container.image.is_some());
    let mut command = command(launch.shell, launch.args, has_image);
    command.user = launch.user;
    command.uris = launch.fetch.iter().map(uri).collect();
    command.environment = Some(environment(launch.env, secrets).await?);
    let container = match launch.container {
        Some(container) => Some(container_info(container, secrets).await?),
        None => None,
    };
    let health = launch.health.as_ref().map(health_check);
    let check = launch.check.as_ref().map(check_info);
    let ports = launch.ports.iter().map(|port| port.number).collect();
    let discovery = discovery_info(&launch.name, launch.ports);
    let builder = builder.name(launch.name).customise(|info| {
        info.command = Some(command);
        info.container = container;
        info.health_check = health;
        info.check = check;
        info.discovery = Some(discovery);
    });
    let placement = Placement { resources: launch.resources, ports, ..Placement::default() };
    Ok(builder.place(&at(launch.agent), &placement)?)
}

/// What becomes of reservations and volumes.
pub(crate) fn homes(operations: Vec<HomeOperation>) -> Vec<wire::offer::Operation> {
    let described = operations.iter().map(|operation| match operation {
        HomeOperation::Reserve(resources) => operation::reserve(resources),
        HomeOperation::Create(volumes) => operation::create(volumes),
        HomeOperation::Destroy(volumes) => operation::destroy(volumes),
        HomeOperation::Unreserve(resources) => operation::unreserve(resources),
    });
    described.collect()
}

/// The launch of these tasks, if there are any.
pub(crate) fn launch(tasks: &[TaskDescription]) -> Option<wire::offer::Operation> {
    let launch = wire::offer::operation::Launch { task_infos: tasks.iter().map(Into::into).collect() };
    let mut operation = wire::offer::Operation { launch: Some(launch), ..Default::default() };
    operation.set_type(wire::offer::operation::Type::Launch);
    (!tasks.is_empty()).then_some(operation)
}

/// A line, a program, or with an image what its own command is given.
pub(crate) fn command(shell: Option<String>, args: Vec<String>, has_image: bool) -> wire::CommandInfo {
    match shell {
        Some(line) => {
            wire::CommandInfo { shell: Some(true), value: Some(line), ..wire::CommandInfo::default() }
        }
        None => {
            let value = args.first().filter(|_| !has_image).cloned();
            wire::CommandInfo { shell: Some(false), value, arguments: args, ..wire::CommandInfo::default() }
        }
    }
}

/// The variables, with the values of those that are secrets.
pub(crate) async fn environment(
    env: impl IntoIterator<Item = (String, LaunchValue)>,
    secrets: &Secrets,
) -> Result<wire::Environment, SecretLost> {
    let mut variables = Vec::new();
    for (name, value) in env {
        let mut variable =
            wire::environment::Variable { name: Some(name), ..wire::environment::Variable::default() };
        match value {
            LaunchValue::Text(text) => variable.value = Some(text),
            LaunchValue::Secret(source) => {
                variable.set_type(Type::Secret);
                variable.secret = Some(secrets.value(&source).await?);
            }
        }
        variables.push(variable);
    }
    Ok(wire::Environment { variables })
}

/// What is brought into a sandbox.
pub(crate) fn uri(fetch: &Fetch) -> wire::command_info::Uri {
    wire::command_info::Uri {
        value: Some(fetch.uri.clone()),
        executable: Some(fetch.executable),
        extract: Some(fetch.extract),
        cache: Some(fetch.cache),
        output_file: fetch.dest_path.clone(),
        ..wire::command_info::Uri::default()
    }
}

fn bounds(limits: Option<&ResourceLimits>) -> impl Iterator<Item = (&'static str, Limit)> {
    let limits = limits.cloned().unwrap_or_default();
    let bounds = [("cpus", limits.cpus), ("mem", limits.mem)];
    bounds.into_iter().filter_map(|(name, bound)| {
        Some(match bound? {
            Bound::Amount(amount) => (name, Limit::Amount(amount)),
            Bound::Unlimited => (name, Limit::Infinite),
        })
    })
}

/// As much of an offer as a task's description needs: the agent.
fn at(agent: AgentId) -> Offer {
    Offer::new(OfferId::new("none").expect("a word is an id"), agent, "", Default::default())
}
