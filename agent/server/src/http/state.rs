//! `/state`: the agent, its frameworks, their executors and tasks, in Mesos' shape.

use std::collections::BTreeMap;
use std::sync::Arc;

use chapada_agent_core::{ExecutorRecord, ExecutorView, FrameworkRecord, TaskView, View};
use chapada_listener::{Call, HttpResponse, json};
use chapada_model::{
    AgentId, ExecutorDescription, Milli, Resource, ResourceValue, Resources, TaskDescription, TaskState,
};
use chapada_wire::v1;
use http::StatusCode;
use prost::Message;
use serde_json::{Value, json};

use super::{Api, flags_of};
use crate::history::{Past, PastExecutor};
use crate::layout::executor_of;
use crate::networks;

const SCALARS: [&str; 4] = ["cpus", "gpus", "mem", "disk"];

pub(super) async fn state(api: Arc<Api>, _: Call) -> HttpResponse {
    let view = match api.view().await {
        Ok(view) => view,
        Err(refusal) => return refusal,
    };
    let past = api.past(&view);
    let past_of = |framework: &FrameworkRecord| past.iter().find(|past| past.framework.id == framework.id);
    let frameworks = view.frameworks.iter();
    let frameworks: Vec<Value> =
        frameworks.map(|framework| framework_json(&api, &view, framework, past_of(framework))).collect();
    let completed = past.iter().filter(|past| past.is_over());
    let completed: Vec<Value> =
        completed.map(|past| framework_json(&api, &view, &past.framework, Some(past))).collect();
    let (mut unreserved, mut reserved) = (Vec::new(), BTreeMap::<String, Vec<Resource>>::new());
    for resource in &view.resources {
        match resource.reserved_role() {
            Some(role) if !role.is_star() => {
                reserved.entry(role.to_string()).or_default().push(resource.clone())
            }
            _ => unreserved.push(resource.clone()),
        }
    }
    let reserved: serde_json::Map<String, Value> =
        reserved.into_iter().map(|(role, own)| (role, resources_json(&own.into()))).collect();
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "start_time": api.started.as_secs_f64(),
        "id": view.agent.as_ref().map(ToString::to_string).unwrap_or_default(),
        "pid": format!("slave(1)@{}", api.who.address),
        "hostname": api.who.info.hostname,
        "capabilities": api.who.capabilities,
        "resources": resources_json(&view.resources),
        "unreserved_resources": resources_json(&unreserved.into()),
        "reserved_resources": reserved,
        "attributes": attributes_json(&api.who.info.attributes),
        "flags": flags_of(&api.config),
        "epoch": view.epoch,
        "registered": view.registered,
        "frameworks": frameworks,
        "completed_frameworks": completed,
    });
    json(StatusCode::OK, &body)
}

fn framework_json(api: &Api, view: &View, framework: &FrameworkRecord, past: Option<&Past>) -> Value {
    let info = v1::FrameworkInfo::decode(framework.info.as_bytes()).unwrap_or_default();
    let agent = view.agent.as_ref();
    let tasks = view.tasks.iter().filter(|task| task.record.key.framework == framework.id);
    let own = view.executors.iter().filter(|executor| executor.record.key.framework == framework.id);
    let own: Vec<&ExecutorView> = own.collect();
    let (of_executors, alone): (Vec<_>, Vec<_>) = tasks.partition(|task| {
        let key = task.record.executor_key();
        own.iter().any(|executor| Some(&executor.record.key) == key.as_ref())
    });
    let (live, ended): (Vec<_>, Vec<_>) = alone.into_iter().partition(|task| task.phase.is_live());
    let each = |tasks: Vec<&TaskView>| -> Vec<Value> {
        tasks.into_iter().map(|task| executor_json(api, agent, task)).collect()
    };
    let mut executors = each(live);
    executors.extend(own.into_iter().map(|executor| {
        let key = Some(executor.record.key.clone());
        let tasks = of_executors.iter().filter(|task| task.record.executor_key() == key).copied();
        let over = past.and_then(|past| past.tasks.get(&executor.record.key)).into_iter().flatten();
        own_executor_json(api, agent, &executor.record, &tasks.chain(over).collect::<Vec<_>>())
    }));
    let mut completed = each(ended);
    completed.extend(past.into_iter().flat_map(|past| &past.executors).map(|executor| match executor {
        PastExecutor::OfCommand(task) => executor_json(api, agent, task),
        PastExecutor::Own(record, tasks) => {
            own_executor_json(api, agent, record, &tasks.iter().collect::<Vec<_>>())
        }
    }));
    json!({
        "id": framework.id.as_str(),
        "name": info.name,
        "user": info.user,
        "failover_timeout": info.failover_timeout.unwrap_or_default(),
        "checkpoint": info.checkpoint.unwrap_or_default(),
        "hostname": info.hostname.unwrap_or_default(),
        "roles": info.roles,
        "executors": executors,
        "completed_executors": completed,
    })
}

/// A command task with the executor that runs it, which has its name.
fn executor_json(api: &Api, agent: Option<&AgentId>, task: &TaskView) -> Value {
    let info = v1::TaskInfo::decode(task.record.info.as_bytes()).unwrap_or_default();
    let described = TaskDescription::try_from(&info).ok();
    let resources = described.map(|task| resources_json(&task.resources)).unwrap_or_default();
    let directory = agent.map(|agent| api.means.layout.sandbox(agent, &task.record).display().to_string());
    let executor = executor_of(&task.record);
    let (live, task_json) = (task.phase.is_live(), task_json(api, task, &info, agent, &resources));
    let only = |is_so: bool| is_so.then(|| task_json.clone()).into_iter().collect::<Vec<_>>();
    json!({
        "id": executor.as_str(),
        "name": executor_name(&info),
        "source": executor.as_str(),
        "container": task.record.container.as_str(),
        "directory": directory,
        "resources": resources,
        "tasks": only(live && !task.is_queued),
        "queued_tasks": only(task.is_queued),
        "completed_tasks": only(!live),
    })
}

/// An executor of the framework's own, or a pod's, with its tasks.
fn own_executor_json(
    api: &Api,
    agent: Option<&AgentId>,
    record: &ExecutorRecord,
    tasks: &[&TaskView],
) -> Value {
    let info = v1::ExecutorInfo::decode(record.info.as_bytes()).unwrap_or_default();
    let described = ExecutorDescription::try_from(&info).ok();
    let directory = agent.map(|agent| api.means.layout.executor_sandbox(agent, record).display().to_string());
    let each = |is_wanted: &dyn Fn(&TaskView) -> bool| -> Vec<Value> {
        let tasks = tasks.iter().filter(|task| is_wanted(task));
        tasks
            .map(|task| {
                let info = v1::TaskInfo::decode(task.record.info.as_bytes()).unwrap_or_default();
                let described = TaskDescription::try_from(&info).ok();
                let resources = described.map(|task| resources_json(&task.resources)).unwrap_or_default();
                task_json(api, task, &info, agent, &resources)
            })
            .collect()
    };
    json!({
        "id": record.key.executor.as_str(),
        "name": info.name.unwrap_or_default(),
        "source": info.source.unwrap_or_default(),
        "type": if record.is_pod() { "DEFAULT" } else { "CUSTOM" },
        "container": record.container.as_str(),
        "directory": directory,
        "resources": described.map(|executor| resources_json(&executor.resources)).unwrap_or_default(),
        "tasks": each(&|task| task.phase.is_live() && !task.is_queued),
        "queued_tasks": each(&|task| task.is_queued),
        "completed_tasks": each(&|task| !task.phase.is_live()),
    })
}

fn task_json(
    api: &Api,
    task: &TaskView,
    info: &v1::TaskInfo,
    agent: Option<&AgentId>,
    resources: &Value,
) -> Value {
    let state = task.newest.as_ref().map_or(TaskState::Staging, |update| update.state);
    let statuses: Vec<Value> = task
        .newest
        .iter()
        .map(|update| {
            json!({
                "state": update.state.name(),
                "timestamp": update.at.as_secs_f64(),
                "healthy": update.healthy,
                "container_status": {
                    "container_id": { "value": task.record.container.as_str() },
                    "executor_pid": update.pid,
                    "network_infos": networks::shown(&api.means.supplies.networks, &task.record),
                },
            })
        })
        .collect();
    json!({
        "id": task.record.key.task.as_str(),
        "name": info.name,
        "framework_id": task.record.key.framework.as_str(),
        "executor_id": task.record.executor().map(ToString::to_string).unwrap_or_default(),
        "slave_id": agent.map(ToString::to_string),
        "state": state.name(),
        "role": role_of(info),
        "labels": labels_json(info.labels.as_ref()),
        "resources": resources,
        "statuses": statuses,
    })
}

/// The role for which its resources are.
fn role_of(info: &v1::TaskInfo) -> Option<String> {
    info.resources.iter().find_map(|resource| resource.allocation_info.as_ref()?.role.clone())
}

fn labels_json(labels: Option<&v1::Labels>) -> Vec<Value> {
    let labels = labels.into_iter().flat_map(|labels| &labels.labels);
    labels.map(|label| json!({ "key": label.key, "value": label.value })).collect()
}

/// As Mesos names the executor of a command task.
pub(crate) fn executor_name(info: &v1::TaskInfo) -> String {
    let task = info.task_id.as_ref().and_then(|id| id.value.as_deref()).unwrap_or_default();
    let command = info.command.as_ref().and_then(|command| command.value.as_deref()).unwrap_or_default();
    let short: String = if command.chars().count() > 15 {
        command.chars().take(12).chain("...".chars()).collect()
    } else {
        command.to_owned()
    };
    format!("Command Executor (Task: {task}) (Command: sh -c '{short}')")
}

/// Amounts by name, all roles together.
pub(super) fn resources_json(resources: &Resources) -> Value {
    let mut amounts: BTreeMap<&str, Milli> = SCALARS.iter().map(|name| (*name, Milli::ZERO)).collect();
    let mut others = serde_json::Map::new();
    for resource in resources.iter() {
        match &resource.value {
            ResourceValue::Scalar(amount) => {
                let sum = amounts.entry(&resource.name).or_insert(Milli::ZERO);
                *sum = sum.checked_add(*amount).unwrap_or(*sum);
            }
            ResourceValue::Ranges(ranges) => {
                let text: Vec<String> =
                    ranges.iter().map(|range| format!("{}-{}", range.begin, range.end)).collect();
                others.insert(resource.name.to_string(), Value::String(format!("[{}]", text.join(", "))));
            }
            ResourceValue::Set(set) => {
                let text: Vec<&str> = set.iter().map(|item| &**item).collect();
                others.insert(resource.name.to_string(), Value::String(format!("{{{}}}", text.join(", "))));
            }
        }
    }
    others.extend(amounts.into_iter().map(|(name, amount)| (name.to_owned(), json!(amount.to_f64()))));
    Value::Object(others)
}

fn ranges_text(ranges: &v1::value::Ranges) -> String {
    let each = ranges.range.iter().map(|range| format!("{}-{}", range.begin(), range.end()));
    format!("[{}]", each.collect::<Vec<_>>().join(", "))
}

fn attributes_json(attributes: &[v1::Attribute]) -> Value {
    let shown = attributes.iter().filter_map(|attribute| {
        let value = match (&attribute.text, &attribute.scalar) {
            (Some(text), _) => json!(text.value),
            (None, Some(scalar)) => json!(scalar.value),
            (None, None) => match &attribute.ranges {
                Some(ranges) => json!(ranges_text(ranges)),
                None => json!(attribute.set.as_ref().map(|set| format!("{{{}}}", set.item.join(", ")))),
            },
        };
        Some((attribute.name.clone()?, value))
    });
    Value::Object(shown.collect())
}

#[cfg(test)]
mod tests {
    use chapada_model::Attribute;

    use super::*;

    #[test]
    fn attributes_of_every_kind_show_as_in_mesos() {
        let parsed = Attribute::parse_list("rack:a;level:1.5;ports:[1-5,7-9];set:{x}").unwrap();
        let attributes: Vec<v1::Attribute> = parsed.iter().map(Into::into).collect();
        let shown = attributes_json(&attributes);
        assert_eq!(shown, json!({ "rack": "a", "level": 1.5, "ports": "[1-5, 7-9]", "set": "{x}" }));
    }
}
