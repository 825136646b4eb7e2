//! Agents.

use std::collections::BTreeMap;

use chapada_master_core::Agent;
use chapada_model::{Resource, Resources};
use chapada_wire::Json;
use chapada_wire::convert::{ReservationFormat, resources_to_wire};
use serde::Serialize;
use serde_json::Value;

use super::resources::{Amounts, Plain, attributes, reserved, resources, unreserved};
use crate::operator::agents::drain_info;

/// An agent as `/state` and `/state-summary` show it.
#[derive(Serialize)]
pub(super) struct AgentView<'a> {
    id: &'a str,
    hostname: &'a str,
    port: u16,
    attributes: BTreeMap<String, Plain>,
    pid: String,
    registered_time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reregistered_time: Option<f64>,
    resources: Amounts<'a>,
    used_resources: Amounts<'a>,
    offered_resources: Amounts<'a>,
    reserved_resources: BTreeMap<String, Amounts<'a>>,
    unreserved_resources: Amounts<'a>,
    active: bool,
    deactivated: bool,
    version: &'a str,
    capabilities: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drain_info: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_drain_start_time_seconds: Option<f64>,
}

/// An agent as `/slaves` shows it.
#[derive(Serialize)]
pub(super) struct AgentInFull<'a> {
    #[serde(flatten)]
    view: AgentView<'a>,
    reserved_resources_full: BTreeMap<String, Vec<Value>>,
    unreserved_resources_full: Vec<Value>,
    used_resources_full: Vec<Value>,
    offered_resources_full: Vec<Value>,
}

impl<'a> From<&'a Agent> for AgentView<'a> {
    fn from(agent: &'a Agent) -> Self {
        let described = &agent.description;
        Self {
            id: agent.id.as_str(),
            hostname: &described.hostname,
            port: described.port,
            attributes: attributes(&described.attributes),
            pid: format!("slave(1)@{}", described.address),
            registered_time: agent.registered.as_secs_f64(),
            reregistered_time: agent.reregistered.map(chapada_model::Wall::as_secs_f64),
            resources: resources(&agent.total),
            used_resources: resources(&agent.used),
            offered_resources: resources(&agent.offered),
            reserved_resources: reserved(&agent.total),
            unreserved_resources: unreserved(&agent.total),
            active: crate::operator::view::is_active(agent),
            deactivated: agent.deactivated,
            version: &described.version,
            capabilities: described.capabilities.iter().map(|capability| capability.name()).collect(),
            drain_info: agent.drain.as_ref().map(|drain| json(&drain_info(drain).to_json())),
            estimated_drain_start_time_seconds: agent.drain.as_ref().map(|drain| drain.since.as_secs_f64()),
        }
    }
}

impl<'a> From<&'a Agent> for AgentInFull<'a> {
    fn from(agent: &'a Agent) -> Self {
        let kept_for: std::collections::BTreeSet<_> =
            agent.total.iter().filter_map(Resource::reserved_role).cloned().collect();
        let of = |role: &_| agent.total.filter(|resource| resource.reserved_role() == Some(role));
        Self {
            view: agent.into(),
            reserved_resources_full: kept_for
                .iter()
                .map(|role| (role.to_string(), full(&of(role))))
                .collect(),
            unreserved_resources_full: full(
                &agent.total.filter(|resource| resource.reserved_role().is_none()),
            ),
            used_resources_full: full(&agent.used),
            offered_resources_full: full(&agent.offered),
        }
    }
}

fn full(resources: &Resources) -> Vec<Value> {
    let wire = resources_to_wire(resources, ReservationFormat::Both);
    wire.iter().map(|resource| json(&resource.to_json())).collect()
}

fn json(written: &[u8]) -> Value {
    serde_json::from_slice(written).unwrap_or(Value::Null)
}
