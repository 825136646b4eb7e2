//! The books as messages of the operator API.

use chapada_master_core::{Agent, AgentState, Framework, FrameworkState, OfferOperation, Snapshot, Task};
use chapada_model::{MasterDescription, Resources, Wall};
use chapada_wire::convert::{
    ReservationFormat, operation_uuid, resources_to_wire, task_record, wall_to_wire,
};
use chapada_wire::v1;
use chapada_wire::v1::master::response::{self, get_agents, get_executors, get_frameworks};

use super::agents;
use crate::changes;
use crate::shell::Led;

pub(super) fn task(task: &Task) -> v1::Task {
    let last = task.statuses.iter().rev().find(|status| status.uuid.is_some());
    v1::Task {
        statuses: task.statuses.iter().map(|status| (&**status).into()).collect(),
        status_update_state: last.map(|status| status.state.number()),
        status_update_uuid: last.and_then(|status| status.uuid).map(|uuid| uuid.0.to_vec()),
        resources: resources(&task.resources.allocated_to(&task.role)),
        ..task_record(&task.description, &task.framework, task.state)
    }
}

pub(super) fn agent(agent: &Agent) -> get_agents::Agent {
    let info = v1::AgentInfo { id: Some((&agent.id).into()), ..(&*agent.description).into() };
    get_agents::Agent {
        agent_info: Some(info),
        active: Some(is_active(agent)),
        deactivated: Some(agent.deactivated),
        drain_info: agent.drain.as_ref().map(agents::drain_info),
        // Source: Mesos says when, to the second.
        estimated_drain_start_time: agent.drain.as_ref().map(|drain| whole_seconds(drain.since)),
        version: Some(agent.description.version.to_string()),
        pid: Some(format!("slave(1)@{}", agent.description.address)),
        registered_time: Some(wall_to_wire(agent.registered)),
        reregistered_time: agent.reregistered.map(wall_to_wire),
        total_resources: resources(&agent.total),
        allocated_resources: resources(&agent.used),
        offered_resources: resources(&agent.offered),
        capabilities: agent
            .description
            .capabilities
            .iter()
            .map(|capability| v1::agent_info::Capability { r#type: Some(capability.number()) })
            .collect(),
        ..get_agents::Agent::default()
    }
}

/// Whether the agent is connected and offered.
pub(crate) fn is_active(agent: &Agent) -> bool {
    matches!(agent.state, AgentState::Active { .. }) && !agent.deactivated
}

fn whole_seconds(at: Wall) -> v1::TimeInfo {
    const NANOS: u64 = 1_000_000_000;
    wall_to_wire(Wall(at.0 / NANOS * NANOS))
}

/// A framework without what it holds.
pub(super) fn framework_alone(framework: &Framework) -> get_frameworks::Framework {
    let subscribed = matches!(framework.state, FrameworkState::Active { .. });
    let info = v1::FrameworkInfo { id: Some((&framework.id).into()), ..(&*framework.description).into() };
    get_frameworks::Framework {
        framework_info: Some(info),
        active: Some(subscribed),
        connected: Some(subscribed),
        recovered: Some(framework.recovered),
        registered_time: Some(wall_to_wire(framework.registered)),
        // Source: Mesos gives the first registration when there was no other.
        reregistered_time: Some(wall_to_wire(framework.reregistered.unwrap_or(framework.registered))),
        unregistered_time: match framework.state {
            FrameworkState::Completed { at } => Some(wall_to_wire(at)),
            _ => None,
        },
        ..get_frameworks::Framework::default()
    }
}

/// The executors of frameworks' own on an agent, without the values of secrets.
pub(super) fn executors(agent: &Agent) -> impl Iterator<Item = get_executors::Executor> {
    agent.executors.values().map(|executor| {
        let mut info = v1::ExecutorInfo::from(&*executor.description);
        chapada_wire::secrets::take(&mut info);
        get_executors::Executor { executor_info: Some(info), agent_id: Some((&agent.id).into()) }
    })
}

pub(super) fn roles(books: &Snapshot) -> response::GetRoles {
    let role = |role: &chapada_master_core::RoleView| {
        let mut held = role.allocated.clone();
        for (name, amount) in role.offered.iter() {
            held.add(name, amount);
        }
        v1::Role {
            name: Some(role.name.to_string()),
            weight: Some(role.weight.to_f64()),
            frameworks: role.frameworks.iter().map(Into::into).collect(),
            // Source: Mesos leaves out what has no amount, as ports.
            resources: held
                .iter()
                .filter(|(name, _)| books.total.0.contains_key(*name))
                .map(|(name, amount)| scalar(name, amount))
                .collect(),
        }
    };
    response::GetRoles { roles: books.roles().iter().map(role).collect() }
}

fn scalar(name: &str, amount: chapada_model::Milli) -> v1::Resource {
    v1::Resource {
        name: Some(name.to_owned()),
        r#type: Some(v1::value::Type::Scalar.into()),
        scalar: Some(v1::value::Scalar { value: Some(amount.to_f64()) }),
        ..v1::Resource::default()
    }
}

pub(super) fn master(led: &Led, started: chapada_model::Wall) -> response::GetMaster {
    response::GetMaster {
        master_info: Some(master_info(&led.master)),
        start_time: Some(started.as_secs_f64()),
        elected_time: Some(led.elected.as_secs_f64()),
    }
}

fn master_info(master: &MasterDescription) -> v1::MasterInfo {
    master.into()
}

pub(super) fn resources(resources: &Resources) -> Vec<v1::Resource> {
    resources_to_wire(resources, ReservationFormat::Both)
}

pub(super) fn operation(operation: &OfferOperation) -> v1::Operation {
    let status = v1::OperationStatus::from(&*operation.status);
    v1::Operation {
        framework_id: operation.framework.as_ref().map(Into::into),
        agent_id: Some((&operation.agent).into()),
        info: Some(changes::operation_info(operation)),
        statuses: vec![status.clone()],
        latest_status: Some(status),
        uuid: Some(operation_uuid(&operation.key)),
    }
}
