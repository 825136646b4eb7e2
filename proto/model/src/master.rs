//! A master as others find it.

use crate::{Domain, Text};

/// What a master says about itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MasterDescription {
    /// Its id, new at each start. Framework, agent and offer ids begin with it.
    pub id: Text,
    /// How people reach it.
    pub hostname: Text,
    /// Its address.
    pub ip: std::net::IpAddr,
    /// Its port.
    pub port: u16,
    /// Its software's version, dotted numbers.
    pub version: Text,
    /// Where it stands, when its operator says so.
    pub domain: Option<Domain>,
}
