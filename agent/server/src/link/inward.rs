//! From the master's messages to the core's commands. A message that makes no sense is refused, and the link lives on.

use std::time::Duration;

use chapada_agent_core::{
    AgentDrain, Command, ExecutorLaunch, FrameworkRecord, GroupLaunch, GroupTask, Operate, TaskLaunch,
};
use chapada_agent_log::watch_of;
use chapada_model::{
    Conversion, ExecutorDescription, ExecutorKind, FrameworkCapability, FrameworkDescription, KillPolicy,
    Payload, Resources, TaskDescription, TaskKey, UpdateUuid,
};
use chapada_wire::convert::{duration_from_wire, resources_from_wire, wall_from_wire};
use chapada_wire::link::{self, to_agent};
use chapada_wire::v1;
use prost::Message;

use crate::containers::{refuse_group, refuse_late_volumes, refuse_unsupported};
use crate::policy::Policy;
use crate::secrets::Secrets;

/// Source: Mesos' `DEFAULT_EXECUTOR_SHUTDOWN_GRACE_PERIOD` of the command executor.
const KILL_GRACE: Duration = Duration::from_secs(3);

/// What orders are compared with, and where their secrets stay.
pub(crate) struct Terms<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) secrets: &'a Secrets,
}

/// What a message of the master is.
pub(crate) enum Inward {
    /// For the core.
    Command(Command),
    /// A heartbeat, which only shows that the master lives.
    Nothing,
    /// The agent is not admitted; the link ends.
    Refused(link::Refused),
    /// A file is wanted.
    OpenRelay(link::OpenRelay),
}

/// Reads a message.
///
/// # Errors
/// A sentence that names the field.
pub(crate) fn read(message: to_agent::Message, terms: &Terms<'_>) -> Result<Inward, String> {
    let command = match message {
        to_agent::Message::Welcome(welcome) => Command::Welcome {
            agent: welcome.agent_id.parse().map_err(|e| format!("welcome.agent_id: {e}"))?,
            completed: welcome.completed_tasks_wanted as usize,
        },
        to_agent::Message::Refused(refused) if refused.reason() == link::refused::Reason::Gone => {
            Command::Gone
        }
        to_agent::Message::Refused(refused) => return Ok(Inward::Refused(refused)),
        to_agent::Message::Launch(launch) => Command::Launch(Box::new(read_launch(launch, terms)?)),
        to_agent::Message::LaunchGroup(launch) => Command::LaunchGroup(Box::new(read_group(launch, terms)?)),
        to_agent::Message::Drain(drain) => Command::Drain(read_drain(&drain)?),
        to_agent::Message::Kill(kill) => Command::Kill {
            task: key(&kill.framework_id, &kill.task_id)?,
            grace: grace(kill.kill_policy.as_ref())?,
        },
        to_agent::Message::Acknowledge(acknowledge) => Command::Acknowledge {
            task: key(&acknowledge.framework_id, &acknowledge.task_id)?,
            uuid: UpdateUuid::from_slice(&acknowledge.uuid).ok_or("acknowledge.uuid must have 16 bytes")?,
        },
        to_agent::Message::ExecutorMessage(message) => Command::ExecutorMessage {
            framework: id("framework_id", &message.framework_id)?,
            executor: id("executor_id", &message.executor_id)?,
            data: message.data.into(),
        },
        to_agent::Message::ShutdownExecutor(shutdown) => Command::ShutdownExecutor {
            framework: id("framework_id", &shutdown.framework_id)?,
            executor: id("executor_id", &shutdown.executor_id)?,
        },
        to_agent::Message::ShutdownFramework(shutdown) => {
            Command::ShutdownFramework { framework: id("framework_id", &shutdown.framework_id)? }
        }
        to_agent::Message::UpdateFramework(update) => {
            let info = update.framework.ok_or("update_framework.framework is missing")?;
            Command::UpdateFramework(framework(&info)?)
        }
        to_agent::Message::Operate(operate) => Command::Operate(Box::new(read_operate(&operate)?)),
        to_agent::Message::AcknowledgeOperation(acknowledge) => Command::AcknowledgeOperation {
            key: id("acknowledge_operation.key", &acknowledge.key)?,
            uuid: UpdateUuid::from_slice(&acknowledge.uuid)
                .ok_or("acknowledge_operation.uuid must have 16 bytes")?,
        },
        to_agent::Message::OpenRelay(relay) => return Ok(Inward::OpenRelay(relay)),
        to_agent::Message::Heartbeat(_) => return Ok(Inward::Nothing),
    };
    Ok(Inward::Command(command))
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn read_drain(drain: &link::Drain) -> Result<Option<AgentDrain>, String> {
    let read = |config: &v1::DrainConfig| {
        let grace = config.max_grace_period.as_ref();
        Ok(AgentDrain {
            max_grace: duration_from_wire("drain.config.max_grace_period", grace).map_err(said)?,
            mark_gone: config.mark_gone(),
            since: drain.since.as_ref().and_then(wall_from_wire).ok_or("drain.since is missing")?,
        })
    };
    drain.config.as_ref().map(read).transpose()
}

fn read_launch(launch: link::Launch, terms: &Terms<'_>) -> Result<TaskLaunch, String> {
    let framework = framework(&launch.framework.ok_or("launch.framework is missing")?)?;
    let info = launch.task.ok_or("launch.task is missing")?;
    let task = TaskDescription::try_from(&info).map_err(|error| format!("launch.task: {error}"))?;
    let parts = [&task.resources].into_iter().chain(task.executor.iter().map(|executor| &executor.resources));
    let made = Resources::made_together(parts).map_err(|error| format!("launch.task: {error}"))?;
    let own = info.executor.as_ref().zip(task.executor);
    let joins = own.is_some() && !launch.launch_executor;
    let late = joins.then(|| refuse_late_volumes(std::slice::from_ref(&info))).flatten();
    let executor = own.map(|(info, described)| executor(info, described, launch.launch_executor, terms));
    Ok(TaskLaunch {
        key: TaskKey { framework: framework.id.clone(), task: task.id },
        framework,
        executor: executor.transpose()?,
        kill_grace: grace(info.kill_policy.as_ref())?.unwrap_or(KILL_GRACE),
        watch: watch_of(&info),
        refusal: refuse_unsupported(&info, terms.policy).or(late),
        made,
        info: terms.secrets.seal(info),
    })
}

fn read_group(launch: link::LaunchGroup, terms: &Terms<'_>) -> Result<GroupLaunch, String> {
    let framework = framework(&launch.framework.ok_or("launch_group.framework is missing")?)?;
    let own = launch.executor.ok_or("launch_group.executor is missing")?;
    let described =
        ExecutorDescription::try_from(&own).map_err(|error| format!("launch_group.executor: {error}"))?;
    let joins = described.kind == ExecutorKind::Custom && !launch.launch_executor;
    let late = joins.then(|| refuse_late_volumes(&launch.tasks)).flatten();
    let refusal = refuse_group(&own, &launch.tasks, launch.launch_executor, terms.policy).or(late);
    let mut used = vec![described.resources.clone()];
    let executor = executor(&own, described, launch.launch_executor, terms)?;
    let mut tasks = Vec::with_capacity(launch.tasks.len());
    for mut info in launch.tasks {
        info.executor.get_or_insert_with(|| own.clone());
        let task =
            TaskDescription::try_from(&info).map_err(|error| format!("launch_group.tasks: {error}"))?;
        used.push(task.resources);
        tasks.push(GroupTask {
            key: TaskKey { framework: framework.id.clone(), task: task.id },
            kill_grace: grace(info.kill_policy.as_ref())?.unwrap_or(KILL_GRACE),
            watch: watch_of(&info),
            info: terms.secrets.seal(info),
        });
    }
    if tasks.is_empty() {
        return Err("launch_group.tasks is empty".to_owned());
    }
    let made = Resources::made_together(&used).map_err(|error| format!("launch_group: {error}"))?;
    Ok(GroupLaunch { framework, executor, tasks, made, refusal })
}

fn executor(
    info: &v1::ExecutorInfo,
    described: ExecutorDescription,
    is_new: bool,
    terms: &Terms<'_>,
) -> Result<ExecutorLaunch, String> {
    let grace = info.shutdown_grace_period.as_ref().and_then(|grace| grace.nanoseconds);
    Ok(ExecutorLaunch {
        id: described.id,
        kind: described.kind,
        is_new,
        shutdown_grace: grace
            .map(|nanos| u64::try_from(nanos).map(Duration::from_nanos))
            .transpose()
            .map_err(|_| "executor.shutdown_grace_period must not be negative")?,
        info: terms.secrets.seal(info.clone()),
    })
}

fn read_operate(operate: &link::Operate) -> Result<Operate, String> {
    let list = |field: &str, wire: &[v1::Resource]| {
        resources_from_wire(field, wire).map_err(|error| format!("operate.{error}"))
    };
    Ok(Operate {
        key: id("operate.key", &operate.key)?,
        framework: match operate.framework_id.as_str() {
            "" => None,
            framework => Some(id("operate.framework_id", framework)?),
        },
        operation: operate
            .operation_id
            .as_deref()
            .map(|text| id("operate.operation_id", text))
            .transpose()?,
        conversion: Conversion {
            consumed: list("consumed", &operate.consumed)?,
            converted: list("converted", &operate.converted)?,
        },
    })
}

fn framework(info: &v1::FrameworkInfo) -> Result<FrameworkRecord, String> {
    let described = FrameworkDescription::try_from(info).map_err(|error| format!("framework: {error}"))?;
    Ok(FrameworkRecord {
        knows_killing: described.can(FrameworkCapability::TaskKillingState),
        partition_aware: described.is_partition_aware(),
        id: described.id.ok_or("framework.id is missing")?,
        info: payload(info),
    })
}

fn payload(message: &impl Message) -> Payload {
    message.encode_to_vec().into()
}

fn grace(policy: Option<&v1::KillPolicy>) -> Result<Option<Duration>, String> {
    let Some(policy) = policy else { return Ok(None) };
    let policy = KillPolicy::try_from(policy).map_err(|error| error.to_string())?;
    Ok(policy.grace_period)
}

fn key(framework: &str, task: &str) -> Result<TaskKey, String> {
    Ok(TaskKey { framework: id("framework_id", framework)?, task: id("task_id", task)? })
}

fn id<T: std::str::FromStr<Err = chapada_model::InvalidId>>(field: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{field}: {error}"))
}
