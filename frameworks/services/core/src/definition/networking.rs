//! Networks and ports of an app in the one form that is kept, whichever of the older forms they were written in.

use serde_json::{Map, Value};

use super::container::{self, Container};
use super::network::{NO_NETWORK, Network, NetworkMode, read_networks};
use super::port::{self, PortDefinition, PortMapping};
use super::reader::{Errors, FieldError, Fields};

/// What of a definition is about networks.
pub(super) struct Networking {
    pub(super) networks: Vec<Network>,
    pub(super) container: Option<Container>,
    pub(super) port_definitions: Option<Vec<PortDefinition>>,
}

/// Reads it. Container networks without a name are in `default`.
pub(super) fn read(
    fields: &Fields<'_>,
    default: Option<&str>,
    wrong: &mut Errors,
    broken: &mut Errors,
) -> Networking {
    let given = container::read(fields, wrong, broken);
    let (container, docker_network) = match given {
        Some(given) => (Some(given.container), given.docker_network),
        None => (None, None),
    };
    let old = Old::read(fields, docker_network, wrong, broken);
    let networks = read_networks(fields, default, wrong, broken);
    if networks.is_some() && old.says_something() {
        let error = "may not be set in conjunction with ipAddress or container.docker.network";
        broken.push(FieldError::new("/networks", error));
    }
    let networks = networks
        .filter(|networks| !networks.is_empty())
        .or_else(|| old.networks(default, broken))
        .unwrap_or_else(|| vec![Network::of_mode(NetworkMode::Host)]);
    let numbers = port::read_numbers(fields, wrong);
    let definitions = port::read_definitions(fields, wrong, broken);
    if let (Some(numbers), Some(definitions)) = (&numbers, &definitions)
        && !definitions.iter().map(|definition| definition.port).eq(numbers.iter().copied())
    {
        let error = "may not be set in conjunction with portDefinitions that say otherwise";
        broken.push(FieldError::new("/ports", error));
    }
    match networks.first().map(|network| network.mode) {
        Some(NetworkMode::Host) | None => on_machine(networks, container, definitions, numbers, broken),
        Some(mode) => {
            if definitions.as_ref().is_some_and(|definitions| !definitions.is_empty())
                && !old.says_something()
            {
                let error = "are for host networking; use container.portMappings";
                broken.push(FieldError::new("/portDefinitions", error));
            }
            let mut container = container.unwrap_or_else(|| Container::plain(None));
            let mappings = container.port_mappings.take().or(old.ports);
            let alone = networks.first().is_some_and(|network| network.name.as_deref() == Some(NO_NETWORK));
            let mappings = mappings.unwrap_or_else(|| match alone {
                true => Vec::new(),
                false => vec![PortMapping::any(Some("default"))],
            });
            let numbers = numbers.unwrap_or_default();
            let mut mappings = completed(mappings, mode, &numbers, broken);
            adopt(&mut mappings, &definitions.unwrap_or_default());
            container.port_mappings = Some(mappings);
            Networking { networks, container: Some(container), port_definitions: None }
        }
    }
}

/// Under host networking the ports are the machine's; without any word on them, one TCP port named `default`.
fn on_machine(
    networks: Vec<Network>,
    mut container: Option<Container>,
    definitions: Option<Vec<PortDefinition>>,
    numbers: Option<Vec<u16>>,
    broken: &mut Errors,
) -> Networking {
    if let Some(container) = &mut container
        && container.port_mappings.take().is_some_and(|mappings| !mappings.is_empty())
    {
        let error = "are for container networking; use portDefinitions, or name networks";
        broken.push(FieldError::new("/container/portMappings", error));
    }
    let of_numbers = |numbers: Vec<u16>| {
        numbers.into_iter().map(|port| PortDefinition { port, ..PortDefinition::any(None) }).collect()
    };
    let definitions = definitions
        .or_else(|| numbers.map(of_numbers))
        .unwrap_or_else(|| vec![PortDefinition::any(Some("default"))]);
    Networking { networks, container, port_definitions: Some(definitions) }
}

/// A port of a bridge leads to the machine unless it says otherwise. The old `ports` are service ports here.
fn completed(
    mut mappings: Vec<PortMapping>,
    mode: NetworkMode,
    numbers: &[u16],
    broken: &mut Errors,
) -> Vec<PortMapping> {
    for mapping in mappings.iter_mut().filter(|_| mode == NetworkMode::Bridge) {
        mapping.host_port = mapping.host_port.or(Some(0));
    }
    for (index, number) in numbers.iter().copied().enumerate().filter(|(_, number)| *number != 0) {
        match mappings.get_mut(index) {
            Some(mapping) if mapping.service_port == 0 => mapping.service_port = number,
            Some(mapping) if mapping.service_port == number => {}
            Some(_) | None => {
                let error = "must be the service port of the port mapping at the same place";
                broken.push(FieldError::new(format!("/ports({index})"), error));
            }
        }
    }
    mappings
}

/// Beside the forms before `networks`, Marathon up to 1.4 shows port definitions that it made of the service ports.
fn adopt(mappings: &mut [PortMapping], definitions: &[PortDefinition]) {
    for (mapping, definition) in mappings.iter_mut().zip(definitions) {
        if mapping.service_port == 0 {
            mapping.service_port = definition.port;
        }
    }
}

/// What the forms before `networks` say.
struct Old {
    docker: Option<String>,
    has_address: bool,
    name: Option<String>,
    labels: std::collections::BTreeMap<String, String>,
    ports: Option<Vec<PortMapping>>,
}

impl Old {
    fn read(fields: &Fields<'_>, docker: Option<String>, wrong: &mut Errors, broken: &mut Errors) -> Self {
        let address = fields.object("ipAddress", wrong);
        let mut old = Self {
            docker,
            has_address: address.is_some(),
            name: None,
            labels: Default::default(),
            ports: None,
        };
        if let Some(address) = address {
            old.name = address.text("networkName", wrong);
            old.labels = address.text_map("labels", wrong).unwrap_or_default();
            if address.says_something("groups") {
                let error = "agents know no groups of addresses; use labels, which plugins are given";
                broken.push(FieldError::new(address.path("groups"), error));
            }
            let discovery = address.object("discovery", wrong);
            old.ports = discovery.and_then(|discovery| discovered(&discovery, wrong, broken));
        }
        old
    }

    fn says_something(&self) -> bool {
        self.docker.is_some() || self.has_address
    }

    fn networks(&self, default: Option<&str>, broken: &mut Errors) -> Option<Vec<Network>> {
        let named = |name: Option<&str>| Network {
            mode: NetworkMode::Container,
            name: name.map(str::to_owned),
            labels: self.labels.clone(),
        };
        let network = match self.docker.as_deref() {
            Some("BRIDGE") => Network::of_mode(NetworkMode::Bridge),
            Some("HOST") => Network::of_mode(NetworkMode::Host),
            Some("NONE") => named(Some(NO_NETWORK)),
            Some("USER") => named(self.name.as_deref().or(default)),
            None if self.has_address => named(self.name.as_deref().or(default)),
            None => return None,
            Some(_) => {
                let error = "must be one of BRIDGE, HOST, NONE and USER";
                broken.push(FieldError::new("/container/docker/network", error));
                return None;
            }
        };
        Some(vec![network])
    }
}

/// The ports that the old `ipAddress` announces: those of the container alone.
fn discovered(discovery: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Option<Vec<PortMapping>> {
    let ports = discovery.objects("ports", wrong)?;
    let one = |fields: &Fields<'_>| PortMapping {
        container_port: fields.port("number", wrong, broken).unwrap_or(0),
        protocol: port::protocol(fields, wrong, broken),
        ..PortMapping::any(fields.text("name", wrong).as_deref())
    };
    Some(ports.iter().map(one).collect())
}

/// Takes out of the JSON of a definition what an update replaces by naming networks, or ports, in another form.
pub(super) fn make_way(definition: &mut Map<String, Value>, update: &Map<String, Value>) {
    let says = |name: &str| update.get(name).is_some_and(|value| !value.is_null());
    let docker = update.get("container").and_then(|container| container.get("docker"));
    let old = docker.and_then(|docker| docker.get("network")).and_then(Value::as_str);
    if old.is_some() || says("ipAddress") {
        definition.remove("networks");
    }
    let first = update.get("networks").and_then(|networks| networks.get(0));
    let named = first.map(|network| network.get("mode").and_then(Value::as_str) == Some("host"));
    let on_machine = named.or(old.map(|old| old == "HOST")).or(says("ipAddress").then_some(false));
    if says("ports") || on_machine == Some(false) {
        definition.remove("portDefinitions");
    }
    let mappings = definition.get_mut("container").and_then(|container| container.as_object_mut());
    if let Some(container) = mappings {
        if on_machine == Some(true) {
            container.remove("portMappings");
        } else if says("ports") {
            let mappings = container.get_mut("portMappings").and_then(Value::as_array_mut);
            for mapping in mappings.into_iter().flatten().filter_map(Value::as_object_mut) {
                mapping.remove("servicePort");
            }
        }
    }
}
