//! Each event has Marathon's fields.

use std::collections::BTreeMap;

use chapada_sdk::ExecutorMessage;
use chapada_services_core::{
    Action, ActionKind, App, AppDefinition, Change, Deployment, InstanceId, Published, Task, Timestamp,
};
use serde_json::{Value, json};

use super::{disconnected, message, render, subscribed};

const UUID: &str = "5bd2a9a4-dbb3-4b06-9c6d-b7c4e2e9b6f1";
const INSTANCE: &str = "prod_web.instance-5bd2a9a4-dbb3-4b06-9c6d-b7c4e2e9b6f1";
const TASK: &str = "prod_web.instance-5bd2a9a4-dbb3-4b06-9c6d-b7c4e2e9b6f1._app.1";
const AT: &str = "2026-01-02T03:04:05.678Z";

fn version() -> Timestamp {
    AT.parse().expect("a timestamp")
}

fn instance() -> InstanceId {
    INSTANCE.parse().expect("an instance id")
}

fn task() -> Box<Task> {
    let json = json!({
        "id": TASK, "version": AT, "agent": "agent-1", "hostname": "host-1", "attributes": {},
        "ports": [31_000], "addresses": ["10.1.2.3"], "staged_at": AT, "started_at": AT, "condition": "Running", "healthy": true,
    });
    Box::new(serde_json::from_value(json).expect("a task"))
}

fn app() -> App {
    let json = json!({"id": "/prod/web", "cmd": "x", "healthChecks": [{"protocol": "HTTP", "path": "/ok"}]});
    let definition = AppDefinition::from_json(json.as_object().expect("an object"), "*");
    App::accepted(definition.expect("a definition"), version(), None)
}

fn check() -> Value {
    serde_json::to_value(&app().definition.health_checks[0]).expect("JSON")
}

fn plan(kind: ActionKind) -> Deployment {
    let id = "/prod/web".parse().expect("an id");
    let change = match kind {
        ActionKind::StopApplication => Change { from: Some(app()), to: None },
        _ => Change { from: None, to: Some(app()) },
    };
    let steps = vec![vec![Action { action: kind, app: "/prod/web".parse().expect("an id"), pod: false }]];
    let (id_of_it, changes) = (UUID.parse().expect("an id"), BTreeMap::from([(id, change)]));
    Deployment::new(id_of_it, version(), (changes, steps), 0, Default::default())
}

fn step(kind: ActionKind) -> Published {
    let plan = plan(kind);
    Published::Step { actions: plan.steps[0].clone(), plan }
}

/// The body of the one event of a type.
fn told(event: &Published, kind: &str) -> Value {
    let mut found: Vec<Value> =
        render(event).into_iter().filter(|one| one.kind == kind).map(|one| one.heavy).collect();
    assert_eq!(found.len(), 1, "{kind}");
    found.remove(0)
}

/// Source: Marathon's names of types and fields; `instanceId` and `version` of a failed check are what newer clients read.
#[test]
fn health_is_told_with_marathons_fields() {
    let (id, version) = (instance(), version());
    let health = |healthy| Published::Health { id: instance(), version, healthy };
    let failed =
        Published::CheckFailed { id, version, check: app().definition.health_checks[0].clone().into() };
    let changed = |healthy: Value| json!({"instanceId": INSTANCE, "runSpecId": "/prod/web", "runSpecVersion": AT, "healthy": healthy});
    let status = |alive| json!({"appId": "/prod/web", "instanceId": INSTANCE, "version": AT, "alive": alive});
    let of_pod = Published::InstanceHealth { id: instance(), version, healthy: Some(true) };
    for (event, kind, body) in [
        (health(Some(true)), "instance_health_changed_event", changed(json!(true))),
        (health(Some(false)), "instance_health_changed_event", changed(json!(false))),
        (health(None), "instance_health_changed_event", changed(Value::Null)),
        (of_pod.clone(), "instance_health_changed_event", changed(json!(true))),
        (health(Some(true)), "health_status_changed_event", status(true)),
        (health(Some(false)), "health_status_changed_event", status(false)),
        (
            failed,
            "failed_health_check_event",
            json!({
                "appId": "/prod/web", "taskId": INSTANCE, "instanceId": INSTANCE, "version": AT, "healthCheck": check(),
            }),
        ),
        (
            step(ActionKind::StartApplication),
            "add_health_check_event",
            json!({"appId": "/prod/web", "version": AT, "healthCheck": check()}),
        ),
        (
            step(ActionKind::RestartApplication),
            "add_health_check_event",
            json!({"appId": "/prod/web", "version": AT, "healthCheck": check()}),
        ),
        (step(ActionKind::StopApplication), "remove_health_check_event", json!({"appId": "/prod/web"})),
        (
            Published::UnhealthyKill { id: instance(), cause: "status 500".to_owned(), task: task() },
            "unhealthy_instance_kill_event",
            json!({
                "appId": "/prod/web", "taskId": TASK, "instanceId": INSTANCE, "version": AT,
                "reason": "status 500", "host": "host-1", "slaveId": "agent-1",
            }),
        ),
    ] {
        assert_eq!(told(&event, kind), body, "{kind}");
    }
    assert_eq!(render(&of_pod).len(), 1, "a pod's health is told once");
    assert_eq!(render(&step(ActionKind::ScaleApplication)).len(), 1, "a change of numbers begins no checks");
}

#[test]
fn what_ends_and_what_is_refused_is_told_with_marathons_fields() {
    let refused = Published::GroupFailed {
        group: "/prod".parse().expect("a path"),
        version: version(),
        reason: "no".to_owned(),
    };
    let update = Published::Status {
        app: "/prod/web".parse().expect("an id"),
        task: task(),
        state: chapada_model::TaskState::Failed,
        message: "so it is".to_owned(),
    };
    for (event, kind, body) in [
        (
            Published::UnknownTerminated { id: instance(), condition: "Killed" },
            "unknown_instance_terminated_event",
            json!({"instanceId": INSTANCE, "runSpecId": "/prod/web", "condition": "Killed"}),
        ),
        (refused, "group_change_failed", json!({"groupId": "/prod", "version": AT, "reason": "no"})),
        (
            Published::Changed { group: "/prod".parse().expect("a path"), version: version() },
            "group_change_success",
            json!({"groupId": "/prod", "version": AT}),
        ),
        (
            Published::Terminated("/prod/web".parse().expect("an id")),
            "app_terminated_event",
            json!({"appId": "/prod/web"}),
        ),
        (
            Published::Instance {
                id: instance(),
                condition: "Running",
                version: task().version,
                place: Some((task().agent, task().hostname)),
            },
            "instance_changed_event",
            json!({
                "instanceId": INSTANCE, "condition": "Running", "runSpecId": "/prod/web", "agentId": "agent-1",
                "host": "host-1", "runSpecVersion": AT,
            }),
        ),
        (
            update,
            "status_update_event",
            json!({
                "slaveId": "agent-1", "taskId": TASK, "taskStatus": "TASK_FAILED", "message": "so it is",
                "appId": "/prod/web", "host": "host-1", "ports": [31_000], "version": AT,
                "ipAddresses": [{"ipAddress": "10.1.2.3", "protocol": "IPv4"}],
            }),
        ),
    ] {
        assert_eq!(told(&event, kind), body, "{kind}");
    }
}

#[test]
fn what_goes_on_with_the_master_is_told_with_marathons_fields() {
    let framework = "f-1".parse().expect("an id");
    let master = Some("http://m:5050");
    for (event, kind, body) in [
        (
            subscribed(&framework, master, true),
            "scheduler_registered_event",
            json!({"frameworkId": "f-1", "master": "http://m:5050"}),
        ),
        (
            subscribed(&framework, master, false),
            "scheduler_reregistered_event",
            json!({"master": "http://m:5050"}),
        ),
        (disconnected(), "scheduler_disconnected_event", json!({})),
        (
            message(&ExecutorMessage {
                agent: "agent-1".parse().expect("an id"),
                executor: "e".parse().expect("an id"),
                data: b"hello".to_vec(),
            }),
            "framework_message_event",
            json!({"executorId": "e", "slaveId": "agent-1", "message": "hello"}),
        ),
    ] {
        assert_eq!((event.kind, event.heavy, event.light), (kind, body, None));
    }
}
