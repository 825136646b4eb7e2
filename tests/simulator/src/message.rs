//! What goes over a wire, and how it reads in a history.

use std::fmt;

use chapada_master_core::{AgentCommand, Call, Held, SchedulerEvent};
use chapada_model::{
    AgentDescription, ExecutorKey, FrameworkDescription, FrameworkId, OperationStatus, Payload, TaskState,
    TaskStatus,
};

/// One message.
#[derive(Debug)]
pub(crate) enum Message {
    /// An agent states all it holds.
    Hello { agent: Box<AgentDescription>, held: Box<Held> },
    /// An agent's update.
    Update { framework: FrameworkId, status: Box<TaskStatus>, latest: TaskState },
    /// An executor is over.
    ExecutorGone { executor: ExecutorKey, status: i32 },
    /// An executor sends bytes to its framework.
    ExecutorSays { executor: ExecutorKey, data: Payload },
    /// An agent says what became of an operation.
    Operation(Box<OperationStatus>),
    /// A master's command.
    Command { epoch: u64, sequence: u64, command: Box<AgentCommand> },
    /// A framework subscribes.
    Subscribe(Box<FrameworkDescription>),
    /// A framework calls, in order with its other calls.
    Call(Box<Call>),
    /// A master's event.
    Event(Box<SchedulerEvent>),
    /// A subscription is refused.
    Refused(String),
    /// The other end has closed in good order.
    Closed,
}

impl fmt::Display for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello { agent, held } => write!(out, "hello {:?} holds {}", agent.id, held.tasks.len()),
            Self::Update { framework, status, latest } => {
                write!(out, "update {framework}/{} {} latest {latest}", status.task, status.state)
            }
            Self::ExecutorGone { executor, status } => write!(out, "executor {executor} gone: {status}"),
            Self::ExecutorSays { executor, .. } => write!(out, "executor {executor} says something"),
            Self::Operation(status) => write!(out, "operation {:?} {}", status.key, status.state),
            Self::Command { epoch, command, .. } => write!(out, "epoch {epoch} {}", Brief(&**command)),
            Self::Subscribe(description) => {
                write!(out, "subscribe {} {:?}", description.name, description.id)
            }
            Self::Call(call) => write!(out, "call {}", Brief(&**call)),
            Self::Event(event) => write!(out, "event {}", Brief(&**event)),
            Self::Refused(message) => write!(out, "refused: {message}"),
            Self::Closed => out.write_str("closed"),
        }
    }
}

/// What of it a history shows.
pub(crate) struct Brief<'a, T>(pub(crate) &'a T);

impl fmt::Display for Brief<'_, AgentCommand> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            AgentCommand::Welcome { agent, .. } => write!(out, "welcome {agent}"),
            AgentCommand::Launch { task, .. } => write!(out, "launch {}", task.id),
            AgentCommand::LaunchGroup { executor, tasks, is_first, .. } => {
                let ids: Vec<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
                let new = if *is_first { ", new" } else { "" };
                write!(out, "launch {} on {}{new}", ids.join(", "), executor.id)
            }
            AgentCommand::Kill { task, .. } => write!(out, "kill {task}"),
            AgentCommand::Acknowledge { task, uuid, .. } => {
                write!(out, "acknowledge {task} {:02x}", uuid.0[15])
            }
            AgentCommand::Operate { operation } => {
                write!(out, "operate {} {:?}", operation.key, operation.kind)
            }
            AgentCommand::UpdateFramework { framework } => write!(out, "framework {:?}", framework.id),
            other => write!(out, "{other:?}"),
        }
    }
}

impl fmt::Display for Brief<'_, Call> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Call::Accept(accept) => {
                write!(out, "accept {:?} for {} operations", accept.offers, accept.operations.len())
            }
            Call::UpdateFramework { .. } => out.write_str("update framework"),
            other => write!(out, "{other:?}"),
        }
    }
}

impl fmt::Display for Brief<'_, SchedulerEvent> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SchedulerEvent::Offers(offers) => {
                out.write_str("offers ")?;
                for (index, offer) in offers.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(out, "{comma}{} of {} {}", offer.id, offer.agent, offer.resources)?;
                }
                Ok(())
            }
            SchedulerEvent::UpdateOperation(status) => {
                write!(out, "operation {:?} {}", status.operation, status.state)
            }
            SchedulerEvent::Update(status) => {
                write!(out, "update {} {} ", status.task, status.state)?;
                match status.uuid {
                    Some(uuid) => write!(out, "{:02x}", uuid.0[15]),
                    None => out.write_str("-"),
                }
            }
            other => write!(out, "{other:?}"),
        }
    }
}
