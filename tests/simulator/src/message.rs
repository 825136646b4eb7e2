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
            Self::Command { epoch, command, .. } => write!(out, "epoch {epoch} {}", brief_command(command)),
            Self::Subscribe(description) => {
                write!(out, "subscribe {} {:?}", description.name, description.id)
            }
            Self::Call(call) => write!(out, "call {}", brief_call(call)),
            Self::Event(event) => write!(out, "event {}", brief_event(event)),
            Self::Refused(message) => write!(out, "refused: {message}"),
            Self::Closed => out.write_str("closed"),
        }
    }
}

fn brief_command(command: &AgentCommand) -> String {
    match command {
        AgentCommand::Welcome { agent } => format!("welcome {agent}"),
        AgentCommand::Launch { task, .. } => format!("launch {}", task.id),
        AgentCommand::LaunchGroup { executor, tasks, is_first, .. } => {
            let ids: Vec<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
            format!("launch {} on {}{}", ids.join(", "), executor.id, if *is_first { ", new" } else { "" })
        }
        AgentCommand::Kill { task, .. } => format!("kill {task}"),
        AgentCommand::Acknowledge { task, uuid, .. } => format!("acknowledge {task} {:02x}", uuid.0[15]),
        AgentCommand::Operate { operation } => format!("operate {} {:?}", operation.key, operation.kind),
        AgentCommand::UpdateFramework { framework } => format!("framework {:?}", framework.id),
        other => format!("{other:?}"),
    }
}

pub(crate) fn brief_call(call: &Call) -> String {
    match call {
        Call::Accept(accept) => {
            format!("accept {:?} for {} operations", accept.offers, accept.operations.len())
        }
        Call::UpdateFramework { .. } => "update framework".to_owned(),
        other => format!("{other:?}"),
    }
}

fn brief_event(event: &SchedulerEvent) -> String {
    match event {
        SchedulerEvent::Offers(offers) => {
            let each =
                offers.iter().map(|offer| format!("{} of {} {}", offer.id, offer.agent, offer.resources));
            format!("offers {}", each.collect::<Vec<_>>().join(", "))
        }
        SchedulerEvent::UpdateOperation(status) => {
            format!("operation {:?} {}", status.operation, status.state)
        }
        SchedulerEvent::Update(status) => {
            let name = status.uuid.map_or("-".to_owned(), |uuid| format!("{:02x}", uuid.0[15]));
            format!("update {} {} {name}", status.task, status.state)
        }
        other => format!("{other:?}"),
    }
}
