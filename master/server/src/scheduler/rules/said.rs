//! Tasks, groups and executors as a framework says them, in JSON.

use serde_json::{Value, json};

pub(super) fn scalar(name: &str, amount: f64) -> Value {
    json!({"name": name, "type": "SCALAR", "scalar": {"value": amount}})
}

pub(super) fn task() -> Value {
    json!({
        "name": "t",
        "task_id": {"value": "t"},
        "agent_id": {"value": "m-S0"},
        "resources": [scalar("cpus", 1.0)],
        "command": {"value": "true"},
    })
}

/// The task with this laid over it; null takes a field away.
pub(super) fn with(change: Value) -> Value {
    over(task(), change)
}

pub(super) fn over(mut base: Value, change: Value) -> Value {
    for (name, value) in change.as_object().unwrap() {
        match value {
            Value::Null => drop(base.as_object_mut().unwrap().remove(name)),
            value => base[name] = value.clone(),
        }
    }
    base
}

pub(super) fn launch(task: Value) -> Value {
    json!({"type": "LAUNCH", "launch": {"task_infos": [task]}})
}

pub(super) fn executor(change: Value) -> Value {
    let base = json!({
        "executor_id": {"value": "e"},
        "command": {"value": "run"},
        "resources": [scalar("cpus", 0.1), scalar("mem", 64.0), scalar("disk", 1.0)],
    });
    over(base, change)
}

pub(super) fn by_executor(change: Value) -> Value {
    with(json!({"command": null, "executor": executor(change)}))
}

/// A group of two tasks, the second with a change.
pub(super) fn group(own: Value, change: Value) -> Value {
    let second = over(with(json!({"task_id": {"value": "u"}})), change);
    let default = json!({"type": "DEFAULT", "command": null});
    json!({"type": "LAUNCH_GROUP", "launch_group": {
        "executor": over(executor(default), own),
        "task_group": {"tasks": [task(), second]},
    }})
}

pub(super) fn cgroups(share: bool) -> Value {
    json!({"type": "MESOS", "linux_info": {"share_cgroups": share}})
}
