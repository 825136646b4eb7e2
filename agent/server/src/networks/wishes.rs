//! What a description asks for of networks. What this agent cannot do is refused by the name of its field.

use std::collections::HashSet;

use chapada_agent_core::LaunchRefusal;
use chapada_network::{PortMapping, Protocol, Wish};
use chapada_wire::v1::container_info::docker_info;
use chapada_wire::{Json, v1};
use serde_json::{Map, Value, json};

use crate::containers::{refusal, text, unsupported};

/// The network of this name is one's own, with a loopback and nothing else.
const NO_NETWORK: &str = "none";
/// The network of this name is the machine's.
const HOST_NETWORK: &str = "host";
/// Under which name plugins get what a framework said of the network. Source: Mesos' `network/cni`.
pub(super) const ARGS: &str = "org.apache.mesos";
pub(super) const NETWORK_INFO: &str = "network_info";

/// What a container wants.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum NetworkWish {
    /// The machine's network.
    #[default]
    Host,
    /// One of its own with nothing but a loopback.
    Alone,
    /// One of its own, which is in these networks. The one without a name is the default bridge.
    Join(Vec<Wish>),
}

impl NetworkWish {
    /// Whether it is not the machine's.
    pub(crate) fn is_own(&self) -> bool {
        *self != Self::Host
    }
}

/// What a `ContainerInfo` wants; `field` is where it stands.
///
/// # Errors
/// Names the first field that this agent cannot honour.
pub(crate) fn network_of(field: &str, container: &v1::ContainerInfo) -> Result<NetworkWish, LaunchRefusal> {
    let is_docker = container.r#type == Some(v1::container_info::Type::Docker as i32);
    match &container.docker {
        Some(docker) if is_docker => of_docker(field, container, docker),
        _ => of_infos(field, &container.network_infos),
    }
}

fn of_infos(field: &str, infos: &[v1::NetworkInfo]) -> Result<NetworkWish, LaunchRefusal> {
    let mut wishes = Vec::new();
    for (index, info) in infos.iter().enumerate() {
        let place = format!("{field}.network_infos[{index}]");
        let special = match text(&info.name) {
            NO_NETWORK => NetworkWish::Alone,
            "" | HOST_NETWORK => NetworkWish::Host,
            _ => {
                wishes.push(wish(&place, info, mappings(&place, info)?)?);
                continue;
            }
        };
        if infos.len() > 1 {
            let remedy =
                format!("name it alone, or join networks other than {NO_NETWORK:?} and {HOST_NETWORK:?}");
            return Err(unsupported(&format!("{place}.name"), &remedy));
        }
        if !info.port_mappings.is_empty() {
            let remedy = "map ports in a network that is joined by its name";
            return Err(unsupported(&format!("{place}.port_mappings"), remedy));
        }
        check_addresses(&place, info)?;
        return Ok(special);
    }
    Ok(if wishes.is_empty() { NetworkWish::Host } else { NetworkWish::Join(wishes) })
}

fn of_docker(
    field: &str,
    container: &v1::ContainerInfo,
    docker: &v1::container_info::DockerInfo,
) -> Result<NetworkWish, LaunchRefusal> {
    let infos = container.network_infos.as_slice();
    let place = format!("{field}.network_infos");
    let named = |index: usize| !["", HOST_NETWORK, NO_NETWORK].contains(&text(&infos[index].name));
    let joins = matches!(docker.network(), docker_info::Network::Bridge | docker_info::Network::User);
    if !joins && !docker.port_mappings.is_empty() {
        let remedy = "use the network BRIDGE or USER, or the ports of the offer themselves";
        return Err(unsupported(&format!("{field}.docker.port_mappings"), remedy));
    }
    if docker.network() != docker_info::Network::User
        && let Some(index) = (0..infos.len()).find(|index| named(*index))
    {
        let remedy = format!("use {field}.docker.network USER with it");
        return Err(unsupported(&format!("{place}[{index}].name"), &remedy));
    }
    let info = match infos {
        [] => v1::NetworkInfo::default(),
        [info] => info.clone(),
        _ => return Err(unsupported(&place, "name one network at most in a container of type DOCKER")),
    };
    match docker.network() {
        docker_info::Network::Host => return Ok(NetworkWish::Host),
        docker_info::Network::None => return Ok(NetworkWish::Alone),
        docker_info::Network::Bridge => {}
        docker_info::Network::User if infos.is_empty() || !named(0) => {
            let problem = format!("{place}[0].name is required with {field}.docker.network USER");
            return Err(refusal(problem));
        }
        docker_info::Network::User => {}
    }
    let own = mappings(&format!("{place}[0]"), &info)?;
    let of_docker = docker.port_mappings.iter().enumerate().map(|(index, said)| {
        let place = format!("{field}.docker.port_mappings[{index}]");
        mapping(&place, said.host_port, said.container_port, text(&said.protocol))
    });
    let of_docker = of_docker.collect::<Result<Vec<_>, _>>()?;
    if !own.is_empty() && !of_docker.is_empty() {
        return Err(refusal(format!(
            "{place}[0].port_mappings and {field}.docker.port_mappings: give one of them"
        )));
    }
    let info = v1::NetworkInfo {
        name: info.name.clone().filter(|_| docker.network() == docker_info::Network::User),
        ..info
    };
    let all = if of_docker.is_empty() { own } else { of_docker };
    wish(&format!("{place}[0]"), &info, all).map(|wish| NetworkWish::Join(vec![wish]))
}

fn wish(place: &str, info: &v1::NetworkInfo, port_mappings: Vec<PortMapping>) -> Result<Wish, LaunchRefusal> {
    check_addresses(place, info)?;
    let said: Value =
        serde_json::from_slice(&info.to_json()).map_err(|error| refusal(format!("{place}: {error}")))?;
    let args = Map::from_iter([(ARGS.to_owned(), json!({ NETWORK_INFO: said }))]);
    Ok(Wish { network: text(&info.name).to_owned(), args, port_mappings })
}

/// Which addresses there are is the network's to say; a family without an address asks for nothing.
fn check_addresses(place: &str, info: &v1::NetworkInfo) -> Result<(), LaunchRefusal> {
    match info.ip_addresses.iter().position(|address| address.ip_address.is_some()) {
        None => Ok(()),
        Some(index) => {
            let field = format!("{place}.ip_addresses[{index}].ip_address");
            Err(unsupported(&field, "leave the choice of the address to the network"))
        }
    }
}

fn mappings(place: &str, info: &v1::NetworkInfo) -> Result<Vec<PortMapping>, LaunchRefusal> {
    let each = info.port_mappings.iter().enumerate();
    each.map(|(index, said)| {
        let place = format!("{place}.port_mappings[{index}]");
        mapping(&place, said.host_port, said.container_port, text(&said.protocol))
    })
    .collect()
}

fn mapping(
    place: &str,
    host_port: Option<u32>,
    container_port: Option<u32>,
    protocol: &str,
) -> Result<PortMapping, LaunchRefusal> {
    let port = |field: &str, port: Option<u32>| {
        let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        port.ok_or_else(|| refusal(format!("{place}.{field} must be a port, 1 to 65535")))
    };
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "" | "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return Err(unsupported(&format!("{place}.protocol"), "use tcp or udp")),
    };
    let (host_port, container_port) =
        (port("host_port", host_port)?, port("container_port", container_port)?);
    Ok(PortMapping { host_port, container_port, protocol })
}

/// Ports that were given away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ports(Vec<(u64, u64)>);

impl Ports {
    /// Those among resources.
    pub(crate) fn of<'a>(resources: impl IntoIterator<Item = &'a v1::Resource>) -> Self {
        let ports = resources.into_iter().filter(|resource| text(&resource.name) == "ports");
        let ranges = ports.filter_map(|resource| resource.ranges.as_ref()).flat_map(|ranges| &ranges.range);
        Self(ranges.map(|range| (range.begin.unwrap_or(1), range.end.unwrap_or(0))).collect())
    }

    /// Adds others.
    pub(crate) fn add(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Whether this is one of them.
    pub(crate) fn has(&self, port: u16) -> bool {
        self.0.iter().any(|(begin, end)| (*begin..=*end).contains(&u64::from(port)))
    }
}

/// A port of the machine that is mapped must be one that was given away, and is mapped once. Source: Mesos' docker
/// containerizer.
pub(crate) fn refuse_ports(field: &str, wish: &NetworkWish, given: &Ports) -> Option<LaunchRefusal> {
    let NetworkWish::Join(wishes) = wish else { return None };
    let mut seen = HashSet::new();
    wishes.iter().flat_map(|wish| &wish.port_mappings).find_map(|mapping| {
        let port = mapping.host_port;
        if !given.has(port) {
            let problem = format!(
                "{field}: the port {port} of the machine is mapped, and is not among the task's resources"
            );
            return Some(refusal(problem));
        }
        let is_new = seen.insert((port, mapping.protocol == Protocol::Tcp));
        (!is_new).then(|| refusal(format!("{field}: the port {port} of the machine is mapped twice")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str) -> v1::NetworkInfo {
        v1::NetworkInfo { name: Some(name.to_owned()), ..v1::NetworkInfo::default() }
    }

    fn mapped(name: &str, host_port: u32) -> v1::NetworkInfo {
        let mapping = v1::network_info::PortMapping {
            host_port: Some(host_port),
            container_port: Some(80),
            protocol: None,
        };
        v1::NetworkInfo { port_mappings: vec![mapping], ..info(name) }
    }

    fn of(network_infos: Vec<v1::NetworkInfo>) -> Result<NetworkWish, String> {
        let container = v1::ContainerInfo { network_infos, ..v1::ContainerInfo::default() };
        network_of("container", &container).map_err(|refusal| refusal.message)
    }

    fn docker(
        network: docker_info::Network,
        ports: &[(u32, u32, &str)],
        network_infos: Vec<v1::NetworkInfo>,
    ) -> Result<NetworkWish, String> {
        let port_mappings = ports.iter().map(|(host, container, protocol)| docker_info::PortMapping {
            host_port: Some(*host),
            container_port: Some(*container),
            protocol: Some((*protocol).to_owned()),
        });
        let docker = v1::container_info::DockerInfo {
            network: Some(network as i32),
            port_mappings: port_mappings.collect(),
            ..Default::default()
        };
        let container = v1::ContainerInfo {
            r#type: Some(v1::container_info::Type::Docker as i32),
            docker: Some(docker),
            network_infos,
            ..v1::ContainerInfo::default()
        };
        network_of("container", &container).map_err(|refusal| refusal.message)
    }

    fn names(wish: Result<NetworkWish, String>) -> Vec<String> {
        match wish.unwrap() {
            NetworkWish::Join(wishes) => wishes.into_iter().map(|wish| wish.network).collect(),
            other => panic!("expected networks, not {other:?}"),
        }
    }

    #[test]
    fn networks_are_joined_by_name() {
        assert_eq!(of(vec![]).unwrap(), NetworkWish::Host);
        assert_eq!(of(vec![v1::NetworkInfo::default()]).unwrap(), NetworkWish::Host);
        assert_eq!(of(vec![info("host")]).unwrap(), NetworkWish::Host);
        assert_eq!(of(vec![info("none")]).unwrap(), NetworkWish::Alone);
        assert_eq!(names(of(vec![info("a"), info("b")])), ["a", "b"]);
        let family = v1::network_info::IpAddress { protocol: Some(1), ip_address: None };
        assert_eq!(names(of(vec![v1::NetworkInfo { ip_addresses: vec![family], ..info("a") }])), ["a"]);
        let Ok(NetworkWish::Join(wishes)) = of(vec![mapped("a", 31000)]) else { panic!("it is joined") };
        assert_eq!(wishes[0].port_mappings[0].host_port, 31000);
        assert_eq!(
            wishes[0].args[ARGS][NETWORK_INFO]["name"], "a",
            "what the framework said, as Mesos passes it on"
        );
    }

    #[test]
    fn docker_has_words_of_its_own() {
        use docker_info::Network::{Bridge, Host, None, User};
        assert_eq!(docker(Host, &[], vec![]).unwrap(), NetworkWish::Host);
        assert_eq!(docker(None, &[], vec![]).unwrap(), NetworkWish::Alone);
        assert_eq!(names(docker(Bridge, &[(31000, 80, "udp")], vec![])), [""]);
        assert_eq!(names(docker(User, &[], vec![info("a")])), ["a"]);
        let Ok(NetworkWish::Join(wishes)) = docker(Bridge, &[(31000, 80, "udp")], vec![]) else { panic!() };
        let expected = PortMapping { host_port: 31000, container_port: 80, protocol: Protocol::Udp };
        assert_eq!(wishes[0].port_mappings, [expected]);
    }

    #[test]
    fn what_is_not_done_is_named() {
        use docker_info::Network::{Bridge, Host, User};
        let address = v1::network_info::IpAddress { protocol: None, ip_address: Some("10.0.0.9".to_owned()) };
        let fixed = v1::NetworkInfo { ip_addresses: vec![address], ..info("a") };
        let cases = [
            (of(vec![info("a"), info("host")]), "container.network_infos[1].name is not"),
            (of(vec![info("none"), info("a")]), "container.network_infos[0].name is not"),
            (of(vec![mapped("host", 1)]), "container.network_infos[0].port_mappings is not"),
            (of(vec![fixed]), "container.network_infos[0].ip_addresses[0].ip_address is not"),
            (
                of(vec![mapped("a", 0)]),
                "container.network_infos[0].port_mappings[0].host_port must be a port",
            ),
            (
                of(vec![mapped("a", 70000)]),
                "container.network_infos[0].port_mappings[0].host_port must be a port",
            ),
            (docker(Host, &[(1, 1, "")], vec![]), "container.docker.port_mappings is not"),
            (docker(Bridge, &[(1, 1, "sctp")], vec![]), "container.docker.port_mappings[0].protocol is not"),
            (
                docker(Bridge, &[(1, 0, "")], vec![]),
                "container.docker.port_mappings[0].container_port must be",
            ),
            (docker(Bridge, &[], vec![info("a")]), "container.network_infos[0].name is not"),
            (docker(User, &[], vec![]), "container.network_infos[0].name is required"),
            (docker(User, &[], vec![info("a"), info("b")]), "container.network_infos is not"),
            (
                docker(User, &[(1, 1, "")], vec![mapped("a", 2)]),
                "container.network_infos[0].port_mappings and",
            ),
        ];
        for (wish, problem) in cases {
            let said = wish.unwrap_err();
            assert!(said.starts_with(problem), "{said}");
        }
    }

    #[test]
    fn a_mapped_port_is_one_that_was_given_and_mapped_once() {
        let range = v1::value::Range { begin: Some(31000), end: Some(31001) };
        let ports = v1::Resource {
            name: Some("ports".to_owned()),
            ranges: Some(v1::value::Ranges { range: vec![range] }),
            ..v1::Resource::default()
        };
        let said = |infos: Vec<v1::NetworkInfo>, resources: &[v1::Resource]| {
            let refused = refuse_ports("container", &of(infos).unwrap(), &Ports::of(resources));
            refused.map(|refusal| refusal.message).unwrap_or_default()
        };
        let given = [ports];
        assert_eq!(said(vec![mapped("a", 31001)], &given), "");
        assert!(
            said(vec![mapped("a", 31002)], &given).contains("the port 31002 of the machine is mapped, and")
        );
        assert!(said(vec![mapped("a", 31000)], &[]).contains("is not among the task's resources"));
        assert!(said(vec![mapped("a", 31000), mapped("b", 31000)], &given).contains("is mapped twice"));
    }
}
