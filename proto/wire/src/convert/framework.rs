//! Frameworks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chapada_model::{
    FrameworkCapability, FrameworkDescription, MAX_FAILOVER_TIMEOUT, Payload, Quantities, Role,
};
use prost::Message as _;

use super::error::{each, optional, text};
use super::limits::{quantities, quantities_to_wire};
use super::reservation::parse_role;
use super::{InvalidField, labels};
use crate::v1;
use crate::v1::offer_filters::{MinAllocatableResources, ResourceQuantities};

impl TryFrom<&v1::FrameworkInfo> for FrameworkDescription {
    type Error = InvalidField;

    fn try_from(info: &v1::FrameworkInfo) -> Result<Self, InvalidField> {
        let user = info.user.as_deref().ok_or_else(|| InvalidField::missing("user"))?;
        let name = info.name.as_deref().ok_or_else(|| InvalidField::missing("name"))?;
        let known = |capability: &v1::framework_info::Capability| {
            FrameworkCapability::try_from(capability.r#type.unwrap_or_default()).ok()
        };
        let capabilities: BTreeSet<_> = info.capabilities.iter().filter_map(known).collect();
        Ok(Self {
            id: optional("id", info.id.as_ref())?,
            user: user.into(),
            name: name.into(),
            failover_timeout: failover_timeout(info)?,
            checkpoint: info.checkpoint(),
            roles: roles(info, capabilities.contains(&FrameworkCapability::MultiRole))?,
            hostname: text(info.hostname.as_ref()),
            principal: text(info.principal.as_ref()),
            webui_url: text(info.webui_url.as_ref()),
            capabilities,
            labels: labels::from_wire("labels", info.labels.as_ref())?,
            offer_filters: offer_filters(info)?,
            details: Payload::from(info.encode_to_vec()),
        })
    }
}

/// A negative timeout counts as none at all, as clients that send -1 expect.
fn failover_timeout(info: &v1::FrameworkInfo) -> Result<Duration, InvalidField> {
    let seconds = info.failover_timeout();
    if seconds.is_nan() {
        return Err(InvalidField::new("failover_timeout", "is not a number of seconds"));
    }
    if seconds >= MAX_FAILOVER_TIMEOUT.as_secs_f64() {
        return Ok(MAX_FAILOVER_TIMEOUT);
    }
    Ok(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(MAX_FAILOVER_TIMEOUT))
}

fn roles(info: &v1::FrameworkInfo, multi_role: bool) -> Result<Vec<Role>, InvalidField> {
    if !multi_role {
        if !info.roles.is_empty() {
            return Err(InvalidField::new("roles", "needs the capability MULTI_ROLE; without it set `role`"));
        }
        return Ok(vec![parse_role("role", info.role())?]);
    }
    if info.role.is_some() {
        return Err(InvalidField::new("role", "must not be set with the capability MULTI_ROLE; set `roles`"));
    }
    let mut seen = BTreeSet::new();
    for (index, role) in info.roles.iter().enumerate() {
        let place = format!("roles[{index}]");
        if !seen.insert(parse_role(&place, role)?) {
            return Err(InvalidField::new(place, format_args!("'{role}' is there twice")));
        }
    }
    info.roles.iter().map(|role| parse_role("roles", role)).collect()
}

fn offer_filters(info: &v1::FrameworkInfo) -> Result<BTreeMap<Role, Vec<Quantities>>, InvalidField> {
    let filter = |(role, filters): (&String, &v1::OfferFilters)| {
        let place = format!("offer_filters[{role:?}]");
        let parsed = parse_role(&place, role)?;
        let least = filters.min_allocatable_resources.as_ref();
        let list = each("quantities", least.map_or(&[][..], |least| &least.quantities), |amounts| {
            quantities("quantities", &amounts.quantities)
        });
        let list = list.map_err(|error| error.within("min_allocatable_resources").within(&place))?;
        Ok(least.map(|_| (parsed, list)))
    };
    info.offer_filters.iter().filter_map(|entry| filter(entry).transpose()).collect()
}

/// The message it was made from, with the id and principal that it has by now.
impl From<&FrameworkDescription> for v1::FrameworkInfo {
    fn from(framework: &FrameworkDescription) -> Self {
        let mut info = if framework.details.is_empty() {
            typed(framework)
        } else {
            Self::decode(framework.details.as_bytes()).unwrap_or_else(|_| typed(framework))
        };
        info.id = framework.id.as_ref().map(Into::into);
        info.principal = framework.principal.as_ref().map(ToString::to_string);
        info
    }
}

fn typed(framework: &FrameworkDescription) -> v1::FrameworkInfo {
    let mut info = v1::FrameworkInfo {
        user: Some(framework.user.to_string()),
        name: Some(framework.name.to_string()),
        failover_timeout: Some(framework.failover_timeout.as_secs_f64()),
        checkpoint: Some(framework.checkpoint),
        hostname: framework.hostname.as_ref().map(ToString::to_string),
        webui_url: framework.webui_url.as_ref().map(ToString::to_string),
        labels: labels::to_wire(&framework.labels),
        ..v1::FrameworkInfo::default()
    };
    let capability = |capability: &FrameworkCapability| v1::framework_info::Capability {
        r#type: Some(capability.number()),
    };
    info.capabilities = framework.capabilities.iter().map(capability).collect();
    if framework.can(FrameworkCapability::MultiRole) {
        info.roles = framework.roles.iter().map(ToString::to_string).collect();
    } else {
        info.role = framework.roles.first().map(ToString::to_string);
    }
    let amounts = |amounts: &Quantities| ResourceQuantities { quantities: quantities_to_wire(amounts) };
    let filter = |(role, least): (&Role, &Vec<Quantities>)| {
        let least = MinAllocatableResources { quantities: least.iter().map(amounts).collect() };
        (role.to_string(), v1::OfferFilters { min_allocatable_resources: Some(least) })
    };
    info.offer_filters = framework.offer_filters.iter().map(filter).collect();
    info
}
