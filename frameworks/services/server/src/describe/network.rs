//! The networks of a container. What agents call the bridge that they have without a configuration has a name here, for
//! containers of type MESOS name every network.

use chapada_sdk::wire;
use chapada_services_core::{LaunchMapping, LaunchNetwork, NO_NETWORK};
use wire::container_info::DockerInfo;
use wire::container_info::docker_info::Network;

use super::discovery::labels;

/// Source: agents' `--bridge-network`, and Marathon's `--mesos_bridge_name`.
const BRIDGE: &str = "mesos-bridge";

/// For a container of type MESOS.
pub(super) fn infos(networks: Vec<LaunchNetwork>) -> Vec<wire::NetworkInfo> {
    networks.into_iter().map(|network| info(network, Some(BRIDGE))).collect()
}

/// For a container of type DOCKER, which has one network at most.
pub(super) fn of_docker(docker: &mut DockerInfo, networks: Vec<LaunchNetwork>) -> Vec<wire::NetworkInfo> {
    let kind = match networks.first().map(|network| network.name.as_deref()) {
        None => Network::Host,
        Some(None) => Network::Bridge,
        Some(Some(NO_NETWORK)) => Network::None,
        Some(Some(_)) => Network::User,
    };
    docker.set_network(kind);
    match kind {
        Network::Host | Network::None => Vec::new(),
        Network::Bridge | Network::User => networks.into_iter().map(|network| info(network, None)).collect(),
    }
}

fn info(network: LaunchNetwork, bridge: Option<&str>) -> wire::NetworkInfo {
    wire::NetworkInfo {
        name: network.name.or_else(|| bridge.map(str::to_owned)),
        labels: Some(labels(network.labels)).filter(|labels| !labels.labels.is_empty()),
        port_mappings: network.mappings.into_iter().map(mapping).collect(),
        ..wire::NetworkInfo::default()
    }
}

fn mapping(mapping: LaunchMapping) -> wire::network_info::PortMapping {
    wire::network_info::PortMapping {
        host_port: Some(mapping.host.into()),
        container_port: Some(mapping.container.into()),
        protocol: Some(mapping.protocol.to_owned()),
    }
}
