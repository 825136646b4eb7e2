//! Agents and where they stand.

use std::collections::BTreeSet;

use chapada_model::{AgentDescription, Attribute, Domain};

use super::error::{each, optional};
use super::{InvalidField, ReservationFormat, resources_from_wire, resources_to_wire};
use crate::v1::domain_info::FaultDomain;
use crate::v1::domain_info::fault_domain::{RegionInfo, ZoneInfo};
use crate::{Json as _, v1};

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
        })
    }
}

/// Reads where a master or agent stands, as `--domain` says it: `DomainInfo` in JSON, with its region and zone.
///
/// # Errors
/// [`InvalidField`] names what is missing or what cannot be read.
pub fn domain_from_json(json: &str) -> Result<Domain, InvalidField> {
    let wire =
        v1::DomainInfo::from_json(json.as_bytes()).map_err(|error| InvalidField::new("domain", error))?;
    domain(Some(&wire))?.ok_or_else(|| InvalidField::missing("domain.fault_domain"))
}

/// A domain without a fault domain says nothing.
pub(super) fn domain(wire: Option<&v1::DomainInfo>) -> Result<Option<Domain>, InvalidField> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_read_as_the_flag_has_it_or_refused_by_the_field() {
        let json = r#"{"fault_domain":{"region":{"name":"eu"},"zone":{"name":"a"}}}"#;
        let domain = domain_from_json(json).unwrap();
        assert_eq!(domain, Domain { region: "eu".into(), zone: "a".into() });
        let cases = [
            ("{}", "domain.fault_domain"),
            (r#"{"fault_domain":{"region":{"name":"eu"}}}"#, "fault_domain.zone"),
            (r#"{"fault_domain":{"zone":{"name":"a"}}}"#, "fault_domain.region"),
            ("eu", "domain"),
        ];
        for (json, field) in cases {
            let said = domain_from_json(json).unwrap_err().to_string();
            assert!(said.contains(field), "'{said}' has no '{field}'");
        }
    }
}
