//! An agent as it describes itself.

use std::collections::BTreeSet;

use crate::{AgentCapability, AgentId, Attributes, Resources, Text};

/// The region and zone of an agent.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Domain {
    /// The region: far from others.
    pub region: Text,
    /// The zone within the region: fails apart from others.
    pub zone: Text,
}

/// What an agent says about itself when it registers.
///
/// It is written with an empty field `details`: former builds had the encoded message there and do without what is in it, but not
/// without the field. What they wrote there is passed over.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "details", rename = "")]
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_former_builds_wrote_is_read_and_they_can_read_what_is_written() {
        let agent = AgentDescription {
            id: None,
            hostname: "h".into(),
            port: 1,
            address: "".into(),
            resources: Resources::EMPTY,
            attributes: Vec::new(),
            domain: None,
            capabilities: BTreeSet::new(),
            version: "1".into(),
        };
        let mut written = serde_json::to_value(&agent).unwrap();
        assert_eq!(written["details"], "", "the hexadecimal digits of no bytes");
        written["details"] = "0a0b".into();
        assert_eq!(serde_json::from_value::<AgentDescription>(written).unwrap(), agent);
    }
}
