//! What a container wants of networks, and what it got.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::outcome::{Address, Dns};

/// A network that a container wants to join.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// The name of its configuration.
    pub network: String,
    /// What every plugin gets as `args`, beside what the configuration has there.
    pub args: Map<String, Value>,
    /// Ports of the machine that lead to the container.
    pub port_mappings: Vec<PortMapping>,
}

/// A port of the machine that leads to one of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortMapping {
    /// The machine's.
    pub host_port: u16,
    /// The container's.
    pub container_port: u16,
    /// Of which protocol both are.
    pub protocol: Protocol,
}

/// A protocol with ports, by the name that plugins have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

/// What a container has of networks.
#[derive(Clone, Debug, PartialEq)]
pub struct Attached {
    /// The file that its network namespace is mounted on.
    pub namespace: PathBuf,
    /// What it has in there, in the order in which it was asked for; `lo` is there too, and is up.
    pub interfaces: Vec<Interface>,
    /// By whom it knows names: of the first network that says so.
    pub dns: Dns,
}

/// One interface of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Interface {
    /// `eth0`, `eth1`, …
    pub name: String,
    /// The network it is in.
    pub network: String,
    /// What its plugins got as `args`.
    pub args: Map<String, Value>,
    /// Its addresses.
    pub addresses: Vec<Address>,
}

impl Attached {
    /// The address by which others know it: the first of the first interface that has one.
    pub fn address(&self) -> Option<IpAddr> {
        self.interfaces.iter().flat_map(|interface| &interface.addresses).map(|address| address.ip).next()
    }
}
