//! `/containers` and `/monitor/statistics`: what runs and what it uses, read from its cgroups.

use std::sync::Arc;

use chapada_agent_core::{ExecutorView, Runner, TaskView, View};
use chapada_listener::{Call, HttpResponse, json};
use chapada_model::{ExecutorDescription, Resources, TaskDescription};
use chapada_shim::Statistics;
use chapada_wire::{Json, v1};
use http::StatusCode;
use prost::Message;
use serde_json::{Value, json};

use super::Api;
use super::state::executor_name;
use crate::layout::executor_of;

const BYTES_PER_MILLI_MIB: f64 = 1_048_576.0 / 1000.0;

pub(super) async fn containers(api: Arc<Api>, _: Call) -> HttpResponse {
    list(api, true).await
}

pub(super) async fn statistics(api: Arc<Api>, _: Call) -> HttpResponse {
    list(api, false).await
}

async fn list(api: Arc<Api>, with_status: bool) -> HttpResponse {
    let view = match api.view().await {
        Ok(view) => view,
        Err(refusal) => return refusal,
    };
    let running = running(&view);
    let read = tokio::task::spawn_blocking(move || {
        running.iter().map(|running| container_json(&api, running, with_status)).collect::<Vec<_>>()
    });
    json(StatusCode::OK, &read.await.unwrap_or_default())
}

/// Every container with a process in it.
pub(super) fn running(view: &View) -> Vec<Running> {
    let tasks = view.tasks.iter().filter_map(Running::of_task);
    tasks.chain(view.executors.iter().filter_map(Running::of_executor)).collect()
}

/// What a container uses. Blocks.
pub(super) fn usage(api: &Api, running: &Running) -> Option<v1::ResourceStatistics> {
    let name = running.container.value.as_deref().unwrap_or_default();
    let used = api.means.launcher.cgroups().group(name).statistics().ok()?;
    // The two forms have the same names.
    let shown = statistics_json(&used, running.asked.as_ref());
    v1::ResourceStatistics::from_json(shown.to_string().as_bytes()).ok()
}

/// A container with a process in it.
pub(super) struct Running {
    pub(super) executor: String,
    pub(super) name: String,
    source: String,
    pub(super) framework: String,
    pub(super) container: v1::ContainerId,
    pub(super) pid: u32,
    /// What it asked for; nothing when that cannot be read.
    asked: Option<Resources>,
}

impl Running {
    fn of_task(task: &TaskView) -> Option<Self> {
        let record = &task.record;
        let info = v1::TaskInfo::decode(record.info.as_bytes()).unwrap_or_default();
        let executor = executor_of(record).to_string();
        let mut container = v1::ContainerId::from(&record.container);
        if let Runner::Pod { parent, .. } = &record.runner {
            container.parent = Some(Box::new(parent.into()));
        }
        Some(Self {
            name: executor_name(&info),
            source: executor.clone(),
            executor,
            framework: record.key.framework.to_string(),
            container,
            pid: task.phase.pid()?,
            asked: TaskDescription::try_from(&info).ok().map(|task| task.resources),
        })
    }

    fn of_executor(executor: &ExecutorView) -> Option<Self> {
        let record = &executor.record;
        let info = v1::ExecutorInfo::decode(record.info.as_bytes()).unwrap_or_default();
        Some(Self {
            asked: ExecutorDescription::try_from(&info).ok().map(|executor| executor.resources),
            executor: record.key.executor.to_string(),
            name: info.name.unwrap_or_default(),
            source: info.source.unwrap_or_default(),
            framework: record.key.framework.to_string(),
            container: (&record.container).into(),
            pid: executor.phase.pid()?,
        })
    }
}

fn container_json(api: &Api, running: &Running, with_status: bool) -> Value {
    let name = running.container.value.as_deref().unwrap_or_default();
    let group = api.means.launcher.cgroups().group(name);
    let mut shown = json!({
        "executor_id": running.executor,
        "executor_name": running.name,
        "framework_id": running.framework,
        "source": running.source,
        // A container that ended in this moment has no statistics.
        "statistics": group.statistics().ok().map(|used| statistics_json(&used, running.asked.as_ref())),
    });
    if with_status {
        let mut id = json!({ "value": name });
        if let Some(parent) = &running.container.parent {
            id["parent"] = json!({ "value": parent.value });
        }
        shown["container_id"] = json!(name);
        shown["status"] = json!({ "container_id": id, "executor_pid": running.pid });
    }
    shown
}

fn statistics_json(used: &Statistics, asked: Option<&Resources>) -> Value {
    let seconds = |nanos: u64| nanos as f64 / 1e9;
    let mut shown = json!({
        "timestamp": crate::clock::wall().as_secs_f64(),
        "cpus_user_time_secs": seconds(used.cpu_user_ns),
        "cpus_system_time_secs": seconds(used.cpu_system_ns),
        "cpus_nr_periods": used.cpu_periods,
        "cpus_nr_throttled": used.cpu_throttled_periods,
        "cpus_throttled_time_secs": seconds(used.cpu_throttled_ns),
        "mem_total_bytes": used.memory_total_bytes,
        "mem_rss_bytes": used.memory_rss_bytes,
        "mem_cache_bytes": used.memory_cache_bytes,
        "processes": used.processes,
    });
    if let Some(limit) = used.memory_limit_bytes {
        shown["mem_limit_bytes"] = json!(limit);
    }
    if let Some(quota) = used.cpu_quota_milli {
        shown["cpus_limit"] = json!(quota as f64 / 1000.0);
    }
    if let Some(asked) = asked {
        shown["cpus_soft_limit"] = json!(asked.cpus().to_f64());
        shown["mem_soft_limit_bytes"] = json!((asked.mem().0 as f64 * BYTES_PER_MILLI_MIB) as u64);
    }
    shown
}
