//! Agents and where they stand.

use std::collections::BTreeSet;

use chapada_model::{AgentDescription, Attribute, Domain, Payload};
use prost::Message as _;

use super::error::{each, optional};
use super::{InvalidField, ReservationFormat, resources_from_wire, resources_to_wire};
use crate::v1;
use crate::v1::domain_info::FaultDomain;
use crate::v1::domain_info::fault_domain::{RegionInfo, ZoneInfo};

/// What `AgentInfo` does not say is left empty: `address`, `capabilities` and `version` come with the registration.
impl TryFrom<&v1::AgentInfo> for AgentDescription {
    type Error = InvalidField;

    fn try_from(info: &v1::AgentInfo) -> Result<Self, InvalidField> {
        let hostname = info.hostname.as_deref().ok_or_else(|| InvalidField::missing("hostname"))?;
        let port = u16::try_from(info.port())
            .map_err(|_| InvalidField::new("port", format_args!("{} is not a port", info.port())))?;
        Ok(Self {
            id: optional("id", info.id.as_ref())?,
            hostname: hostname.into(),
            port,
            address: "".into(),
            resources: resources_from_wire("resources", &info.resources)?.unallocated(),
            attributes: each("attributes", &info.attributes, Attribute::try_from)?,
            domain: domain(info.domain.as_ref())?,
            capabilities: BTreeSet::new(),
            version: "".into(),
            details: Payload::from(info.encode_to_vec()),
        })
    }
}

/// A domain without a fault domain says nothing.
fn domain(wire: Option<&v1::DomainInfo>) -> Result<Option<Domain>, InvalidField> {
    let Some(fault) = wire.and_then(|domain| domain.fault_domain.as_ref()) else { return Ok(None) };
    let missing = |field: &str| InvalidField::missing(format!("domain.fault_domain.{field}.name"));
    let region = fault.region.as_ref().and_then(|region| region.name.as_deref());
    let zone = fault.zone.as_ref().and_then(|zone| zone.name.as_deref());
    Ok(Some(Domain {
        region: region.ok_or_else(|| missing("region"))?.into(),
        zone: zone.ok_or_else(|| missing("zone"))?.into(),
    }))
}

impl From<&Domain> for v1::DomainInfo {
    fn from(domain: &Domain) -> Self {
        Self {
            fault_domain: Some(FaultDomain {
                region: Some(RegionInfo { name: Some(domain.region.to_string()) }),
                zone: Some(ZoneInfo { name: Some(domain.zone.to_string()) }),
            }),
        }
    }
}

/// With the resources and the id that it has by now, the resources as operators see them.
impl From<&AgentDescription> for v1::AgentInfo {
    fn from(agent: &AgentDescription) -> Self {
        Self {
            hostname: Some(agent.hostname.to_string()),
            port: Some(agent.port.into()),
            resources: resources_to_wire(&agent.resources, ReservationFormat::Both),
            attributes: agent.attributes.iter().map(Into::into).collect(),
            id: agent.id.as_ref().map(Into::into),
            domain: agent.domain.as_ref().map(Into::into),
        }
    }
}
