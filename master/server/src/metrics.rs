//! Metrics: those of Mesos' names that can be told truthfully, and the same for Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use chapada_listener::{HttpResponse, bytes};
use chapada_master_core::{Agent, AgentState, FrameworkState, RoleView, Snapshot};
use chapada_model::{Milli, ResourceValue, Resources, TaskState, Text};
use http::StatusCode;

use crate::shell::{Shell, Standing};

const STATES: [(&str, TaskState); 13] = [
    ("staging", TaskState::Staging),
    ("starting", TaskState::Starting),
    ("running", TaskState::Running),
    ("killing", TaskState::Killing),
    ("finished", TaskState::Finished),
    ("failed", TaskState::Failed),
    ("killed", TaskState::Killed),
    ("lost", TaskState::Lost),
    ("error", TaskState::Error),
    ("dropped", TaskState::Dropped),
    ("gone", TaskState::Gone),
    ("gone_by_operator", TaskState::GoneByOperator),
    ("unreachable", TaskState::Unreachable),
];

/// All metrics by Mesos' names.
pub(crate) async fn snapshot(shell: &Shell) -> BTreeMap<String, f64> {
    let mut metrics = BTreeMap::new();
    let standing = shell.standing.borrow().clone();
    let elected = matches!(standing, Standing::Leading(_) | Standing::Suspended(_));
    put(&mut metrics, "master/elected", f64::from(u8::from(elected)));
    for (name, value) in chapada_listener::machine_stats() {
        put(&mut metrics, &format!("system/{name}"), value);
    }
    put(&mut metrics, "master/uptime_secs", shell.clock.running().as_secs_f64());
    put(&mut metrics, "master/agent_handshakes", shell.handshakes.under_way() as f64);
    put(&mut metrics, "master/agent_handshakes_waiting", shell.handshakes.waiting() as f64);
    // One whose leadership ends at this moment has no books to tell of.
    if let Standing::Leading(led) | Standing::Suspended(led) = standing
        && let Ok(shown) = led.snapshot().await
    {
        books(&mut metrics, &shown);
        put(&mut metrics, "master/epoch", led.epoch as f64);
        let followers = led.core.feed().followers();
        put(&mut metrics, "master/operator_event_stream_subscribers", followers as f64);
    }
    metrics
}

fn put(metrics: &mut BTreeMap<String, f64>, name: &str, value: f64) {
    metrics.insert(name.to_owned(), value);
}

/// What a role is promised, may have at most, holds and consumes, for the names that its quota speaks of. Source: Mesos' names.
fn quota(metrics: &mut BTreeMap<String, f64>, role: &RoleView) {
    let quota = &role.quota;
    let names: BTreeSet<&Text> = quota.guarantee.0.keys().chain(quota.limit.keys()).collect();
    for name in names {
        let mut put_one = |what: &str, amount: Milli| {
            let metric = format!("allocator/mesos/quota/roles/{}/resources/{name}/{what}", role.name);
            put(metrics, &metric, amount.to_f64());
        };
        put_one("guarantee", quota.guarantee.get(name));
        if let Some(most) = quota.limit.get(name) {
            put_one("limit", *most);
        }
        let held = role.allocated.get(name).0.saturating_add(role.offered.get(name).0);
        put_one("offered_or_allocated", Milli(held));
        put_one("consumed", role.consumed.get(name));
    }
}

fn books(metrics: &mut BTreeMap<String, f64>, books: &Snapshot) {
    resources(metrics, books);
    for role in books.roles() {
        put(metrics, &format!("allocator/mesos/roles/{}/shares/dominant", role.name), role.share);
        quota(metrics, &role);
    }
    agents(metrics, books);
    frameworks(metrics, books);
    tasks(metrics, books);
    let counters = &books.counters;
    for (name, value) in [
        ("master/outstanding_offers", books.offers.len() as u64),
        ("master/slave_registrations", counters.agent_registrations),
        ("master/slave_reregistrations", counters.agent_reregistrations),
        ("master/slave_unreachable_completed", counters.agents_unreachable),
        ("master/valid_status_updates", counters.valid_updates),
        ("master/invalid_status_updates", counters.invalid_updates),
        ("master/offers_sent", counters.offers_sent),
        ("master/offers_accepted", counters.offers_accepted),
        ("master/offers_declined", counters.offers_declined),
        ("master/offers_rescinded", counters.offers_rescinded),
        ("master/tasks_launched", counters.launched),
        ("master/calls", counters.calls),
        ("master/calls_refused", counters.calls_refused),
    ] {
        put(metrics, name, value as f64);
    }
}

fn resources(metrics: &mut BTreeMap<String, f64>, books: &Snapshot) {
    for name in ["cpus", "gpus", "mem", "disk"] {
        let (total, used) = (sum(books, name, false, |a| &a.total), sum(books, name, false, |a| &a.used));
        let offered = sum(books, name, false, |agent| &agent.offered);
        put(metrics, &format!("allocator/mesos/resources/{name}/total"), total);
        put(metrics, &format!("allocator/mesos/resources/{name}/offered_or_allocated"), used + offered);
        parts(metrics, &format!("master/{name}"), total, used);
        let (total, used) = (sum(books, name, true, |a| &a.total), sum(books, name, true, |a| &a.used));
        parts(metrics, &format!("master/{name}_revocable"), total, used);
    }
}

fn parts(metrics: &mut BTreeMap<String, f64>, name: &str, total: f64, used: f64) {
    put(metrics, &format!("{name}_total"), total);
    put(metrics, &format!("{name}_used"), used);
    put(metrics, &format!("{name}_percent"), if total > 0.0 { used / total } else { 0.0 });
}

/// How much of a name registered agents have: what may be taken back at any time, or what may not.
fn sum(books: &Snapshot, name: &str, revocable: bool, of: fn(&Agent) -> &Resources) -> f64 {
    let agents = books.agents.values().filter(|agent| agent.is_registered());
    let resources = agents.flat_map(|agent| of(agent)).filter(|one| one.revocable == revocable);
    let amounts =
        resources.filter(|resource| &*resource.name == name).map(|resource| match &resource.value {
            ResourceValue::Scalar(amount) => amount.0,
            ResourceValue::Ranges(_) | ResourceValue::Set(_) => 0,
        });
    Milli(amounts.fold(0, u64::saturating_add)).to_f64()
}

fn agents(metrics: &mut BTreeMap<String, f64>, books: &Snapshot) {
    let count =
        |which: fn(&AgentState) -> bool| books.agents.values().filter(|agent| which(&agent.state)).count();
    let active = count(|state| matches!(state, AgentState::Active { .. }));
    let disconnected = count(|state| matches!(state, AgentState::Disconnected { .. }));
    let unreachable = count(|state| matches!(state, AgentState::Unreachable { .. }));
    let out = books.agents.values().filter(|agent| agent.is_registered() && agent.deactivated).count();
    let draining =
        books.agents.values().filter(|agent| agent.drain.as_ref().is_some_and(|one| !one.is_drained));
    put(metrics, "master/slaves_deactivated", out as f64);
    put(metrics, "master/slaves_draining", draining.count() as f64);
    put(metrics, "master/slave_removals_held", books.brake.held as f64);
    for (name, value) in [
        ("active", active),
        ("connected", active),
        ("inactive", disconnected),
        ("disconnected", disconnected),
        ("unreachable", unreachable),
    ] {
        put(metrics, &format!("master/slaves_{name}"), value as f64);
    }
}

fn frameworks(metrics: &mut BTreeMap<String, f64>, books: &Snapshot) {
    let count = |which: fn(&FrameworkState) -> bool| {
        books.frameworks.values().filter(|one| which(&one.state)).count()
    };
    let active = count(|state| matches!(state, FrameworkState::Active { .. }));
    let disconnected = count(|state| matches!(state, FrameworkState::Disconnected { .. }));
    for (name, value) in [
        ("active", active),
        ("connected", active),
        ("inactive", disconnected),
        ("disconnected", disconnected),
    ] {
        put(metrics, &format!("master/frameworks_{name}"), value as f64);
    }
}

/// Tasks that are there by state; ended ones as counted since this master leads.
fn tasks(metrics: &mut BTreeMap<String, f64>, books: &Snapshot) {
    let mut now: BTreeMap<TaskState, u64> = BTreeMap::new();
    for task in books.tasks.values() {
        *now.entry(task.state).or_default() += 1;
    }
    for (name, state) in STATES {
        let count = match state.is_terminal() {
            true => books.counters.ended.get(&state),
            false => now.get(&state),
        };
        put(metrics, &format!("master/tasks_{name}"), count.copied().unwrap_or_default() as f64);
    }
}

/// The same for Prometheus: `master/cpus_total` is `chapada_master_cpus_total`.
pub(crate) async fn prometheus(shell: &Shell) -> HttpResponse {
    let mut page = String::new();
    for (name, value) in snapshot(shell).await {
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let kind = if is_counter(&name) { "counter" } else { "gauge" };
        // Writing to a string cannot fail.
        let _ = writeln!(page, "# TYPE chapada_{name} {kind}\nchapada_{name} {value}");
    }
    bytes(StatusCode::OK, "text/plain; version=0.0.4", page)
}

fn is_counter(name: &str) -> bool {
    ["registrations", "unreachable_completed", "updates", "offers_", "launched", "calls"]
        .iter()
        .any(|part| name.contains(part) && !name.contains("outstanding"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_jump_of_the_wall_clock_is_no_time_that_has_passed() {
        let shell = Shell { started: chapada_model::Wall(0), ..Shell::closed() };
        assert!(snapshot(&shell).await["master/uptime_secs"] < 3_600.0);
    }
}
