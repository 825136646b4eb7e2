//! The cluster at a glance.

use std::collections::BTreeMap;

use chapada_master_core::Snapshot;
use chapada_model::{Milli, TaskState};
use serde_json::{Map, Value, json};

use super::items::{agent_state, framework_state, millis};
use crate::shell::{API_VERSION, Led, Shell};

/// What `/query/v1/overview` answers.
pub(super) fn overview(shell: &Shell, led: &Led, books: &Snapshot) -> Value {
    let mut agents = counts(&["active", "disconnected", "unreachable"]);
    for agent in books.agents.values() {
        *agents.entry(agent_state(agent)).or_default() += 1;
    }
    let mut frameworks = counts(&["active", "inactive", "disconnected"]);
    for framework in books.frameworks.values() {
        *frameworks.entry(framework_state(framework)).or_default() += 1;
    }
    json!({
        "cluster": shell.config.cluster,
        "leader": { "id": &*led.master.id, "hostname": &*led.master.hostname, "port": led.master.port },
        "version": env!("CARGO_PKG_VERSION"),
        "api_version": API_VERSION,
        "epoch": led.epoch,
        "elected_time": led.elected.as_millis(),
        "uptime_seconds": shell.clock.running().as_secs(),
        "agents": agents,
        "agent_removals": removals(books),
        "frameworks": frameworks,
        "tasks": tasks(books),
        "offers": books.offers.len(),
        "resources": resources(books),
    })
}

/// What the brake on mass removal holds back.
fn removals(books: &Snapshot) -> Value {
    let brake = &books.brake;
    json!({
        "held": brake.held,
        "message": brake.sentence(),
        "next": brake.next.map(millis),
        "waits_until": brake.waits_until.map(millis),
        "allowed_until": brake.allowed_until.map(millis),
    })
}

fn counts(names: &[&'static str]) -> BTreeMap<&'static str, u64> {
    names.iter().map(|name| (*name, 0)).collect()
}

/// Tasks by state: what is there now, and what has ended since this master leads.
fn tasks(books: &Snapshot) -> BTreeMap<String, u64> {
    let name = |state: TaskState| state.name().trim_start_matches("TASK_").to_ascii_lowercase();
    let mut tasks: BTreeMap<String, u64> =
        ["staging", "starting", "running", "finished", "failed", "killed", "lost"]
            .map(|name| (name.to_owned(), 0))
            .into();
    for task in books.tasks.values().filter(|task| !task.state.is_terminal()) {
        *tasks.entry(name(task.state)).or_default() += 1;
    }
    for (state, count) in &books.counters.ended {
        *tasks.entry(name(*state)).or_default() += count;
    }
    tasks
}

fn resources(books: &Snapshot) -> Value {
    let mut all = Map::new();
    for name in ["cpus", "mem", "disk", "gpus"] {
        let sum = |of: fn(&chapada_master_core::Agent) -> &chapada_model::Resources| {
            let agents = books.agents.values().filter(|agent| agent.is_registered());
            Milli(agents.map(|agent| of(agent).scalar(name).0).fold(0, u64::saturating_add)).to_f64()
        };
        let total = sum(|agent| &agent.total);
        if name == "gpus" && total == 0.0 {
            continue;
        }
        let amounts = json!({"total": total, "allocated": sum(|agent| &agent.used), "offered": sum(|agent| &agent.offered)});
        all.insert(name.to_owned(), amounts);
    }
    all.into()
}
