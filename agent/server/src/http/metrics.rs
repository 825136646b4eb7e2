//! `/metrics/snapshot` with Mesos' names, and the same for Prometheus. Amounts are in the unit their name ends with.

use std::fmt::Write;
use std::sync::Arc;

use chapada_agent_core::{ExecutorPhase, View};
use chapada_isolation::cgroup::{Pressure, Stall, pressure_of_machine};
use chapada_listener::{Call, HttpResponse, bytes, json, machine_stats};
use chapada_model::{ExecutorDescription, Resources, TaskDescription, TaskState};
use chapada_wire::v1;
use http::StatusCode;
use prost::Message;
use serde_json::{Map, Value};

use super::Api;

/// Metrics of ended tasks: what Mesos calls them, and the state.
const ENDED: [(&str, TaskState); 6] = [
    ("slave/tasks_finished", TaskState::Finished),
    ("slave/tasks_failed", TaskState::Failed),
    ("slave/tasks_killed", TaskState::Killed),
    ("slave/tasks_lost", TaskState::Lost),
    ("slave/tasks_gone", TaskState::Gone),
    ("slave/tasks_error", TaskState::Error),
];
/// Metrics of tasks that are held, by the state that was reported last.
const LIVE: [(&str, TaskState); 4] = [
    ("slave/tasks_staging", TaskState::Staging),
    ("slave/tasks_starting", TaskState::Starting),
    ("slave/tasks_running", TaskState::Running),
    ("slave/tasks_killing", TaskState::Killing),
];

/// How other counters end.
const COUNTED: [&str; 3] = ["executors_terminated", "container_launch_errors", "registrations"];

pub(super) async fn snapshot(api: Arc<Api>, _: Call) -> HttpResponse {
    match api.view().await {
        Ok(view) => {
            let all: Map<String, Value> =
                measure(&api, &view).into_iter().map(|(name, value)| (name, Value::from(value))).collect();
            json(StatusCode::OK, &all)
        }
        Err(refusal) => refusal,
    }
}

pub(super) async fn prometheus(api: Arc<Api>, _: Call) -> HttpResponse {
    let view = match api.view().await {
        Ok(view) => view,
        Err(refusal) => return refusal,
    };
    let mut page = String::new();
    for (name, value) in measure(&api, &view) {
        let name = format!("chapada_{}", name.replace("slave/", "agent/").replace('/', "_"));
        let counted = ENDED.iter().any(|(ended, _)| name.ends_with(&ended["slave/".len()..]));
        let counted = counted || COUNTED.iter().any(|end| name.ends_with(end)) || name.contains("_log_");
        let kind = if counted { "counter" } else { "gauge" };
        // Writing to a string cannot fail.
        let _ = writeln!(page, "# TYPE {name} {kind}\n{name} {value}");
    }
    bytes(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", page)
}

pub(super) fn measure(api: &Api, view: &View) -> Vec<(String, f64)> {
    let mut all = Vec::new();
    let mut put = |name: &str, value: f64| all.push((name.to_owned(), value));
    for (name, state) in ENDED {
        put(name, api.counters.updates(state) as f64);
    }
    for (name, state) in LIVE {
        let held = view.tasks.iter().filter(|task| task.phase.is_live());
        let of = |task: &&chapada_agent_core::TaskView| {
            task.newest.as_ref().map_or(TaskState::Staging, |update| update.state) == state
        };
        put(name, held.filter(of).count() as f64);
    }
    let used = used(view);
    for name in ["cpus", "mem", "disk", "gpus"] {
        let (total, used) = (api.resources.scalar(name).to_f64(), used.scalar(name).to_f64());
        put(&format!("slave/{name}_total"), total);
        put(&format!("slave/{name}_used"), used);
        put(&format!("slave/{name}_percent"), if total > 0.0 { used / total } else { 0.0 });
    }
    let (log_bytes, log_syncs, log_records) = api.counters.log();
    put("slave/uptime_secs", api.clock.uptime().as_secs_f64());
    put("slave/registered", f64::from(u8::from(view.registered)));
    put("slave/registrations", api.counters.registrations() as f64);
    put("slave/frameworks_active", view.frameworks.len() as f64);
    let commands = view.tasks.iter().filter(|task| task.phase.is_live() && task.record.executor().is_none());
    let executors = |wanted: fn(&ExecutorPhase) -> bool| {
        view.executors.iter().filter(|executor| wanted(&executor.phase)).count()
    };
    let registering = executors(|phase| {
        matches!(
            phase,
            ExecutorPhase::Recovering { .. }
                | ExecutorPhase::Launching { .. }
                | ExecutorPhase::Registering { .. }
                | ExecutorPhase::Returning { .. }
        )
    });
    let running =
        executors(|phase| matches!(phase, ExecutorPhase::Pod { .. } | ExecutorPhase::Running { .. }));
    let (ended, launches_failed) = api.counters.ended();
    put("slave/executors_registering", registering as f64);
    put("slave/executors_running", (commands.count() + running) as f64);
    put(
        "slave/executors_terminating",
        executors(|phase| matches!(phase, ExecutorPhase::Ending { .. })) as f64,
    );
    put("slave/executors_terminated", ended as f64);
    put("slave/container_launch_errors", launches_failed as f64);
    put("slave/recovery_time_secs", api.counters.recovery().as_secs_f64());
    for (name, value) in machine_stats() {
        put(&format!("system/{name}"), value);
    }
    for (name, value) in machine_pressure() {
        put(&format!("system/{name}"), value);
    }
    put("slave/log_bytes", log_bytes as f64);
    put("slave/log_syncs", log_syncs as f64);
    put("slave/log_records", log_records as f64);
    all
}

/// What processes of the machine wait for, in percent of the last 10, 60 and 300 seconds; where the kernel counts it.
fn machine_pressure() -> Vec<(String, f64)> {
    let waits = pressure_of_machine().unwrap_or_else(|error| {
        tracing::debug!(%error, "cannot read what the machine waits for");
        Pressure::default()
    });
    let named = [("cpu", waits.cpu), ("memory", waits.memory), ("io", waits.io)];
    let mut all = Vec::new();
    for (kind, Stall { some, full }) in named.into_iter().filter_map(|(kind, stall)| Some((kind, stall?))) {
        for (who, share) in [("some", some), ("full", full)] {
            let shares = [
                ("avg10", share.of_10_seconds),
                ("avg60", share.of_60_seconds),
                ("avg300", share.of_300_seconds),
            ];
            let name = |time| format!("{kind}_pressure/{who}_{time}");
            all.extend(shares.map(|(time, hundredths)| (name(time), hundredths as f64 / 100.0)));
        }
    }
    all
}

/// What live tasks and executors asked for.
fn used(view: &View) -> Resources {
    let mut used = Resources::default();
    for task in view.tasks.iter().filter(|task| task.phase.is_live()) {
        let info = v1::TaskInfo::decode(task.record.info.as_bytes()).unwrap_or_default();
        let described = TaskDescription::try_from(&info).ok();
        // Two tasks with the same port cannot be added up; the first counts.
        if let Some(sum) = described.and_then(|task| used.checked_add(&task.resources).ok()) {
            used = sum;
        }
    }
    for executor in &view.executors {
        let info = v1::ExecutorInfo::decode(executor.record.info.as_bytes()).unwrap_or_default();
        let described = ExecutorDescription::try_from(&info).ok();
        if let Some(sum) = described.and_then(|executor| used.checked_add(&executor.resources).ok()) {
            used = sum;
        }
    }
    used
}
