//! An agent as it describes itself.

use std::collections::BTreeSet;

use crate::{AgentCapability, AgentId, Attributes, Payload, Resources, Text};

/// The region and zone of an agent.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Domain {
    /// The region: far from others.
    pub region: Text,
    /// The zone within the region: fails apart from others.
    pub zone: Text,
}

/// What an agent says about itself when it registers.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AgentDescription {
    /// Set when it was registered before.
    pub id: Option<AgentId>,
    /// How people and frameworks reach it.
    pub hostname: Text,
    /// The port of its API.
    pub port: u16,
    /// Where its API is reached, `ip:port`; empty when nobody said.
    pub address: Text,
    /// All it has, allocated to nobody.
    pub resources: Resources,
    /// What its operator says about it.
    pub attributes: Attributes,
    /// Where it stands.
    pub domain: Option<Domain>,
    /// What it can do.
    pub capabilities: BTreeSet<AgentCapability>,
    /// Its software's version, dotted numbers.
    pub version: Text,
    /// The encoded `AgentInfo`, passed on as it came.
    pub details: Payload,
}
