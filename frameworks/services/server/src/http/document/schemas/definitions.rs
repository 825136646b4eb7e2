//! What clients send. Most rules of a definition are left to the validator, which names each field that breaks one.

use serde_json::{Value, json};

use super::{named, strings};

fn path() -> Value {
    json!({"type": "string", "pattern": "^/?[a-z0-9]{1,12}(/[a-z0-9]{1,12}){0,2}$"})
}

/// The fields of an app by which it is told what to run, where and how many.
fn fields() -> Value {
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 3});
    let seconds = json!({"type": "number", "minimum": 0, "maximum": 3_600});
    let port = json!({"type": "integer", "minimum": 0, "maximum": 65_535});
    let protocol = json!({"enum": ["tcp", "udp", "udp,tcp"]});
    let name = json!({"type": "string", "pattern": "^[a-z0-9-]{1,12}$"});
    let check = json!({"type": "object", "properties": {
        "protocol": {"enum": ["HTTP", "HTTPS", "TCP", "COMMAND", "MESOS_HTTP", "MESOS_HTTPS", "MESOS_TCP"]},
        "path": {"type": "string"}, "port": port, "portIndex": {"type": "integer", "minimum": 0, "maximum": 3},
        "gracePeriodSeconds": seconds, "intervalSeconds": seconds, "timeoutSeconds": seconds,
        "maxConsecutiveFailures": {"type": "integer", "minimum": 0, "maximum": 10},
    }});
    let mapping = json!({"type": "object", "properties": {
        "containerPort": port, "hostPort": port, "servicePort": port, "protocol": protocol, "name": name, "labels": texts,
    }});
    json!({
        "id": path(),
        "cmd": {"type": "string", "minLength": 1},
        "instances": {"type": "integer", "minimum": 0, "maximum": 3},
        "cpus": {"type": "number", "minimum": 0.001, "maximum": 100},
        "mem": {"type": "number", "minimum": 0, "maximum": 100_000},
        "disk": {"type": "number", "minimum": 0},
        "env": texts,
        "labels": texts,
        "constraints": {"type": "array", "items": strings(), "maxItems": 2},
        "backoffSeconds": {"type": "number", "minimum": 0},
        "dependencies": {"type": "array", "items": path(), "maxItems": 2},
        "container": {"type": "object", "properties": {
            "type": {"enum": ["MESOS", "DOCKER"]},
            "docker": {"type": "object", "properties": {"image": {"type": "string"}, "forcePullImage": {"type": "boolean"}}},
            "portMappings": {"type": "array", "items": mapping, "maxItems": 2},
            "volumes": {"type": "array", "maxItems": 2, "items": {"type": "object", "properties": {
                "containerPath": {"type": "string"}, "hostPath": {"type": "string"}, "mode": {"enum": ["RO", "RW"]},
            }}},
        }},
        "networks": {"type": "array", "maxItems": 2, "items": {"type": "object", "properties": {
            "mode": {"enum": ["host", "container", "container/bridge"]}, "name": name,
        }}},
        "portDefinitions": {"type": "array", "maxItems": 3, "items": {"type": "object", "properties": {
            "port": port, "protocol": protocol, "name": name, "labels": texts,
        }}},
        "requirePorts": {"type": "boolean"},
        "healthChecks": {"type": "array", "items": check, "maxItems": 2},
        "readinessChecks": {"type": "array", "maxItems": 1, "items": {"type": "object", "properties": {
            "portName": name, "path": {"type": "string"}, "intervalSeconds": seconds, "timeoutSeconds": seconds,
        }}},
        "fetch": {"type": "array", "maxItems": 2, "items": {"type": "object", "properties": {
            "uri": {"type": "string"}, "extract": {"type": "boolean"}, "executable": {"type": "boolean"}, "cache": {"type": "boolean"},
        }}},
        "killSelection": {"enum": ["YOUNGEST_FIRST", "OLDEST_FIRST"]},
        "upgradeStrategy": {"type": "object", "properties": {
            "minimumHealthCapacity": {"type": "number", "minimum": 0, "maximum": 1},
            "maximumOverCapacity": {"type": "number", "minimum": 0, "maximum": 1},
        }},
        "unreachableStrategy": {"anyOf": [{"const": "disabled"}, {"type": "object", "properties": {
            "inactiveAfterSeconds": seconds, "expungeAfterSeconds": seconds,
        }}]},
        "taskKillGracePeriodSeconds": seconds,
        "user": {"type": "string", "minLength": 1},
    })
}

pub(super) fn all() -> Value {
    let fields = fields();
    let definition = json!({
        "type": "object", "required": ["id"], "properties": fields,
        "example": {"id": "/example/web", "cmd": "sleep 100", "instances": 1, "cpus": 0.1, "mem": 32},
    });
    let mut change = fields;
    if let Some(change) = change.as_object_mut() {
        change.remove("id");
        change.insert("version".to_owned(), named("Timestamp"));
    }
    let container = json!({
        "type": "object", "required": ["name", "resources"],
        "properties": {
            "name": {"type": "string", "pattern": "^[a-z0-9]{1,12}$"},
            "resources": {"type": "object", "required": ["cpus", "mem"], "properties": {
                "cpus": {"type": "number", "minimum": 0.001}, "mem": {"type": "number", "minimum": 1},
            }},
            "exec": {"type": "object", "properties": {"command": {"type": "object", "properties": {"shell": {"type": "string"}}}}},
        },
    });
    json!({
        "AppDefinition": definition,
        "AppDefinitions": {"type": "array", "items": named("AppDefinition"), "maxItems": 3},
        "AppChange": {"type": "object", "properties": change, "example": {"instances": 2}},
        "PodDefinition": {
            "type": "object", "required": ["id", "containers"],
            "properties": {"id": path(), "containers": {"type": "array", "items": container, "minItems": 1, "maxItems": 2}},
            "example": {
                "id": "/example/pod",
                "containers": [{"name": "one", "resources": {"cpus": 0.1, "mem": 32}, "exec": {"command": {"shell": "sleep 100"}}}],
            },
        },
        "GroupDefinition": {
            "type": "object",
            "properties": {
                "id": path(),
                "apps": {"type": "array", "items": named("AppDefinition"), "maxItems": 2},
                "groups": {"type": "array", "items": {"type": "object", "properties": {"id": path()}}, "maxItems": 2},
                "dependencies": {"type": "array", "items": path(), "maxItems": 2},
                "scaleBy": {"type": "number", "minimum": 0},
                "version": named("Timestamp"),
            },
            "example": {"id": "/example", "apps": [{"id": "web", "cmd": "sleep 100", "cpus": 0.1, "mem": 32}]},
        },
        "EnforceRole": {"type": "object", "properties": {"enforceRole": {"type": "boolean"}}},
        "TaskIds": {"type": "object", "required": ["ids"], "properties": {"ids": strings()}},
        "InstanceIds": strings(),
        "LevelChange": {
            "type": "object", "required": ["logger", "level"],
            "properties": {
                "logger": {"type": "string", "enum": ["ROOT"]},
                "level": {"type": "string", "enum": ["trace", "debug", "info", "warn", "error"]},
                "durationSeconds": {"type": "integer", "minimum": 1, "maximum": 604_800},
            },
        },
    })
}
