//! Drains of many agents as JSON: how far each is.

use std::collections::BTreeMap;

use chapada_master_core::{DrainPlan, DrainStep, DrainWait, Snapshot};
use chapada_model::AgentId;
use serde_json::{Value, json};

use super::items::millis;

/// A drain in a list: how many of its agents are where.
pub(super) fn drain(name: &str, plan: &DrainPlan, books: &Snapshot) -> Value {
    let steps = [
        DrainStep::Waiting,
        DrainStep::Draining,
        DrainStep::Drained,
        DrainStep::Unreachable,
        DrainStep::Gone,
        DrainStep::Withdrawn,
    ];
    let mut counts: BTreeMap<&str, u32> = steps.into_iter().map(|step| (step_name(step), 0)).collect();
    for id in agents(plan) {
        *counts.entry(step_name(books.drain_step(name, plan, id))).or_default() += 1;
    }
    json!({
        "id": name,
        "state": state(plan),
        "selected_by": &*plan.selected_by,
        "at_once": plan.at_once,
        "since": millis(plan.since),
        "ended": plan.ended.map(millis),
        "deadline_seconds": plan.order.notice.map(|time| time.as_secs_f64()),
        "max_grace_seconds": plan.order.max_grace.map(|time| time.as_secs_f64()),
        "mark_gone": plan.order.mark_gone,
        "agents": counts,
    })
}

/// The same with each agent.
pub(super) fn in_full(name: &str, plan: &DrainPlan, books: &Snapshot) -> Value {
    let waits = books.drain_waits(plan.begun.iter().collect());
    let one = |id: &AgentId| {
        let agent = books.agents.get(id);
        let step = books.drain_step(name, plan, id);
        json!({
            "id": id.as_str(),
            "hostname": agent.map(|agent| &*agent.description.hostname),
            "state": step_name(step),
            "why": why(step, plan, waits.get(id)),
            "tasks": agent.map(|agent| agent.tasks),
            "leave_by": agent.and_then(|agent| agent.drain.as_ref()?.leave_by()).map(millis),
        })
    };
    let mut drain = drain(name, plan, books);
    drain["list"] = agents(plan).map(one).collect();
    drain
}

/// Why an agent of a drain is not drained yet.
fn why(step: DrainStep, plan: &DrainPlan, waits: Option<&Vec<DrainWait>>) -> Option<String> {
    match step {
        DrainStep::Waiting => Some(format!("its turn comes when fewer than {} are draining", plan.at_once)),
        DrainStep::Draining | DrainStep::Unreachable => waits.map(|waits| sentence(waits)),
        DrainStep::Drained | DrainStep::Gone | DrainStep::Withdrawn => None,
    }
}

/// All that a draining agent waits for.
pub(super) fn sentence(waits: &[DrainWait]) -> String {
    waits.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn agents(plan: &DrainPlan) -> impl Iterator<Item = &AgentId> {
    plan.begun.iter().chain(&plan.waiting)
}

fn state(plan: &DrainPlan) -> &'static str {
    match (plan.ended, plan.is_cancelled) {
        (None, _) => "draining",
        (Some(_), true) => "cancelled",
        (Some(_), false) => "done",
    }
}

fn step_name(step: DrainStep) -> &'static str {
    match step {
        DrainStep::Waiting => "waiting",
        DrainStep::Draining => "draining",
        DrainStep::Drained => "drained",
        DrainStep::Unreachable => "unreachable",
        DrainStep::Gone => "gone",
        DrainStep::Withdrawn => "withdrawn",
    }
}
