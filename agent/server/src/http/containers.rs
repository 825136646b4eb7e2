//! `/containers` and `/monitor/statistics`: what runs and what it uses, read from its cgroups.

use std::sync::Arc;

use chapada_agent_core::TaskView;
use chapada_listener::{Call, HttpResponse, json};
use chapada_model::TaskDescription;
use chapada_shim::Statistics;
use chapada_wire::v1;
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
    let running: Vec<TaskView> = view.tasks.into_iter().filter(|task| task.phase.pid().is_some()).collect();
    let read = tokio::task::spawn_blocking(move || {
        running.iter().map(|task| container_json(&api, task, with_status)).collect::<Vec<_>>()
    });
    json(StatusCode::OK, &read.await.unwrap_or_default())
}

fn container_json(api: &Api, task: &TaskView, with_status: bool) -> Value {
    let container = task.record.container.as_str();
    let group = api.means.launcher.cgroups().group(container);
    let info = v1::TaskInfo::decode(task.record.info.as_bytes()).unwrap_or_default();
    let executor = executor_of(&task.record);
    let mut shown = json!({
        "executor_id": executor.as_str(),
        "executor_name": executor_name(&info),
        "framework_id": task.record.key.framework.as_str(),
        "source": executor.as_str(),
        // A container that ended in this moment has no statistics.
        "statistics": group.statistics().ok().map(|used| statistics_json(&used, &info)),
    });
    if with_status {
        shown["container_id"] = json!(container);
        shown["status"] = json!({ "container_id": { "value": container }, "executor_pid": task.phase.pid() });
    }
    shown
}

fn statistics_json(used: &Statistics, info: &v1::TaskInfo) -> Value {
    let seconds = |nanos: u64| nanos as f64 / 1e9;
    let asked = TaskDescription::try_from(info).ok();
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
        shown["cpus_soft_limit"] = json!(asked.resources.cpus().to_f64());
        shown["mem_soft_limit_bytes"] = json!((asked.resources.mem().0 as f64 * BYTES_PER_MILLI_MIB) as u64);
    }
    shown
}
