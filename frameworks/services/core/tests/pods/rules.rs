//! Every rule names the field that breaks it.

use chapada_services_core::{Defaults, FieldError, InvalidDefinition, read_pod};
use serde_json::{Value, json};

/// A pod of two containers, with `change` at a place of it.
fn with(pointer: &str, change: Value) -> Value {
    let mut pod = json!({
        "id": "/p",
        "secrets": {"s": {"source": "kept"}},
        "volumes": [{"name": "v"}],
        "containers": [
            {
                "name": "a", "exec": {"command": {"shell": "true"}}, "resources": {"cpus": 1, "mem": 32},
                "endpoints": [{"name": "web", "hostPort": 80}],
                "volumeMounts": [{"name": "v", "mountPath": "v"}],
            },
            {
                "name": "b", "exec": {"command": {"shell": "true"}}, "resources": {"cpus": 1, "mem": 32},
                "endpoints": [{"name": "other"}],
            },
        ],
    });
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    pod.pointer_mut(parent)
        .expect("is there")
        .as_object_mut()
        .expect("an object")
        .insert(name.to_owned(), change);
    pod
}

fn paths(errors: Vec<FieldError>) -> Vec<String> {
    errors.into_iter().map(|error| error.path).collect()
}

fn broken(pod: &Value) -> Vec<String> {
    match read_pod(pod.as_object().expect("an object"), Defaults { role: "*", network: None }) {
        Err(InvalidDefinition::BreaksRule(errors)) => paths(errors),
        other => panic!("{pod} gave {other:?}"),
    }
}

fn check(pointer: &str, change: Value, path: &str) {
    assert_eq!(broken(&with(pointer, change.clone())), [path], "{pointer} {change}");
}

#[test]
fn of_pods() {
    for (pointer, change, path) in [
        ("/id", json!("/P"), "/id"),
        ("/executorResources", json!({"mem": 16}), "/executorResources/mem"),
        ("/executorResources", json!({"cpus": 0}), "/executorResources/cpus"),
        ("/executorResources", json!({"disk": 0}), "/executorResources/disk"),
        ("/linuxInfo", json!({"seccomp": {"unconfined": true}}), "/linuxInfo"),
        ("/environment", json!({"A": {"secret": "none"}}), "/environment(A)"),
        ("/networks", json!([{"mode": "host"}, {"mode": "host"}]), "/networks"),
        ("/volumes", json!([{"name": "v"}, {"name": "w"}]), "/volumes(1)"),
        ("/volumes", json!([{"name": "v", "host": "../x"}]), "/volumes(0)/host"),
        ("/volumes", json!([{"name": "v", "secret": "none"}]), "/volumes(0)/secret"),
        ("/volumes", json!([{"name": "v", "persistent": {"size": 1}}]), "/role"),
        ("/volumes", json!([{"name": "v", "secret": "s", "host": "/x"}]), "/volumes(0)"),
        ("/user", json!(""), "/user"),
    ] {
        check(pointer, change, path);
    }
    assert_eq!(broken(&with("/containers", json!([]))), ["/containers", "/volumes(0)"]);
}

#[test]
fn of_scheduling() {
    for (change, path) in [
        (json!({"backoff": {"backoffFactor": 0.5}}), "/scheduling/backoff/backoffFactor"),
        (json!({"backoff": {"backoff": -1}}), "/scheduling/backoff/backoff"),
        (json!({"backoff": {"maxLaunchDelay": -1}}), "/scheduling/backoff/maxLaunchDelay"),
        (json!({"killSelection": "ANY"}), "/scheduling/killSelection"),
        (json!({"unreachableStrategy": "never"}), "/scheduling/unreachableStrategy"),
        (
            json!({"upgrade": {"minimumHealthCapacity": 2, "maximumOverCapacity": 0}}),
            "/scheduling/upgrade/minimumHealthCapacity",
        ),
        (
            json!({"placement": {"constraints": [{"fieldName": "hostname", "operator": "NEAR"}]}}),
            "/scheduling/placement/constraints(0)",
        ),
        (
            json!({"placement": {"acceptedResourceRoles": ["other"]}}),
            "/scheduling/placement/acceptedResourceRoles",
        ),
    ] {
        check("/scheduling", change, path);
    }
    check("/scaling", json!({"instances": 100_001}), "/scaling/instances");
}

#[test]
fn of_containers() {
    let health = |asks: Value, interval: u32| {
        let mut check = asks.as_object().unwrap().clone();
        check.insert("intervalSeconds".to_owned(), json!(interval));
        Value::Object(check)
    };
    for (field, change, path) in [
        ("name", json!("b"), "/containers(1)/name"),
        ("name", json!("A"), "/containers(0)/name"),
        ("name", json!("-a"), "/containers(0)/name"),
        ("name", json!("a".repeat(64)), "/containers(0)/name"),
        ("exec", Value::Null, "/containers(0)"),
        (
            "exec",
            json!({"command": {"argv": ["a"]}, "overrideEntrypoint": true}),
            "/containers(0)/exec/overrideEntrypoint",
        ),
        ("resources", json!({"cpus": 0, "mem": 1}), "/containers(0)/resources/cpus"),
        ("resources", json!({"cpus": 1, "mem": 0}), "/containers(0)/resources/mem"),
        ("resourceLimits", json!({"cpus": 0.5}), "/containers(0)/resourceLimits/cpus"),
        ("image", json!({"kind": "APPC", "id": "x"}), "/containers(0)/image/kind"),
        ("image", json!({"kind": "DOCKER", "id": "a b"}), "/containers(0)/image/id"),
        (
            "image",
            json!({"kind": "DOCKER", "id": "a", "pullConfig": {"secret": "s"}}),
            "/containers(0)/image/pullConfig",
        ),
        ("environment", json!({"": "x"}), "/containers(0)/environment()"),
        ("user", json!("a\0"), "/containers(0)/user"),
        ("artifacts", json!([{"uri": ""}]), "/containers(0)/artifacts(0)/uri"),
        (
            "lifecycle",
            json!({"killGracePeriodSeconds": -1}),
            "/containers(0)/lifecycle/killGracePeriodSeconds",
        ),
        ("healthCheck", json!({}), "/containers(0)/healthCheck"),
        (
            "healthCheck",
            health(json!({"tcp": {"endpoint": "other"}}), 60),
            "/containers(0)/healthCheck/tcp/endpoint",
        ),
        (
            "healthCheck",
            health(json!({"http": {"endpoint": "web", "path": "a b"}}), 60),
            "/containers(0)/healthCheck/http/path",
        ),
        (
            "healthCheck",
            health(json!({"tcp": {"endpoint": "web"}}), 20),
            "/containers(0)/healthCheck/timeoutSeconds",
        ),
        ("check", json!({"http": {"endpoint": "none"}}), "/containers(0)/check/http/endpoint"),
        ("linuxInfo", json!({"ipcInfo": {"mode": "SHARE_PARENT"}}), "/containers(0)/linuxInfo/ipcInfo/mode"),
    ] {
        check(&format!("/containers/0/{field}"), change, path);
    }
    let nothing = broken(&with("/containers/0/exec", json!({"command": {}})));
    assert_eq!(nothing, ["/containers(0)/exec/command", "/containers(0)"]);
    let twice = json!([{"name": "v", "mountPath": "v"}, {"name": "v", "mountPath": "v/"}]);
    check("/containers/0/volumeMounts", twice, "/containers(0)/volumeMounts(1)/mountPath");
    let unknown = json!([{"name": "v", "mountPath": "v"}, {"name": "w", "mountPath": "w"}]);
    check("/containers/0/volumeMounts", unknown, "/containers(0)/volumeMounts(1)/name");
    let outside = json!([{"name": "v", "mountPath": "../v"}]);
    check("/containers/0/volumeMounts", outside, "/containers(0)/volumeMounts(0)/mountPath");
    let mut shared = with("/legacySharedCgroups", json!(true));
    shared["containers"][1]["resourceLimits"] = json!({"cpus": 2});
    assert_eq!(broken(&shared), ["/containers(1)/resourceLimits"]);
}

#[test]
fn of_endpoints() {
    for (change, path) in [
        (json!([{"name": "Web"}]), "/containers(0)/endpoints(0)/name"),
        (json!([{"name": "other"}]), "/containers(1)/endpoints(0)/name"),
        (
            json!([{"name": "a", "hostPort": 80}, {"name": "b", "hostPort": 80}]),
            "/containers(0)/endpoints(1)/hostPort",
        ),
        (json!([{"name": "a", "containerPort": 80}]), "/containers(0)/endpoints(0)/containerPort"),
        (json!([{"name": "a", "protocol": ["tcp", "tcp"]}]), "/containers(0)/endpoints(0)/protocol"),
        (json!([{"name": "a", "protocol": ["sctp"]}]), "/containers(0)/endpoints(0)/protocol"),
        (json!([{"name": "a", "networkNames": ["x"]}]), "/containers(0)/endpoints(0)/networkNames"),
    ] {
        let first = broken(&with("/containers/0/endpoints", change.clone())).swap_remove(0);
        assert_eq!(first, path, "{change}");
    }
    let mut alone = with("/networks", json!([{"mode": "container", "name": "none"}]));
    alone["containers"][0]["endpoints"] = json!([{"name": "a", "containerPort": 1, "hostPort": 0}]);
    alone["containers"][1]["endpoints"] = json!([{"name": "b", "containerPort": 2}]);
    assert_eq!(broken(&alone), ["/containers(0)/endpoints(0)/hostPort"]);
    let mut pod =
        with("/networks", json!([{"mode": "container", "name": "x"}, {"mode": "container", "name": "y"}]));
    pod["containers"][1]["endpoints"] = json!([]);
    pod["containers"][0]["endpoints"] = json!([
        {"name": "a", "hostPort": 0, "containerPort": 1}, {"name": "b", "containerPort": 1}, {"name": "c"},
    ]);
    assert_eq!(
        broken(&pod),
        [
            "/containers(0)/endpoints(0)/networkNames",
            "/containers(0)/endpoints(1)/containerPort",
            "/containers(0)/endpoints(2)/containerPort",
        ]
    );
}

#[test]
fn every_wrong_type_is_named() {
    let pod = json!({
        "containers": [{"name": 1, "endpoints": [{"hostPort": 70_000}], "image": {"kind": "DOCKER"}}, 7],
        "scaling": {"kind": "horizontal"}, "environment": [], "volumes": [{}],
        "scheduling": {"placement": {"constraints": [["hostname", "UNIQUE"]]}},
    });
    match read_pod(pod.as_object().unwrap(), Defaults { role: "*", network: None }) {
        Err(InvalidDefinition::WrongType(errors)) => {
            let mut found = paths(errors);
            found.sort();
            assert_eq!(
                found,
                [
                    "/containers(0)/endpoints(0)/hostPort",
                    "/containers(0)/endpoints(0)/name",
                    "/containers(0)/image/id",
                    "/containers(0)/name",
                    "/containers(0)/resources",
                    "/containers(1)",
                    "/environment",
                    "/id",
                    "/scaling/kind",
                    "/scheduling/placement/constraints(0)",
                    "/volumes(0)/name",
                ]
            );
        }
        other => panic!("{other:?}"),
    }
}
