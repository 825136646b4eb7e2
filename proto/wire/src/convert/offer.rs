//! Offers, outward only: nobody sends us one.

use chapada_model::{
    AgentDescription, AgentId, ExecutorId, FrameworkId, OfferId, Resources, Role, Unavailability,
};

use super::{ReservationFormat, resources_to_wire};
use crate::v1;

/// Below this path an agent's API has always been found.
const AGENT_PATH: &str = "/slave(1)";

/// What an offer is put together from.
#[derive(Clone, Copy, Debug)]
pub struct OfferParts<'a> {
    /// The offer's id.
    pub id: &'a OfferId,
    /// Whom it is made to.
    pub framework: &'a FrameworkId,
    /// Whose resources they are.
    pub agent_id: &'a AgentId,
    /// The same agent, described.
    pub agent: &'a AgentDescription,
    /// The role it is made in.
    pub role: &'a Role,
    /// What is offered.
    pub resources: &'a Resources,
    /// The framework's executors that run there already.
    pub executors: &'a [ExecutorId],
    /// When the agent's machine will be away, if that is scheduled.
    pub unavailability: Option<&'a Unavailability>,
    /// How the framework reads reservations.
    pub format: ReservationFormat,
}

impl From<OfferParts<'_>> for v1::Offer {
    fn from(parts: OfferParts<'_>) -> Self {
        Self {
            id: Some(parts.id.into()),
            framework_id: Some(parts.framework.into()),
            agent_id: Some(parts.agent_id.into()),
            hostname: Some(parts.agent.hostname.to_string()),
            url: Some(agent_url(parts.agent)),
            domain: parts.agent.domain.as_ref().map(Into::into),
            resources: resources_to_wire(&parts.resources.allocated_to(parts.role), parts.format),
            attributes: parts.agent.attributes.iter().map(Into::into).collect(),
            executor_ids: parts.executors.iter().map(Into::into).collect(),
            unavailability: parts.unavailability.map(Into::into),
            allocation_info: Some(v1::resource::AllocationInfo { role: Some(parts.role.to_string()) }),
        }
    }
}

/// Where the agent's API is reached. The address wins over the hostname, which clients need not be able to resolve.
fn agent_url(agent: &AgentDescription) -> v1::Url {
    let (ip, port) = agent.address.rsplit_once(':').unwrap_or((&agent.hostname, ""));
    v1::Url {
        scheme: Some("http".to_owned()),
        address: Some(v1::Address {
            hostname: Some(agent.hostname.to_string()),
            ip: Some(ip.trim_matches(['[', ']']).to_owned()),
            port: Some(port.parse().unwrap_or(agent.port).into()),
        }),
        path: Some(AGENT_PATH.to_owned()),
        ..v1::Url::default()
    }
}
