//! Frameworks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chapada_master_core::{Agent, Framework, FrameworkState, Offer, Snapshot, Task};
use chapada_model::{FrameworkId, Resources, Wall};
use serde::Serialize;
use serde_json::{Value, json};

use super::object::write;
use super::resources::{Amounts, resources};
use crate::books;
use crate::pieces::{Progress, Room, fill};

/// A framework as `/state-summary` shows it.
#[derive(Serialize)]
pub(super) struct FrameworkSummary<'a> {
    id: String,
    name: String,
    used_resources: Amounts<'a>,
    offered_resources: Amounts<'a>,
    capabilities: Vec<&'static str>,
    hostname: String,
    webui_url: String,
    active: bool,
    connected: bool,
    recovered: bool,
}

/// What `/state` and `/frameworks` show of a framework before its tasks.
#[derive(Serialize)]
pub(super) struct FrameworkHead<'a> {
    #[serde(flatten)]
    summary: FrameworkSummary<'a>,
    user: String,
    failover_timeout: f64,
    checkpoint: bool,
    registered_time: f64,
    unregistered_time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reregistered_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<String>,
    resources: Amounts<'a>,
    roles: Vec<String>,
}

/// Offers and executors by framework, found once for all frameworks of an answer.
#[derive(Default)]
pub(super) struct Held {
    offers: BTreeMap<FrameworkId, Vec<Arc<Offer>>>,
    /// Agents that run executors of the framework's own.
    agents: BTreeMap<FrameworkId, Vec<Arc<Agent>>>,
}

impl Held {
    pub(super) fn of(books: &Snapshot) -> Self {
        let mut held = Self { offers: books::offers_by_framework(books), ..Self::default() };
        for agent in books.agents.values().filter(|agent| !agent.executors.is_empty()) {
            let owners: BTreeSet<_> = agent.executors.keys().map(|key| &key.framework).collect();
            for owner in owners {
                held.agents.entry(owner.clone()).or_default().push(agent.clone());
            }
        }
        held
    }

    fn offers_of(&self, framework: &FrameworkId) -> &[Arc<Offer>] {
        self.offers.get(framework).map(Vec::as_slice).unwrap_or_default()
    }

    /// Writes the offers of a framework.
    pub(super) fn offers(
        self: Arc<Self>,
        framework: FrameworkId,
    ) -> impl FnMut(&mut Room<'_>) -> Progress + Send + Sync {
        let mut from = 0;
        move |room| {
            let rest = self.offers_of(&framework).iter().enumerate().skip(from);
            match fill(room, rest, |one, room| write(room.json(), &offer(one))) {
                Some(last) => from = last + 1,
                None => return Progress::End,
            }
            Progress::Full
        }
    }

    /// Writes the executors of a framework's own.
    pub(super) fn executors(
        self: Arc<Self>,
        framework: Arc<Framework>,
    ) -> impl FnMut(&mut Room<'_>) -> Progress + Send + Sync {
        let mut from = 0;
        move |room| {
            let rest = self.agents.get(&framework.id).into_iter().flatten().enumerate().skip(from);
            let on_one = |agent: &Arc<Agent>, room: &mut Room<'_>| {
                executors(&framework, agent).iter().for_each(|executor| write(room.json(), executor));
            };
            match fill(room, rest, on_one) {
                Some(last) => from = last + 1,
                None => return Progress::End,
            }
            Progress::Full
        }
    }
}

/// What a framework holds.
pub(super) struct Holdings<'a> {
    tasks: Vec<&'a Task>,
    offers: Vec<&'a Offer>,
}

impl<'a> Holdings<'a> {
    /// Finds them in the books.
    pub(super) fn of(framework: &Framework, books: &'a Snapshot, held: &'a Held) -> Self {
        let tasks = books::tasks_of(books, &framework.id).map(|task| &**task);
        Self {
            tasks: tasks.collect(),
            offers: held.offers_of(&framework.id).iter().map(|offer| &**offer).collect(),
        }
    }

    fn used(&self) -> Vec<&'a Resources> {
        self.tasks.iter().filter(|task| task.is_live()).map(|task| &task.resources).collect()
    }

    fn offered(&self) -> Vec<&'a Resources> {
        self.offers.iter().map(|offer| &offer.resources).collect()
    }
}

impl<'a> FrameworkSummary<'a> {
    pub(super) fn new(framework: &Framework, holdings: &Holdings<'a>) -> Self {
        let described = &framework.description;
        let subscribed = matches!(framework.state, FrameworkState::Active { .. });
        let text =
            |text: &Option<chapada_model::Text>| text.as_ref().map(ToString::to_string).unwrap_or_default();
        Self {
            id: framework.id.to_string(),
            name: described.name.to_string(),
            used_resources: resources(holdings.used().into_iter().flatten()),
            offered_resources: resources(holdings.offered().into_iter().flatten()),
            capabilities: described.capabilities.iter().map(|capability| capability.name()).collect(),
            hostname: text(&described.hostname),
            webui_url: text(&described.webui_url),
            active: subscribed,
            connected: subscribed,
            recovered: framework.recovered,
        }
    }
}

impl<'a> FrameworkHead<'a> {
    pub(super) fn new(framework: &Framework, books: &'a Snapshot, held: &'a Held) -> Self {
        let holdings = Holdings::of(framework, books, held);
        let described = &framework.description;
        let completed_at = match framework.state {
            FrameworkState::Completed { at } => at,
            _ => Wall::default(),
        };
        let held = holdings.used().into_iter().chain(holdings.offered());
        Self {
            user: described.user.to_string(),
            failover_timeout: described.failover_timeout.as_secs_f64(),
            checkpoint: described.checkpoint,
            registered_time: framework.registered.as_secs_f64(),
            unregistered_time: completed_at.as_secs_f64(),
            reregistered_time: framework.reregistered.map(Wall::as_secs_f64),
            principal: described.principal.as_ref().map(ToString::to_string),
            resources: resources(held.flatten()),
            roles: described.roles.iter().map(ToString::to_string).collect(),
            summary: FrameworkSummary::new(framework, &holdings),
        }
    }
}

fn offer(offer: &Offer) -> Value {
    json!({
        "id": offer.id.as_str(),
        "framework_id": offer.framework.as_str(),
        "allocation_info": { "role": offer.role.to_string() },
        "slave_id": offer.agent.as_str(),
        "resources": resources(&offer.resources),
    })
}

fn executors(framework: &Framework, agent: &Agent) -> Vec<Value> {
    let own = agent.executors.iter().filter(|(key, _)| key.framework == framework.id);
    own.map(|(key, executor)| {
        json!({
            "executor_id": key.executor.as_str(),
            "name": executor.description.name.as_deref().unwrap_or_default(),
            "framework_id": framework.id.as_str(),
            "resources": resources(&executor.resources),
            "slave_id": agent.id.as_str(),
        })
    })
    .collect()
}
