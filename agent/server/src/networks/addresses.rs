//! What is said of a container's networks to frameworks and readers.

use std::net::IpAddr;
use std::sync::Arc;

use chapada_agent_core::{Runner, TaskRecord};
use chapada_model::ContainerId;
use chapada_network::{Attached, Interface, Networks};
use chapada_wire::{Json, v1};
use prost::Message;
use serde_json::Value;

use super::wishes::{ARGS, NETWORK_INFO, NetworkWish, network_of};

/// What a container that has joined networks has: for each, what the framework said of it, with the addresses it got.
/// Source: Mesos' `network/cni`.
pub(crate) fn network_infos(attached: &Arc<Attached>) -> Vec<v1::NetworkInfo> {
    attached.interfaces.iter().map(network_info).collect()
}

fn network_info(interface: &Interface) -> v1::NetworkInfo {
    let said = interface.args.get(ARGS).and_then(|args| args.get(NETWORK_INFO));
    let said = said.and_then(|said| v1::NetworkInfo::from_json(said.to_string().as_bytes()).ok());
    let addresses = interface.addresses.iter().map(|address| ip_address(address.ip));
    v1::NetworkInfo {
        name: Some(interface.network.clone()),
        ip_addresses: addresses.collect(),
        ..said.unwrap_or_default()
    }
}

pub(crate) fn ip_address(ip: IpAddr) -> v1::network_info::IpAddress {
    let protocol = match ip {
        IpAddr::V4(_) => v1::network_info::Protocol::IPv4,
        IpAddr::V6(_) => v1::network_info::Protocol::IPv6,
    };
    v1::network_info::IpAddress { protocol: Some(protocol as i32), ip_address: Some(ip.to_string()) }
}

/// The same for a container that may be one of a pod, which has its networks; nothing for one on the machine's.
pub(crate) fn infos_of(
    networks: &Networks,
    container: &ContainerId,
    pod: Option<&ContainerId>,
) -> Vec<v1::NetworkInfo> {
    let attached = networks.of(container.as_str()).or_else(|| networks.of(pod?.as_str()));
    attached.as_ref().map(network_infos).unwrap_or_default()
}

/// The same for a task, as JSON.
pub(crate) fn shown(networks: &Networks, task: &TaskRecord) -> Vec<Value> {
    let infos = of(networks, task).as_ref().map(network_infos).unwrap_or_default();
    infos.iter().filter_map(|info| serde_json::from_slice(&info.to_json()).ok()).collect()
}

/// What the container of a task has joined, or for a task of a pod the pod.
pub(crate) fn of(networks: &Networks, task: &TaskRecord) -> Option<Arc<Attached>> {
    let of_pod = || match &task.runner {
        Runner::Pod { parent, .. } => networks.of(parent.as_str()),
        Runner::Command | Runner::Custom { .. } => None,
    };
    networks.of(task.container.as_str()).or_else(of_pod)
}

/// Whether the task has a network that nobody else is in.
pub(crate) fn is_alone(task: &TaskRecord) -> bool {
    let info = v1::TaskInfo::decode(task.info.as_bytes()).ok();
    let container = info.and_then(|info| info.container);
    container.is_some_and(|container| matches!(network_of("container", &container), Ok(NetworkWish::Alone)))
}
