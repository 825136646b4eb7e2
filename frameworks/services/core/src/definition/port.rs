//! The ports of each instance: those of the machine under host networking, those of the container otherwise.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::network::Network;
use super::reader::{Errors, FieldError, Fields};

/// The most ports of one instance; each takes a line of environment and of the offer.
const MAX_PORTS: usize = 100;

/// One port under host networking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortDefinition {
    /// The service port, and with `requirePorts` the host port too. 0 until one is assigned.
    pub port: u16,
    /// `tcp`, `udp` or `udp,tcp`.
    pub protocol: String,
    /// The name the environment and DNS tools know it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free text for tools.
    pub labels: BTreeMap<String, String>,
}

/// One port of a container with a network of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// The port in the container; 0 for the same as on the machine.
    pub container_port: u16,
    /// The port of the machine that leads there: none, any (0), or this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// The number for load balancers. 0 until one is assigned.
    pub service_port: u16,
    /// `tcp`, `udp` or `udp,tcp`.
    pub protocol: String,
    /// The name the environment and DNS tools know it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free text for tools.
    pub labels: BTreeMap<String, String>,
    /// In which of several networks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network_names: Vec<String>,
}

/// A port of an instance, however it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port<'a> {
    /// What it needs of the machine's ports.
    pub host: HostPort,
    /// The port in the container, where that has a network of its own; 0 for the same as on the machine.
    pub container: Option<u16>,
    /// The number for load balancers; 0 until one is assigned.
    pub service: u16,
    /// `tcp`, `udp` or `udp,tcp`.
    pub protocol: &'a str,
    /// Its name.
    pub name: Option<&'a str>,
    /// Free text for tools.
    pub labels: &'a BTreeMap<String, String>,
    /// In which of several networks it is; all when there is none.
    pub network_names: &'a [String],
}

/// What a port needs of the machine's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPort {
    /// Nothing.
    None,
    /// Any.
    Any,
    /// This one.
    Fixed(u16),
}

impl PortDefinition {
    /// Any port over TCP.
    pub(super) fn any(name: Option<&str>) -> Self {
        Self { port: 0, protocol: "tcp".to_owned(), name: name.map(str::to_owned), labels: BTreeMap::new() }
    }

    /// As it is used with `requirePorts`, or without.
    pub(super) fn as_port(&self, required: bool) -> Port<'_> {
        let fixed = required && self.port != 0;
        Port {
            host: if fixed { HostPort::Fixed(self.port) } else { HostPort::Any },
            container: None,
            service: self.port,
            protocol: &self.protocol,
            name: self.name.as_deref(),
            labels: &self.labels,
            network_names: &[],
        }
    }
}

impl PortMapping {
    /// The same port as on the machine, over TCP.
    pub(super) fn any(name: Option<&str>) -> Self {
        Self {
            container_port: 0,
            host_port: None,
            service_port: 0,
            protocol: "tcp".to_owned(),
            name: name.map(str::to_owned),
            labels: BTreeMap::new(),
            network_names: Vec::new(),
        }
    }

    /// As it is used.
    pub(super) fn as_port(&self) -> Port<'_> {
        Port {
            host: match self.host_port {
                None => HostPort::None,
                Some(0) => HostPort::Any,
                Some(port) => HostPort::Fixed(port),
            },
            container: Some(self.container_port),
            service: self.service_port,
            protocol: &self.protocol,
            name: self.name.as_deref(),
            labels: &self.labels,
            network_names: &self.network_names,
        }
    }
}

/// Which transports `protocol` names.
pub(crate) fn transports(protocol: &str) -> impl Iterator<Item = &'static str> + '_ {
    ["tcp", "udp"].into_iter().filter(move |transport| protocol.split(',').any(|one| one == *transport))
}

/// `portDefinitions`, if there are any.
pub(super) fn read_definitions(
    fields: &Fields<'_>,
    wrong: &mut Errors,
    broken: &mut Errors,
) -> Option<Vec<PortDefinition>> {
    let definitions = fields.objects("portDefinitions", wrong)?;
    let one = |fields: &Fields<'_>| PortDefinition {
        port: fields.port("port", wrong, broken).unwrap_or(0),
        protocol: protocol(fields, wrong, broken),
        name: fields.text("name", wrong),
        labels: fields.text_map("labels", wrong).unwrap_or_default(),
    };
    Some(definitions.iter().map(one).collect())
}

/// The old `ports`: numbers.
pub(super) fn read_numbers(fields: &Fields<'_>, wrong: &mut Errors) -> Option<Vec<u16>> {
    let mut found = Vec::new();
    for (index, number) in fields.list("ports", wrong)?.iter().enumerate() {
        match number.as_u64().and_then(|number| u16::try_from(number).ok()) {
            Some(port) => found.push(port),
            None => wrong
                .push(FieldError::new(format!("/ports({index})"), "error.expected: a port from 0 to 65535")),
        }
    }
    Some(found)
}

/// `portMappings` of a container, or of the old `docker`.
pub(super) fn read_mappings(
    fields: &Fields<'_>,
    wrong: &mut Errors,
    broken: &mut Errors,
) -> Option<Vec<PortMapping>> {
    let mappings = fields.objects("portMappings", wrong)?;
    let one = |fields: &Fields<'_>| PortMapping {
        container_port: fields.port("containerPort", wrong, broken).unwrap_or(0),
        host_port: fields.port("hostPort", wrong, broken),
        service_port: fields.port("servicePort", wrong, broken).unwrap_or(0),
        protocol: protocol(fields, wrong, broken),
        name: fields.text("name", wrong),
        labels: fields.text_map("labels", wrong).unwrap_or_default(),
        network_names: fields.texts("networkNames", wrong).unwrap_or_default(),
    };
    Some(mappings.iter().map(one).collect())
}

/// In the one order in which both are written.
pub(super) fn protocol(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> String {
    match fields.text("protocol", wrong).as_deref() {
        None | Some("tcp") => "tcp".to_owned(),
        Some("udp") => "udp".to_owned(),
        Some("udp,tcp" | "tcp,udp") => "udp,tcp".to_owned(),
        Some(_) => {
            broken.push(FieldError::new(fields.path("protocol"), "must be one of tcp, udp, udp,tcp"));
            "tcp".to_owned()
        }
    }
}

/// What is wrong with the ports of the machine.
pub(super) fn definition_rules(ports: &[PortDefinition]) -> Errors {
    let mut errors = Errors::new();
    if !are_unique(ports.iter().map(|port| port.port)) {
        errors.push(FieldError::new("/portDefinitions", "Ports must be unique."));
    }
    let names = ports.iter().map(|port| port.name.as_deref());
    errors.extend(common_rules("/portDefinitions", names));
    errors
}

/// What is wrong with the ports of a container in `networks`.
pub(super) fn mapping_rules(ports: &[PortMapping], networks: &[Network]) -> Errors {
    let path = "/container/portMappings";
    let mut errors = common_rules(path, ports.iter().map(|port| port.name.as_deref()));
    let mut seen = BTreeSet::new();
    let hosts = ports.iter().filter_map(|port| port.host_port.filter(|number| *number != 0).zip(Some(port)));
    let mut used = hosts.flat_map(|(number, port)| transports(&port.protocol).map(move |one| (number, one)));
    if !used.all(|one| seen.insert(one)) {
        errors.push(FieldError::new(path, "Host ports must be unique for each transport."));
    }
    if !are_unique(ports.iter().map(|port| port.service_port)) {
        errors.push(FieldError::new(path, "Service ports must be unique."));
    }
    for (index, port) in ports.iter().enumerate() {
        let at = |field: &str| format!("{path}({index})/{field}");
        let named = |name: &String| networks.iter().any(|network| network.name.as_ref() == Some(name));
        if !port.network_names.iter().all(named) {
            errors.push(FieldError::new(at("networkNames"), "must be names of the app's networks"));
        }
        if networks.len() > 1 && port.host_port.is_some() && port.network_names.len() != 1 {
            let error = "must be the one network that the host port leads to";
            errors.push(FieldError::new(at("networkNames"), error));
        }
        let alone = networks.first().is_some_and(|network| network.name.as_deref() == Some("none"));
        if alone && port.host_port.is_some() {
            let error = "nothing leads into the network none: leave it out";
            errors.push(FieldError::new(at("hostPort"), error));
        }
    }
    errors
}

fn common_rules<'a>(path: &str, names: impl Iterator<Item = Option<&'a str>> + Clone) -> Errors {
    let mut errors = Errors::new();
    if names.clone().count() > MAX_PORTS {
        errors.push(FieldError::new(path, format!("must not be more than {MAX_PORTS}")));
    }
    let mut seen = BTreeSet::new();
    if !names.clone().flatten().all(|name| seen.insert(name)) {
        errors.push(FieldError::new(path, "Port names must be unique."));
    }
    for (index, name) in names.enumerate() {
        if name.is_some_and(|name| !is_port_name(name)) {
            let error = "must be letters, digits, '-', '_' and '.', 63 at most";
            errors.push(FieldError::new(format!("{path}({index})/name"), error));
        }
    }
    errors
}

/// Whether no number that is not 0 is there twice.
fn are_unique(ports: impl Iterator<Item = u16>) -> bool {
    let mut seen = BTreeSet::new();
    ports.filter(|port| *port != 0).all(|port| seen.insert(port))
}

/// What environments and DNS can hold.
fn is_port_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= 63 && name.bytes().all(fits)
}
