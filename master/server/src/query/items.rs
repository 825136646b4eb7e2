//! Single things as JSON: agents, frameworks, offers, roles.

use std::collections::BTreeMap;

use chapada_master_core::{
    Agent, AgentState, Drain, DrainWait, Framework, FrameworkState, Offer, RoleView, Snapshot, WhyKind,
};
use chapada_model::{AgentId, Milli, Quantities, Ranges, Resource, ResourceValue, Wall};
use serde_json::{Map, Value, json};

use super::drains;
use crate::books;

/// Amounts by name; ports and their like as text.
pub(super) fn amounts<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> Value {
    let mut scalars: BTreeMap<&str, Milli> = ["cpus", "mem", "disk"].map(|name| (name, Milli::ZERO)).into();
    let mut ranges: BTreeMap<&str, Ranges> = BTreeMap::new();
    for resource in resources {
        match &resource.value {
            ResourceValue::Scalar(amount) => {
                let sum = scalars.entry(&resource.name).or_default();
                *sum = sum.checked_add(*amount).unwrap_or(*sum);
            }
            ResourceValue::Ranges(more) => {
                let sum = ranges.entry(&resource.name).or_default();
                *sum = Ranges::new(sum.iter().chain(more.iter()));
            }
            ResourceValue::Set(_) => {}
        }
    }
    let mut map: Map<String, Value> =
        scalars.into_iter().map(|(k, v)| (k.to_owned(), json!(v.to_f64()))).collect();
    map.extend(ranges.into_iter().map(|(name, ranges)| (name.to_owned(), json!(ranges.to_string()))));
    Value::Object(map)
}

pub(super) fn quantities(quantities: &Quantities) -> Value {
    quantities
        .iter()
        .map(|(name, amount)| (name.to_string(), json!(amount.to_f64())))
        .collect::<Map<_, _>>()
        .into()
}

/// Milliseconds since 1970.
pub(super) fn millis(wall: Wall) -> Value {
    json!(wall.as_millis())
}

pub(super) fn agent_state(agent: &Agent) -> &'static str {
    match agent.state {
        AgentState::Active { .. } => match &agent.drain {
            Some(drain) if drain.is_drained => "drained",
            Some(_) => "draining",
            None if agent.deactivated => "deactivated",
            None => "active",
        },
        AgentState::Disconnected { .. } | AgentState::Leaving => "disconnected",
        AgentState::Recovered { .. } => "recovering",
        AgentState::Admitting { .. } => "registering",
        AgentState::Unreachable { .. } => "unreachable",
        AgentState::Gone { .. } => "gone",
    }
}

/// An agent; `waits` says what it waits for while it drains.
pub(super) fn agent(agent: &Agent, waits: &BTreeMap<AgentId, Vec<DrainWait>>) -> Value {
    let described = &agent.description;
    json!({
        "id": agent.id.as_str(),
        "hostname": &*described.hostname,
        "address": &*described.address,
        "state": agent_state(agent),
        "registered": millis(agent.registered),
        "reregistered": agent.reregistered.map(millis),
        "version": &*described.version,
        "resources": {
            "total": amounts(&agent.total),
            "allocated": amounts(&agent.used),
            "offered": amounts(&agent.offered),
        },
        "attributes": crate::plain::attributes(&described.attributes),
        "tasks": agent.tasks,
        "deactivated": agent.deactivated,
        "drain": agent.drain.as_ref().map(|known| drain(known, waits.get(&agent.id))),
    })
}

fn drain(drain: &Drain, waits: Option<&Vec<DrainWait>>) -> Value {
    json!({
        "state": if drain.is_drained { "drained" } else { "draining" },
        "why": waits.map(|waits| drains::sentence(waits)),
        "since": millis(drain.since),
        "leave_by": drain.leave_by().map(millis),
        "max_grace_seconds": drain.order.max_grace.map(|grace| grace.as_secs_f64()),
        "mark_gone": drain.order.mark_gone,
    })
}

pub(super) fn framework_state(framework: &Framework) -> &'static str {
    match framework.state {
        FrameworkState::Active { .. } => "active",
        FrameworkState::Subscribing { .. } => "inactive",
        FrameworkState::Disconnected { .. } => "disconnected",
        FrameworkState::Completed { .. } => "completed",
    }
}

pub(super) fn framework(framework: &Framework, books: &Snapshot) -> Value {
    let described = &framework.description;
    let live: Vec<_> = books::tasks_of(books, &framework.id).filter(|task| task.is_live()).collect();
    let offers = books.offers.values().filter(|offer| offer.framework == framework.id);
    json!({
        "id": framework.id.as_str(),
        "name": &*described.name,
        "user": &*described.user,
        "principal": described.principal.as_deref(),
        "roles": described.roles.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "state": framework_state(framework),
        "registered": millis(framework.registered),
        "hostname": described.hostname.as_deref().unwrap_or_default(),
        "webui_url": described.webui_url.as_deref(),
        "resources": {
            "allocated": amounts(live.iter().flat_map(|task| &task.resources)),
            "offered": amounts(offers.flat_map(|offer| &offer.resources)),
        },
        "tasks": live.len(),
        "capabilities": described.capabilities.iter().map(|one| one.name()).collect::<Vec<_>>(),
        "why": why(framework, books),
    })
}

fn why(framework: &Framework, books: &Snapshot) -> Vec<Value> {
    let plan = books.why.get(&framework.id);
    let reason = |(kind, count): (&WhyKind, &u32)| json!({"reason": sentence(*kind), "count": count});
    plan.into_iter().flat_map(|plan| &plan.skipped).map(reason).collect()
}

pub(super) fn sentence(kind: WhyKind) -> &'static str {
    match kind {
        WhyKind::Disconnected => "the framework is not subscribed",
        WhyKind::Suppressed => "the framework suppressed offers",
        WhyKind::AgentInactive => "the agent is not connected",
        WhyKind::NotCapable => "the framework lacks a capability",
        WhyKind::Constrained => "the framework's offer constraints leave the agent out",
        WhyKind::OverLimit => "the role has all that its quota allows",
        WhyKind::KeptForGuarantees => "what is free is kept for guarantees of other roles",
        WhyKind::NothingFree => "everything is in use or on offer",
        WhyKind::Unanswered => {
            "everything is in use or on offer, and the framework comes last: it left its last offers unanswered"
        }
        WhyKind::AwaitingAgents => "the new leader waits for its agents to say what counts against quotas",
        WhyKind::BelowMinimum => "what is free is less than the minimum",
        WhyKind::Filtered => "the framework declined as much",
        WhyKind::AgentDeactivated => "an operator has deactivated the agent",
        WhyKind::AgentDraining => "the agent is being drained, or has been",
    }
}

pub(super) fn offer(offer: &Offer) -> Value {
    json!({
        "id": offer.id.as_str(),
        "framework_id": offer.framework.as_str(),
        "agent_id": offer.agent.as_str(),
        "hostname": &*offer.host.hostname,
        "role": offer.role.to_string(),
        "resources": amounts(&offer.resources),
        "since": millis(offer.since.wall),
    })
}

pub(super) fn role(role: &RoleView) -> Value {
    json!({
        "name": role.name.to_string(),
        "weight": role.weight.to_f64(),
        "share": role.share,
        "resources": {
            "allocated": quantities(&role.allocated),
            "offered": quantities(&role.offered),
            "reserved": quantities(&role.reserved),
        },
        "quota": {
            "guarantee": quantities(&role.quota.guarantee),
            "limit": quantities(&Quantities(role.quota.limit.clone())),
            "consumed": quantities(&role.consumed),
        },
        "frameworks": role.frameworks.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
    })
}
