//! The networks that a task is in.

use std::collections::BTreeMap;

use serde::Serialize;

use super::reader::{Errors, FieldError, Fields};

/// A container network of this name is one's own, with a loopback and nothing else.
pub const NO_NETWORK: &str = "none";

/// A network of an app or pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Network {
    /// What kind.
    pub mode: NetworkMode,
    /// Which, of container networks; the agents know it by this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free text for whoever makes the network.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What kind of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum NetworkMode {
    /// The machine's.
    #[serde(rename = "host")]
    Host,
    /// The bridge that each agent has for itself.
    #[serde(rename = "container/bridge")]
    Bridge,
    /// One that agents join by its name.
    #[serde(rename = "container")]
    Container,
}

impl Network {
    /// Of that kind, without a name.
    pub fn of_mode(mode: NetworkMode) -> Self {
        Self { mode, name: None, labels: BTreeMap::new() }
    }
}

/// The field `networks`. Container networks without a name are in `default`.
pub(crate) fn read_networks(
    fields: &Fields<'_>,
    default: Option<&str>,
    wrong: &mut Errors,
    broken: &mut Errors,
) -> Option<Vec<Network>> {
    let mut found = Vec::new();
    for network in fields.objects("networks", wrong)? {
        // Without a word on it a network is a container network: it has a name.
        let mode = match network.text("mode", wrong).as_deref() {
            Some("host") => NetworkMode::Host,
            Some("container/bridge") => NetworkMode::Bridge,
            None | Some("container") => NetworkMode::Container,
            Some(_) => {
                let error = "must be host, container or container/bridge";
                broken.push(FieldError::new(network.path("mode"), error));
                continue;
            }
        };
        let name = network.text("name", wrong);
        let name = match mode {
            NetworkMode::Container => name.or_else(|| default.map(str::to_owned)),
            NetworkMode::Host | NetworkMode::Bridge => name,
        };
        found.push(Network { mode, name, labels: network.text_map("labels", wrong).unwrap_or_default() });
    }
    Some(found)
}

/// What is wrong with a list of networks.
pub(crate) fn network_rules(networks: &[Network]) -> Errors {
    let mut errors = Errors::new();
    if let [first, rest @ ..] = networks
        && rest.iter().any(|other| other.mode != first.mode)
    {
        errors.push(FieldError::new("/networks", "all networks must have the same mode"));
        return errors;
    }
    for (index, network) in networks.iter().enumerate() {
        let at = |field: &str| format!("/networks({index})/{field}");
        match (network.mode, &network.name) {
            (NetworkMode::Host | NetworkMode::Bridge, _) if index > 0 => {
                errors.push(FieldError::new("/networks", "may contain a network of this mode only once"));
            }
            (NetworkMode::Host | NetworkMode::Bridge, Some(_)) => {
                errors.push(FieldError::new(at("name"), "is only for container networks"));
            }
            (NetworkMode::Container, None) => {
                errors.push(FieldError::new(at("name"), "must be given: there is no default network"));
            }
            (NetworkMode::Container, Some(name)) => {
                if name.is_empty() || name == "host" || name.contains(['\0', '/']) {
                    errors.push(FieldError::new(at("name"), "must be the name of a network"));
                }
                if networks[..index].iter().any(|other| other.name.as_ref() == Some(name)) {
                    errors.push(FieldError::new(at("name"), "must be unique"));
                }
                if name == NO_NETWORK && networks.len() > 1 {
                    errors.push(FieldError::new(at("name"), "none cannot be joined together with others"));
                }
            }
            (NetworkMode::Host | NetworkMode::Bridge, None) => {}
        }
        if network.mode == NetworkMode::Host && !network.labels.is_empty() {
            errors.push(FieldError::new(at("labels"), "must be empty for the host network"));
        }
    }
    errors
}
