//! How long the first task took, by the cluster's own time stamps.

use serde_json::Value;

use crate::client::Api;

pub(super) struct FirstRunning {
    pub(super) after_registration_ms: i64,
    pub(super) after_staging_ms: i64,
}

/// Nothing until a task runs.
pub(super) async fn first_running(api: &Api) -> Option<FirstRunning> {
    let agents = api.get("/query/v1/agents").await.ok()?;
    let tasks = api.get("/query/v1/tasks?state=TASK_RUNNING").await.ok()?;
    let registered = agents["items"].as_array()?.iter().filter_map(registered_at).min()?;
    let first = tasks["items"]
        .as_array()?
        .iter()
        .filter_map(|task| Some((running_since(task)?, task)))
        .min_by_key(|(since, _)| *since)?;
    let launched = first.1["launched"].as_i64()?;
    Some(FirstRunning { after_registration_ms: first.0 - registered, after_staging_ms: first.0 - launched })
}

/// When this run's agent came: an agent of an earlier run comes back under its old registration.
fn registered_at(agent: &Value) -> Option<i64> {
    agent["reregistered"].as_i64().or_else(|| agent["registered"].as_i64())
}

fn running_since(task: &Value) -> Option<i64> {
    let statuses = task["statuses"].as_array()?;
    statuses.iter().find(|status| status["state"] == "TASK_RUNNING")?["timestamp"].as_i64()
}
