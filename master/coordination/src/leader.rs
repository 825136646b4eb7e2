//! How a leader presents itself: MasterInfo in the JSON that Mesos' masters write into their znode.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Who leads, and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderInfo {
    /// Made anew for each life of the process. Empty when the leader is known only by its address.
    pub id: String,
    /// Name that clients are sent to.
    pub hostname: String,
    /// Address that clients connect to.
    pub ip: IpAddr,
    /// Port of its one listener.
    pub port: u16,
    /// Dotted integers only: some clients compare them.
    pub version: String,
    /// Names of MasterInfo's capabilities, such as `AGENT_UPDATE`.
    pub capabilities: Vec<String>,
}

/// Why the content of a leader's znode was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLeaderInfo {
    /// Not JSON, or a field of the wrong kind.
    #[error("it is not MasterInfo in JSON: {0}")]
    NotMasterInfo(String),
    /// No usable address.
    #[error("MasterInfo has neither address.ip nor a number in ip")]
    NoAddress,
    /// Port 0 or beyond 65,535.
    #[error("MasterInfo has port {0}: a port is 1 to 65535")]
    BadPort(u64),
}

#[derive(Serialize, Deserialize)]
struct MasterInfoJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<AddressJson>,
    #[serde(default)]
    capabilities: Vec<CapabilityJson>,
    #[serde(default)]
    hostname: Option<String>,
    id: String,
    #[serde(default)]
    ip: u32,
    #[serde(default)]
    pid: Option<String>,
    #[serde(default)]
    port: u64,
    #[serde(default)]
    version: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct AddressJson {
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default)]
    ip: Option<String>,
    port: u64,
}

#[derive(Serialize, Deserialize)]
struct CapabilityJson {
    #[serde(rename = "type", default)]
    kind: String,
}

impl LeaderInfo {
    /// Address to connect to.
    pub fn socket_addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }

    /// What its certificate may be for: the hostname, and the address if the leader said itself that it is its own. Whoever is known
    /// only by an address that somebody typed has no id, and its IP address may be one that DNS gave.
    pub fn names(&self) -> Vec<String> {
        let address = (!self.id.is_empty()).then(|| self.ip.to_string());
        std::iter::once(self.hostname.clone()).chain(address).collect()
    }

    /// `hostname:port`, as a `Location` header names it.
    pub fn authority(&self) -> String {
        if self.hostname.contains(':') {
            format!("[{}]:{}", self.hostname, self.port)
        } else {
            format!("{}:{}", self.hostname, self.port)
        }
    }

    /// MasterInfo as JSON on one line. `ip` holds the address in network order read as a little-endian number, and
    /// `pid` the old name of the process, because clients read both.
    pub fn to_json(&self) -> Vec<u8> {
        let info = MasterInfoJson {
            address: Some(AddressJson {
                hostname: Some(self.hostname.clone()),
                ip: Some(self.ip.to_string()),
                port: self.port.into(),
            }),
            capabilities: self
                .capabilities
                .iter()
                .map(|kind| CapabilityJson { kind: kind.clone() })
                .collect(),
            hostname: Some(self.hostname.clone()),
            id: self.id.clone(),
            ip: match self.ip {
                IpAddr::V4(ip) => u32::from_le_bytes(ip.octets()),
                IpAddr::V6(_) => 0,
            },
            pid: Some(format!("master@{}", self.socket_addr())),
            port: self.port.into(),
            version: Some(self.version.clone()),
        };
        serde_json::to_vec(&info).expect("a struct of strings and numbers always serialises")
    }

    /// Reads what [`LeaderInfo::to_json`] or a Mesos master wrote.
    ///
    /// # Errors
    /// [`InvalidLeaderInfo`] names the field.
    pub fn from_json(json: &[u8]) -> Result<Self, InvalidLeaderInfo> {
        let info: MasterInfoJson = serde_json::from_slice(json)
            .map_err(|error| InvalidLeaderInfo::NotMasterInfo(error.to_string()))?;
        let port = info.address.as_ref().map_or(info.port, |address| address.port);
        let port = u16::try_from(port).ok().filter(|p| *p != 0).ok_or(InvalidLeaderInfo::BadPort(port))?;
        let written = info.address.as_ref().and_then(|address| address.ip.as_deref());
        let ip = match written.and_then(|ip| ip.parse().ok()) {
            Some(ip) => ip,
            None if info.ip != 0 => IpAddr::V4(Ipv4Addr::from(info.ip.to_le_bytes())),
            None => return Err(InvalidLeaderInfo::NoAddress),
        };
        let hostname = info.hostname.or_else(|| info.address.and_then(|address| address.hostname));
        Ok(Self {
            id: info.id,
            hostname: hostname.filter(|name| !name.is_empty()).unwrap_or_else(|| ip.to_string()),
            ip,
            port,
            version: info.version.unwrap_or_default(),
            capabilities: info.capabilities.into_iter().map(|capability| capability.kind).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader() -> LeaderInfo {
        LeaderInfo {
            id: "an-id".to_owned(),
            hostname: "127.0.0.1".to_owned(),
            ip: Ipv4Addr::LOCALHOST.into(),
            port: 15050,
            version: "1.12.0".to_owned(),
            capabilities: vec!["AGENT_UPDATE".to_owned()],
        }
    }

    #[test]
    fn the_json_is_what_a_real_mesos_writes() {
        let expected = concat!(
            r#"{"address":{"hostname":"127.0.0.1","ip":"127.0.0.1","port":15050},"#,
            r#""capabilities":[{"type":"AGENT_UPDATE"}],"hostname":"127.0.0.1","id":"an-id","ip":16777343,"#,
            r#""pid":"master@127.0.0.1:15050","port":15050,"version":"1.12.0"}"#
        );
        assert_eq!(String::from_utf8(leader().to_json()).unwrap(), expected);
        assert_eq!(LeaderInfo::from_json(expected.as_bytes()), Ok(leader()));
    }

    #[test]
    fn an_old_master_without_address_is_read_by_its_number() {
        let read = LeaderInfo::from_json(br#"{"id":"x","ip":16777343,"port":5050}"#).unwrap();
        assert_eq!(read.socket_addr().to_string(), "127.0.0.1:5050");
        assert_eq!(read.hostname, "127.0.0.1");
    }

    #[test]
    fn rubbish_is_refused_and_named() {
        for (json, part) in [
            (&b"rubbish"[..], "not MasterInfo"),
            (br#"{"id":"x","port":5050}"#, "address.ip"),
            (br#"{"id":"x","ip":1,"port":0}"#, "port 0"),
            (br#"{"ip":1,"port":1}"#, "id"),
        ] {
            let error = LeaderInfo::from_json(json).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
