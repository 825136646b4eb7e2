//! Commands of the books into messages for an agent.

use chapada_master_core::{AgentCommand, OfferOperation, RefusedReason};
use chapada_model::{Resources, Role, TaskDescription};
use chapada_wire::convert::{ReservationFormat, resources_to_wire, wall_to_wire};
use chapada_wire::link::{self, to_agent::Message};
use chapada_wire::v1;

use super::PROTOCOL_VERSION;
use super::session::Terms;
use crate::operator::agents::drain_config;

/// The message of a command.
pub(crate) fn message(command: &AgentCommand, terms: &Terms) -> Message {
    match command {
        AgentCommand::Welcome { agent, completed } => Message::Welcome(link::Welcome {
            protocol_version: PROTOCOL_VERSION,
            agent_id: agent.to_string(),
            master_id: terms.master_id.to_string(),
            heartbeat_interval_ms: millis(terms.heartbeat_interval),
            heartbeat_timeout_ms: millis(terms.silence_limit),
            completed_tasks_wanted: *completed,
        }),
        AgentCommand::Refused { reason, message } => refused(
            match reason {
                RefusedReason::Gone => link::refused::Reason::Gone,
                RefusedReason::IdInUse => link::refused::Reason::IdInUse,
                RefusedReason::MachineDown => link::refused::Reason::MachineDown,
                RefusedReason::Invalid => link::refused::Reason::Invalid,
            },
            message.to_string(),
        ),
        AgentCommand::Launch { framework, task, role, is_first } => Message::Launch(link::Launch {
            framework: Some((&**framework).into()),
            task: Some(task_info(task, role)),
            launch_executor: *is_first,
        }),
        AgentCommand::LaunchGroup { framework, executor, tasks, role, is_first } => {
            let mut executor = v1::ExecutorInfo::from(&**executor);
            allocate(&mut executor.resources, role);
            Message::LaunchGroup(link::LaunchGroup {
                framework: Some((&**framework).into()),
                executor: Some(executor),
                tasks: tasks.iter().map(|task| task_info(task, role)).collect(),
                launch_executor: *is_first,
            })
        }
        AgentCommand::Drain { drain } => Message::Drain(link::Drain {
            config: drain.as_ref().map(|drain| drain_config(&drain.order)),
            since: drain.as_ref().map(|drain| wall_to_wire(drain.since)),
        }),
        AgentCommand::Kill { framework, task, policy } => Message::Kill(link::Kill {
            framework_id: framework.to_string(),
            task_id: task.to_string(),
            kill_policy: policy.as_ref().map(Into::into),
        }),
        AgentCommand::Acknowledge { framework, task, uuid } => Message::Acknowledge(link::Acknowledge {
            framework_id: framework.to_string(),
            task_id: task.to_string(),
            uuid: uuid.0.to_vec(),
        }),
        AgentCommand::Operate { operation } => Message::Operate(operate(operation)),
        AgentCommand::AcknowledgeOperation { key, uuid } => {
            Message::AcknowledgeOperation(link::AcknowledgeOperation {
                key: key.to_string(),
                uuid: uuid.0.to_vec(),
            })
        }
        AgentCommand::ExecutorMessage { framework, executor, data } => {
            Message::ExecutorMessage(link::ExecutorMessage {
                framework_id: framework.to_string(),
                executor_id: executor.to_string(),
                data: data.as_bytes().to_vec(),
            })
        }
        AgentCommand::ShutdownExecutor { framework, executor } => {
            Message::ShutdownExecutor(link::ShutdownExecutor {
                framework_id: framework.to_string(),
                executor_id: executor.to_string(),
            })
        }
        AgentCommand::ShutdownFramework { framework } => {
            Message::ShutdownFramework(link::ShutdownFramework { framework_id: framework.to_string() })
        }
        AgentCommand::UpdateFramework { framework } => {
            Message::UpdateFramework(link::UpdateFramework { framework: Some((&**framework).into()) })
        }
    }
}

fn operate(operation: &OfferOperation) -> link::Operate {
    let list = |resources: &Resources| resources_to_wire(resources, ReservationFormat::Stacked);
    let conversion = operation.conversion.as_deref();
    link::Operate {
        key: operation.key.to_string(),
        framework_id: operation.framework.as_ref().map(ToString::to_string).unwrap_or_default(),
        operation_id: operation.status.operation.as_ref().map(ToString::to_string),
        consumed: conversion.map(|conversion| list(&conversion.consumed)).unwrap_or_default(),
        converted: conversion.map(|conversion| list(&conversion.converted)).unwrap_or_default(),
    }
}

/// The answer to an agent that is not taken.
pub(super) fn refused(reason: link::refused::Reason, message: String) -> Message {
    Message::Refused(link::Refused { reason: reason.into(), message })
}

fn task_info(task: &TaskDescription, role: &Role) -> v1::TaskInfo {
    let mut info = v1::TaskInfo::from(task);
    allocate(&mut info.resources, role);
    if let Some(executor) = &mut info.executor {
        allocate(&mut executor.resources, role);
    }
    info
}

/// The role goes into the resources where they say nothing, so that the agent can state later whom they count for.
fn allocate(resources: &mut [v1::Resource], role: &Role) {
    for resource in resources {
        let allocation = resource.allocation_info.get_or_insert_default();
        allocation.role.get_or_insert_with(|| role.to_string());
    }
}

fn millis(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
