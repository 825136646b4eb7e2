//! Frameworks.

use std::collections::BTreeMap;

use chapada_master_core::{Framework, FrameworkState, Offer, Snapshot, Task, TaskPhase};
use chapada_model::{Resources, Wall};
use serde::Serialize;
use serde_json::{Value, json};

use super::resources::{Plain, resources};
use super::tasks::TaskView;

/// A framework as `/state-summary` shows it.
#[derive(Serialize)]
pub(super) struct FrameworkSummary {
    id: String,
    name: String,
    used_resources: BTreeMap<String, Plain>,
    offered_resources: BTreeMap<String, Plain>,
    capabilities: Vec<&'static str>,
    hostname: String,
    webui_url: String,
    active: bool,
    connected: bool,
    recovered: bool,
}

/// A framework as `/state` and `/frameworks` show it.
#[derive(Serialize)]
pub(super) struct FrameworkView {
    #[serde(flatten)]
    summary: FrameworkSummary,
    user: String,
    failover_timeout: f64,
    checkpoint: bool,
    registered_time: f64,
    unregistered_time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reregistered_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<String>,
    resources: BTreeMap<String, Plain>,
    roles: Vec<String>,
    tasks: Vec<TaskView>,
    unreachable_tasks: Vec<TaskView>,
    completed_tasks: Vec<TaskView>,
    offers: Vec<Value>,
    executors: Vec<Value>,
    offer_constraints: BTreeMap<String, String>,
}

/// What a framework holds.
pub(super) struct Holdings<'a> {
    pub(super) tasks: Vec<&'a Task>,
    pub(super) completed: Vec<&'a Task>,
    pub(super) offers: Vec<&'a Offer>,
}

impl<'a> Holdings<'a> {
    /// Finds them in the books.
    pub(super) fn of(framework: &Framework, books: &'a Snapshot) -> Self {
        let completed = books.completed_tasks.get(&framework.id);
        Self {
            tasks: crate::books::tasks_of(books, &framework.id).map(|task| &**task).collect(),
            completed: completed.into_iter().flatten().map(|task| &**task).collect(),
            offers: books
                .offers
                .values()
                .filter(|offer| offer.framework == framework.id)
                .map(|o| &**o)
                .collect(),
        }
    }

    fn used(&self) -> Vec<&'a Resources> {
        self.tasks.iter().filter(|task| task.is_live()).map(|task| &task.resources).collect()
    }

    fn offered(&self) -> Vec<&'a Resources> {
        self.offers.iter().map(|offer| &offer.resources).collect()
    }
}

impl FrameworkSummary {
    pub(super) fn new(framework: &Framework, holdings: &Holdings<'_>) -> Self {
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

impl FrameworkView {
    pub(super) fn new(framework: &Framework, books: &Snapshot) -> Self {
        let holdings = Holdings::of(framework, books);
        let described = &framework.description;
        let (unreachable, tasks): (Vec<&Task>, Vec<&Task>) =
            holdings.tasks.iter().partition(|task| task.phase == TaskPhase::Unreachable);
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
            tasks: tasks.into_iter().map(Into::into).collect(),
            unreachable_tasks: unreachable.into_iter().map(Into::into).collect(),
            completed_tasks: holdings.completed.iter().copied().map(Into::into).collect(),
            offers: holdings.offers.iter().copied().map(offer).collect(),
            executors: executors(framework, books),
            offer_constraints: BTreeMap::new(),
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

fn executors(framework: &Framework, books: &Snapshot) -> Vec<Value> {
    let of_agent = |agent: &chapada_master_core::Agent| -> Vec<Value> {
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
    };
    books.agents.values().flat_map(|agent| of_agent(agent)).collect()
}
