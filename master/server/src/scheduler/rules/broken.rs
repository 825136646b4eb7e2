//! Tasks and groups that break one rule each.

use serde_json::{Value, json};

use super::said::*;

/// Rules of LAUNCH that one task breaks, with the words that it hears.
pub(super) fn broken() -> Vec<(&'static str, Value, &'static str)> {
    let resources = |list: Value| with(json!({"resources": list}));
    let named = |id: &str| with(json!({"task_id": {"value": id}}));
    let volume = |size: f64| {
        over(
            scalar("disk", size),
            json!({"role": "ops", "disk": {"persistence": {"id": "v"},
            "volume": {"container_path": "data", "mode": "RW"}}}),
        )
    };
    let revocable = |base: Value| over(base, json!({"revocable": {}}));
    let ports =
        json!({"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31000, "end": 31000}]}});
    let nanoseconds = json!({"nanoseconds": -1});
    let limit = |name: &str, most: f64| with(json!({"limits": {name: {"value": most}}}));
    vec![
        ("id: not empty", named(""), "task_id"),
        ("id: at most 255 bytes", named(&"a".repeat(256)), "task_id"),
        ("id: no slash", named("a/b"), "task_id"),
        ("id: neither '.' nor '..'", named(".."), "task_id"),
        ("id: no control character", named("a\nb"), "task_id"),
        (
            "agent_id: that of the offers",
            with(json!({"agent_id": {"value": "x"}})),
            "Task uses invalid agent x while agent m-S0 is expected",
        ),
        ("resources: not empty", resources(json!([])), "Task uses no resources"),
        (
            "resources: well formed",
            resources(json!([{"name": "cpus", "type": "SCALAR"}])),
            "resources[0].scalar",
        ),
        ("resources: not negative", resources(json!([scalar("cpus", -1.0)])), "resources[0].scalar"),
        (
            "resources: one allocation role",
            resources(json!([over(scalar("cpus", 1.0), json!({"allocation_info": {"role": "x"}}))])),
            "is allocated to another role than the offers' *",
        ),
        (
            "resources: persistence ids unique",
            resources(json!([
                volume(1.0),
                over(
                    volume(2.0),
                    json!({"provider_id":
            {"value": "p"}})
                )
            ])),
            "Persistence ID 'v' is there twice",
        ),
        (
            "resources: not revocable and not, of one name",
            resources(json!([scalar("cpus", 1.0), revocable(scalar("cpus", 1.0))])),
            "Resource cpus is used both revocable and not",
        ),
        (
            "kill_policy.grace_period: not negative",
            with(json!({"kill_policy": {"grace_period": nanoseconds}})),
            "kill_policy.grace_period",
        ),
        (
            "max_completion_time: not negative",
            with(json!({"max_completion_time": nanoseconds})),
            "max_completion_time",
        ),
        ("check: shape", with(json!({"check": {"type": "TCP"}})), "'check.tcp' must be set"),
        (
            "health_check: shape",
            with(json!({"health_check": {"type": "HTTP"}})),
            "'health_check.http' must be set",
        ),
        (
            "command: environment",
            with(json!({"command": {"value": "x", "environment": {"variables":
            [{"name": "A"}]}}})),
            "Environment variable 'A' of type 'VALUE' must have a value set",
        ),
        (
            "command: uris",
            with(json!({"command": {"value": "x", "uris": [{"value": ""}]}})),
            "'command.uris[0].value' must not be empty",
        ),
        (
            "container: volumes",
            with(json!({"container": {"type": "MESOS", "volumes":
            [{"container_path": "", "mode": "RW"}]}})),
            "'container.volumes[0].container_path' must not be empty",
        ),
        (
            "command or executor: not neither",
            with(json!({"command": null})),
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
        ),
        (
            "command or executor: not both",
            with(json!({"executor": executor(json!({}))})),
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
        ),
        (
            "executor: CUSTOM or unset with LAUNCH",
            by_executor(json!({"type": "DEFAULT"})),
            "'ExecutorInfo.type' must be CUSTOM or absent",
        ),
        (
            "executor: has a command",
            by_executor(json!({"command": null})),
            "'ExecutorInfo.command' must be set for 'CUSTOM' executor",
        ),
        (
            "executor: nothing shared",
            by_executor(json!({"resources": [over(volume(1.0), json!({"shared": {}}))]})),
            "Executor resources must not be shared",
        ),
        (
            "fit: task and executor within the offers",
            by_executor(json!({"resources": [scalar("cpus", 3.5)]})),
            "required by task and its executor is more than available",
        ),
        (
            "fit: task and executor not of the same ports",
            over(
                by_executor(json!({"resources": [ports]})),
                json!({"resources": [scalar("cpus", 1.0), ports]}),
            ),
            "Task and its executor use the same resource",
        ),
        ("limits: only cpus and mem", limit("disk", 1.0), "Resource limits are not supported for disk"),
        ("limits: of what is requested", limit("mem", 1.0), "Task has a limit for mem but requests none"),
        (
            "limits: not below the request",
            limit("cpus", 0.5),
            "Task's limit for cpus, 0.5, is less than its request, 1",
        ),
        (
            "share_cgroups: false only in groups",
            with(json!({"container": cgroups(false)})),
            "'container.linux_info.share_cgroups' can be false only for tasks of a task group",
        ),
        (
            "share_cgroups: not true on executors",
            by_executor(json!({"container": cgroups(true)})),
            "'executor.container.linux_info.share_cgroups' must not be true for an executor",
        ),
        (
            "gpus: whole",
            resources(json!([scalar("gpus", 0.5)])),
            "The 'gpus' resource must be an unsigned integer",
        ),
        (
            "revocable: not on persistent volumes",
            resources(json!([revocable(over(volume(1.0), json!({"role": null})))])),
            "is revocable and must be neither reserved nor a volume",
        ),
        (
            "revocable: not reserved",
            resources(json!([revocable(over(scalar("cpus", 1.0), json!({"role": "ops"})))])),
            "is revocable and must be neither reserved nor a volume",
        ),
    ]
}

/// Rules of LAUNCH_GROUP that a group breaks, with the words that each of its tasks hears.
pub(super) fn broken_groups() -> Vec<(&'static str, Value, &'static str)> {
    let none = || json!({});
    let docker = || json!({"container": {"type": "DOCKER", "docker": {"image": "i"}}});
    let networked = json!({
        "container": {"type": "MESOS", "network_infos": [{"name": "n"}]},
        "health_check": {"type": "TCP", "tcp": {"port": 80}},
    });
    let other = executor(json!({"type": "DEFAULT", "command": null, "executor_id": {"value": "other"}}));
    let of = |cpus: f64, mem: f64, disk: f64| json!({"resources": [scalar("cpus", cpus), scalar("mem", mem), scalar("disk", disk)]});
    let least = "group: executor has 0.01 cpus, 32 MB and a disk";
    vec![
        (
            "share_cgroups: one for all of an executor",
            group(none(), json!({"container": cgroups(false)})),
            "all tasks of one executor must say the same in 'share_cgroups'",
        ),
        (
            "group: limits need share_cgroups=false",
            group(none(), json!({"limits": {"cpus": {"value": 2.0}}})),
            "need 'share_cgroups' to be false",
        ),
        ("group: executor.type set", group(json!({"type": null}), none()), "'ExecutorInfo.type' must be set"),
        ("group: no Docker on the executor", group(docker(), none()), "not supported on the executor"),
        (
            "group: no Docker on a task",
            group(none(), docker()),
            "Docker ContainerInfo is not supported on the task",
        ),
        (
            "group: no HTTP or TCP checks with a network of its own",
            group(none(), networked),
            "HTTP and TCP health checks are not supported for a task with a network of its own",
        ),
        ("group: one executor for all", group(none(), json!({"executor": other})), "its 'executor' differs"),
        (least, group(of(0.001, 64.0, 1.0), none()), "Executor's cpus 0.001 is less than the minimum 0.01"),
        (least, group(of(0.1, 31.0, 1.0), none()), "Executor's mem 31 is less than the minimum 32"),
        (
            least,
            group(json!({"resources": [scalar("cpus", 0.1), scalar("mem", 64.0)]}), none()),
            "Executor's disk is not set",
        ),
    ]
}
