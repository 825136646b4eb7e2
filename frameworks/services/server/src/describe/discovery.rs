//! How others find a task.

use std::collections::BTreeMap;

use chapada_sdk::wire;
use chapada_sdk::wire::discovery_info::Visibility;
use chapada_services_core::LaunchPort;

/// Its name and ports, for those who look services up.
pub(crate) fn discovery_info(name: &str, ports: Vec<LaunchPort>) -> wire::DiscoveryInfo {
    let port = |port: LaunchPort| wire::Port {
        number: Some(port.number.into()),
        name: port.name,
        protocol: Some(port.protocol.to_owned()),
        labels: Some(labels(port.labels)),
        ..Default::default()
    };
    let mut info = wire::DiscoveryInfo {
        name: Some(name.to_owned()),
        ports: Some(wire::Ports { ports: ports.into_iter().map(port).collect() }),
        ..Default::default()
    };
    info.set_visibility(Visibility::Framework);
    info
}

/// Labels, in the API's terms.
pub(super) fn labels(labels: BTreeMap<String, String>) -> wire::Labels {
    let label = |(key, value)| wire::Label { key: Some(key), value: Some(value) };
    wire::Labels { labels: labels.into_iter().map(label).collect() }
}
