//! From the core's words to the wire's.

use std::net::IpAddr;

use chapada_agent_core::{
    CheckStatus, ExecutorRecord, FrameworkRecord, HeldTask, Runner, TaskRecord, Update,
};
use chapada_model::{AgentId, Reason, Resources};
use chapada_network::Networks;
use chapada_wire::convert::{ReservationFormat, resources_to_wire};
use chapada_wire::{link, v1};
use prost::Message;

use crate::layout::executor_of;
use crate::network_class::NetworkClasses;
use crate::networks;

/// What of the agent itself stands in every status.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) agent: AgentId,
    /// The address that tasks on the host's network have.
    pub(crate) ip: IpAddr,
    /// Those of the others.
    pub(crate) networks: Networks,
    pub(crate) classes: NetworkClasses,
}

/// A status, as frameworks get it.
pub(crate) fn status(task: &TaskRecord, update: &Update, identity: &Identity) -> v1::TaskStatus {
    let status = bare_status(task.key.task.as_str(), update, identity);
    let mut container = container_status(task, update, identity);
    if let Some(said) = status.container_status.clone() {
        // An executor may know better than the agent what it made.
        container.container_id = said.container_id.or(container.container_id);
        if !said.network_infos.is_empty() {
            container.network_infos = said.network_infos;
        }
    }
    v1::TaskStatus {
        container_status: Some(container),
        executor_id: Some(v1::ExecutorId { value: Some(executor_of(task).to_string()) }),
        ..status
    }
}

/// A status of a task that is not held.
pub(crate) fn bare_status(task: &str, update: &Update, identity: &Identity) -> v1::TaskStatus {
    let details = update.details.as_ref();
    let said =
        details.and_then(|details| v1::TaskStatus::decode(details.as_bytes()).ok()).unwrap_or_default();
    v1::TaskStatus {
        task_id: Some(v1::TaskId { value: Some(task.to_owned()) }),
        state: Some(update.state.number()),
        message: (!update.message.is_empty()).then(|| update.message.clone()),
        source: Some(update.source.number()),
        reason: update.reason.map(Reason::number),
        agent_id: Some(v1::AgentId { value: Some(identity.agent.to_string()) }),
        timestamp: Some(update.at.as_secs_f64()),
        uuid: Some(update.uuid.0.to_vec()),
        healthy: update.healthy.or(said.healthy),
        check_status: update.check.map(check_status).or(said.check_status),
        limitation: limitation(&update.exceeded).or(said.limitation),
        ..said
    }
}

fn check_status(found: CheckStatus) -> v1::CheckStatusInfo {
    use v1::check_status_info::{Command, Http, Tcp};
    let of =
        |kind: v1::check_info::Type| v1::CheckStatusInfo { r#type: Some(kind as i32), ..Default::default() };
    match found {
        CheckStatus::Command(exit_code) => {
            v1::CheckStatusInfo { command: Some(Command { exit_code }), ..of(v1::check_info::Type::Command) }
        }
        CheckStatus::Http(status_code) => {
            v1::CheckStatusInfo { http: Some(Http { status_code }), ..of(v1::check_info::Type::Http) }
        }
        CheckStatus::Tcp(succeeded) => {
            v1::CheckStatusInfo { tcp: Some(Tcp { succeeded }), ..of(v1::check_info::Type::Tcp) }
        }
    }
}

fn container_status(task: &TaskRecord, update: &Update, identity: &Identity) -> v1::ContainerStatus {
    let mut container_id = v1::ContainerId::from(&task.container);
    if let Runner::Pod { parent, .. } = &task.runner {
        container_id.parent = Some(Box::new(parent.into()));
        if update.state.is_terminal() {
            // Mesos' default executor says no more of a container that is gone.
            return v1::ContainerStatus { container_id: Some(container_id), ..Default::default() };
        }
    }
    v1::ContainerStatus {
        container_id: Some(container_id),
        network_infos: networks_of(task, identity),
        cgroup_info: identity.classes.shown(task.container.as_str()),
        executor_pid: update.pid,
    }
}

/// The networks of a task's container; those of a pod are its tasks'.
fn networks_of(task: &TaskRecord, identity: &Identity) -> Vec<v1::NetworkInfo> {
    match networks::of(&identity.networks, task) {
        Some(attached) => networks::network_infos(&attached),
        None if networks::is_alone(task) => Vec::new(),
        None => machines_network(identity.ip),
    }
}

/// The address of a task on the machine's network; none where the agent listens on all there are.
fn machines_network(ip: IpAddr) -> Vec<v1::NetworkInfo> {
    if ip.is_unspecified() {
        return Vec::new();
    }
    vec![v1::NetworkInfo { ip_addresses: vec![networks::ip_address(ip)], ..v1::NetworkInfo::default() }]
}

fn limitation(exceeded: &Resources) -> Option<v1::TaskResourceLimitation> {
    (!exceeded.is_empty()).then(|| resource_limitation(exceeded))
}

/// What a container took too much of.
pub(crate) fn resource_limitation(exceeded: &Resources) -> v1::TaskResourceLimitation {
    v1::TaskResourceLimitation { resources: resources_to_wire(exceeded, ReservationFormat::Single) }
}

pub(crate) fn held(held: &HeldTask, identity: Option<&Identity>) -> link::HeldTask {
    let latest = held.latest.as_ref().zip(identity);
    link::HeldTask {
        framework_id: held.record.key.framework.to_string(),
        task: held.record.info.as_bytes().to_vec().into(),
        latest: latest.map(|(update, identity)| status(&held.record, update, identity)),
        acknowledged_state: held.acknowledged.map(|state| state.number()),
        executor_id: held.record.executor().map(ToString::to_string).unwrap_or_default(),
    }
}

pub(crate) fn framework(record: &FrameworkRecord) -> Option<v1::FrameworkInfo> {
    v1::FrameworkInfo::decode(record.info.as_bytes()).ok()
}

pub(crate) fn executor(record: &ExecutorRecord) -> link::HeldExecutor {
    link::HeldExecutor {
        framework_id: record.key.framework.to_string(),
        executor: v1::ExecutorInfo::decode(record.info.as_bytes()).ok(),
    }
}
