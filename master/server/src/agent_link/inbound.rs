//! Messages of an agent into events.

use std::net::SocketAddr;
use std::sync::Arc;

use chapada_master_core::{Event, Held, HeldExecutor, HeldTask, LinkId};
use chapada_model::{
    AgentCapability, AgentDescription, AgentId, ExecutorDescription, ExecutorId, ExecutorKey,
    FrameworkDescription, FrameworkId, OperationStatus, TaskState, TaskStatus,
};
use chapada_wire::convert::{InvalidField, operation_status_from_wire, task_from_bytes};
use chapada_wire::link::{self, from_agent};

/// Reads what an agent says about itself. `peer` stands in for an address the agent does not know better.
pub(crate) fn describe(hello: &link::Hello, peer: SocketAddr) -> Result<AgentDescription, InvalidField> {
    let info = hello.agent_info.as_ref().ok_or_else(|| InvalidField::missing("hello.agent_info"))?;
    let mut agent = AgentDescription::try_from(info).map_err(|error| error.within("hello.agent_info"))?;
    agent.version = hello.version.as_str().into();
    // What a newer agent can do besides is nothing that this master would ask of it.
    agent.capabilities =
        hello.capabilities.iter().filter_map(|name| AgentCapability::from_name(name)).collect();
    agent.address = match hello.address.parse::<SocketAddr>() {
        Ok(address) if !address.ip().is_unspecified() => address.to_string().into(),
        Ok(address) => SocketAddr::new(peer.ip(), address.port()).to_string().into(),
        Err(_) => SocketAddr::new(peer.ip(), agent.port).to_string().into(),
    };
    Ok(agent)
}

/// Adds one page of what an agent holds.
pub(crate) fn hold(held: &mut Held, page: link::Holding) -> Result<(), InvalidField> {
    for (index, framework) in page.frameworks.iter().enumerate() {
        let within = |error: InvalidField| error.within(format!("holding.frameworks[{index}]"));
        held.frameworks.push(FrameworkDescription::try_from(framework).map_err(within)?);
    }
    for (index, task) in page.tasks.into_iter().enumerate() {
        let within = |error: InvalidField| error.within(format!("holding.tasks[{index}]"));
        held.tasks.push(held_task(task).map_err(within)?);
    }
    for (index, operation) in page.operations.iter().enumerate() {
        let within = |error: InvalidField| error.within(format!("holding.operations[{index}]"));
        held.operations.push(operation_status(operation).map_err(within)?);
    }
    for (index, executor) in page.executors.iter().enumerate() {
        let within = |error: InvalidField| error.within(format!("holding.executors[{index}]"));
        held.executors.push(held_executor(executor).map_err(within)?);
    }
    Ok(())
}

fn operation_status(update: &link::OperationUpdate) -> Result<OperationStatus, InvalidField> {
    let status = update.status.as_ref().ok_or_else(|| InvalidField::missing("status"))?;
    let framework = match update.framework_id.as_str() {
        "" => None,
        framework => Some(id("framework_id", framework)?),
    };
    operation_status_from_wire(id("key", &update.key)?, framework, status).map_err(|e| e.within("status"))
}

fn held_task(held: link::HeldTask) -> Result<HeldTask, InvalidField> {
    let latest = held.latest.map(TaskStatus::try_from).transpose();
    Ok(HeldTask {
        framework: id("framework_id", &held.framework_id)?,
        task: Arc::new(task_from_bytes("task", &held.task)?),
        latest: latest.map_err(|error| error.within("latest"))?,
        acknowledged: held
            .acknowledged_state
            .map(|number| state("acknowledged_state", number))
            .transpose()?,
    })
}

fn held_executor(held: &link::HeldExecutor) -> Result<HeldExecutor, InvalidField> {
    let executor = held.executor.as_ref().ok_or_else(|| InvalidField::missing("executor"))?;
    Ok(HeldExecutor {
        framework: id("framework_id", &held.framework_id)?,
        executor: ExecutorDescription::try_from(executor).map_err(|error| error.within("executor"))?,
    })
}

/// What a message of a registered agent means; nothing for one that only shows that it lives.
pub(crate) fn event(
    link: LinkId,
    agent: &AgentId,
    message: from_agent::Message,
) -> Result<Option<Event>, InvalidField> {
    use from_agent::Message;
    let agent = agent.clone();
    Ok(Some(match message {
        Message::Update(update) => {
            let status = update.status.ok_or_else(|| InvalidField::missing("update.status"))?;
            let status = TaskStatus::try_from(status).map_err(|error| error.within("update.status"))?;
            Event::Update {
                link,
                agent,
                framework: id("update.framework_id", &update.framework_id)?,
                latest: state("update.latest_state", update.latest_state)?,
                status,
            }
        }
        Message::CompletedTasks(completed) => {
            let mut tasks = Vec::with_capacity(completed.tasks.len());
            for (index, task) in completed.tasks.into_iter().enumerate() {
                let within = |error: InvalidField| error.within(format!("completed_tasks.tasks[{index}]"));
                tasks.push(held_task(task).map_err(within)?);
            }
            Event::CompletedTasks { link, agent, tasks }
        }
        Message::OperationUpdate(update) => Event::OperationUpdate {
            link,
            agent,
            status: operation_status(&update).map_err(|error| error.within("operation_update"))?,
        },
        Message::FrameworkMessage(message) => Event::ExecutorMessage {
            agent,
            executor: executor("framework_message", &message.framework_id, &message.executor_id)?,
            data: message.data.into(),
        },
        Message::ExecutorGone(gone) => Event::ExecutorGone {
            agent,
            executor: executor("executor_gone", &gone.framework_id, &gone.executor_id)?,
            status: gone.status,
        },
        Message::CommandRefused(refused) => {
            tracing::warn!(agent_id = %agent, sequence = refused.sequence, why = refused.reason, "an agent refused a command");
            return Ok(None);
        }
        Message::Heartbeat(_) => return Ok(None),
        Message::Hello(_) => return Err(InvalidField::new("hello", "came twice")),
        Message::Holding(_) => return Err(InvalidField::new("holding", "came after its last page")),
    }))
}

fn executor(field: &str, framework: &str, executor: &str) -> Result<ExecutorKey, InvalidField> {
    Ok(ExecutorKey {
        framework: id::<FrameworkId>(&format!("{field}.framework_id"), framework)?,
        executor: id::<ExecutorId>(&format!("{field}.executor_id"), executor)?,
    })
}

fn id<I: std::str::FromStr<Err: std::fmt::Display>>(field: &str, text: &str) -> Result<I, InvalidField> {
    text.parse().map_err(|error| InvalidField::new(field, error))
}

fn state(field: &str, number: i32) -> Result<TaskState, InvalidField> {
    TaskState::try_from(number).map_err(|error| InvalidField::new(field, error))
}
