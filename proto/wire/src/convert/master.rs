//! Masters.

use std::net::{IpAddr, Ipv4Addr};

use chapada_model::MasterDescription;

use super::InvalidField;
use crate::v1;
use crate::v1::master_info::Capability;
use crate::v1::master_info::capability::Type;

/// `QUOTA_V2` is left out although it holds: a published client stops at a name it does not know.
const CAPABILITIES: [Type; 2] = [Type::AgentUpdate, Type::AgentDraining];

impl From<&MasterDescription> for v1::MasterInfo {
    fn from(master: &MasterDescription) -> Self {
        let capability = |kind: &Type| Capability { r#type: Some((*kind).into()) };
        Self {
            id: Some(master.id.to_string()),
            ip: Some(in_network_order(master.ip)),
            port: Some(master.port.into()),
            pid: Some(format!("master@{}", std::net::SocketAddr::new(master.ip, master.port))),
            hostname: Some(master.hostname.to_string()),
            version: Some(master.version.to_string()),
            address: Some(v1::Address {
                hostname: Some(master.hostname.to_string()),
                ip: Some(master.ip.to_string()),
                port: Some(master.port.into()),
            }),
            domain: master.domain.as_ref().map(Into::into),
            capabilities: CAPABILITIES.iter().map(capability).collect(),
        }
    }
}

/// The bytes of the address as they lie in memory; 0 for one of IPv6, which only `address` can hold.
fn in_network_order(ip: IpAddr) -> u32 {
    match ip {
        IpAddr::V4(ip) => u32::from_le_bytes(ip.octets()),
        IpAddr::V6(_) => 0,
    }
}

impl TryFrom<&v1::MasterInfo> for MasterDescription {
    type Error = InvalidField;

    fn try_from(info: &v1::MasterInfo) -> Result<Self, InvalidField> {
        let address = info.address.as_ref();
        let ip = match address.and_then(|address| address.ip.as_deref()) {
            Some(ip) => ip
                .parse()
                .map_err(|_| InvalidField::new("address.ip", format_args!("'{ip}' is not an address")))?,
            None => {
                let ip = info.ip.ok_or_else(|| InvalidField::missing("ip"))?;
                IpAddr::V4(Ipv4Addr::from(ip.to_le_bytes()))
            }
        };
        let port = info.port.ok_or_else(|| InvalidField::missing("port"))?;
        let port = u16::try_from(port)
            .map_err(|_| InvalidField::new("port", format_args!("{port} is not a port")))?;
        let hostname = info.hostname.as_deref().map_or_else(|| ip.to_string(), str::to_owned);
        Ok(Self {
            id: info.id.as_deref().ok_or_else(|| InvalidField::missing("id"))?.into(),
            hostname: hostname.into(),
            ip,
            port,
            version: info.version.as_deref().unwrap_or_default().into(),
            domain: super::agent::domain(info.domain.as_ref())?,
        })
    }
}
