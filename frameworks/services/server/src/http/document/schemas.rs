//! The forms of bodies. What stands in them beyond this is in the README of the framework: clients pass over what they do not know.

use serde_json::{Value, json};

fn named(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn list(name: &str) -> Value {
    json!({"type": "array", "items": named(name)})
}

/// An object that has at least these.
fn object(properties: Value) -> Value {
    let required: Vec<&String> = properties.as_object().map(|all| all.keys().collect()).unwrap_or_default();
    json!({"type": "object", "required": required, "properties": properties})
}

fn strings() -> Value {
    json!({"type": "array", "items": {"type": "string"}})
}

fn merged(parts: [Value; 3]) -> Value {
    let mut all = serde_json::Map::new();
    for part in parts {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    Value::Object(all)
}

/// Every schema by its name.
pub(super) fn all() -> Value {
    merged([answers(), definitions(), process()])
}

fn answers() -> Value {
    let text = json!({"type": "string"});
    let number = json!({"type": "integer", "minimum": 0});
    json!({
        "Anything": {"type": "object"},
        "Anythings": {"type": "array", "items": {"type": "object"}},
        "Timestamp": {"type": "string", "pattern": "^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}\\.\\d{3}Z$"},
        "Timestamps": list("Timestamp"),
        "Message": object(json!({"message": text})),
        "Error": {
            "type": "object",
            "required": ["message"],
            "properties": {
                "message": text,
                "details": {"oneOf": [text, {"type": "array", "items": object(json!({"path": text, "errors": strings()}))}]},
                "deployments": {"type": "array", "items": object(json!({"id": text}))},
            },
        },
        "Deployed": object(json!({"version": named("Timestamp"), "deploymentId": text})),
        "DeployedOrPlan": {"anyOf": [named("Deployed"), object(json!({"steps": {"type": "array"}}))]},
        "App": object(json!({
            "id": text, "instances": number, "cpus": {"type": "number"}, "mem": {"type": "number"},
            "labels": {"type": "object"}, "version": named("Timestamp"),
        })),
        "Apps": object(json!({"apps": list("App")})),
        "OneApp": object(json!({"app": named("App")})),
        "AppsBelow": object(json!({"*": list("App")})),
        "Versions": object(json!({"versions": list("Timestamp")})),
        "Task": object(json!({
            "id": text, "appId": text, "host": text, "state": text, "slaveId": text, "version": named("Timestamp"),
            "stagedAt": named("Timestamp"), "servicePorts": {"type": "array", "items": number}, "ipAddresses": {"type": "array"},
        })),
        "Tasks": object(json!({"tasks": list("Task")})),
        "Killed": {"anyOf": [named("Tasks"), named("Deployed")]},
        "KilledOne": {"anyOf": [object(json!({"task": named("Task")})), named("Deployed")]},
        "Group": object(json!({"id": text, "version": named("Timestamp"), "dependencies": strings()})),
        "Pod": object(json!({"id": text})),
        "Pods": list("Pod"),
        "Deployment": object(json!({
            "id": text, "version": named("Timestamp"), "affectedApps": strings(), "affectedPods": strings(),
            "steps": {"type": "array", "items": object(json!({"actions": {"type": "array"}}))},
            "currentActions": {"type": "array"}, "currentStep": number, "totalSteps": number,
        })),
        "Deployments": list("Deployment"),
        "Waiting": object(json!({
            "count": number, "since": named("Timestamp"), "processedOffersSummary": {"type": "object"},
            "delay": object(json!({"timeLeftSeconds": number, "overdue": {"type": "boolean"}})),
        })),
        "Queue": object(json!({"queue": list("Waiting")})),
        "Explanation": object(json!({
            "id": text, "waiting": number, "sentence": text, "reasons": {"type": "array"}, "funnel": {"type": "array"},
            "offers": {"type": "object"},
        })),
        "Plan": object(json!({
            "changes": {"type": "array"}, "steps": {"type": "array"}, "cancels": {"type": "array"},
            "placements": {"type": "array"},
        })),
    })
}

/// What clients send. Most fields of a definition are left to the validator, which names each that is wrong.
fn definitions() -> Value {
    let path = json!({"type": "string", "pattern": "^/?[a-z0-9]{1,12}(/[a-z0-9]{1,12}){0,2}$"});
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 3});
    let fields = json!({
        "id": path,
        "cmd": {"type": "string", "minLength": 1},
        "instances": {"type": "integer", "minimum": 0, "maximum": 3},
        "cpus": {"type": "number", "minimum": 0.001, "maximum": 100},
        "mem": {"type": "number", "minimum": 0, "maximum": 100_000},
        "disk": {"type": "number", "minimum": 0},
        "env": texts,
        "labels": texts,
        "constraints": {"type": "array", "items": strings(), "maxItems": 2},
        "backoffSeconds": {"type": "number", "minimum": 0},
        "dependencies": {"type": "array", "items": path, "maxItems": 2},
    });
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
            "properties": {"id": path, "containers": {"type": "array", "items": container, "minItems": 1, "maxItems": 2}},
            "example": {
                "id": "/example/pod",
                "containers": [{"name": "one", "resources": {"cpus": 0.1, "mem": 32}, "exec": {"command": {"shell": "sleep 100"}}}],
            },
        },
        "GroupDefinition": {
            "type": "object",
            "properties": {
                "id": path,
                "apps": {"type": "array", "items": named("AppDefinition"), "maxItems": 2},
                "groups": {"type": "array", "items": {"type": "object", "properties": {"id": path}}, "maxItems": 2},
                "dependencies": {"type": "array", "items": path, "maxItems": 2},
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

fn process() -> Value {
    let text = json!({"type": "string"});
    let flag = json!({"type": "boolean"});
    let any = json!({"type": "object"});
    json!({
        "Info": object(json!({
            "name": text, "version": text, "buildref": text, "elected": flag, "leader": text,
            "marathon_config": any, "zookeeper_config": any, "http_config": any,
        })),
        "Leader": object(json!({"leader": text})),
        "Plugins": object(json!({"plugins": {"type": "array"}})),
        "Status": object(json!({"leading": flag, "connected": flag, "uptimeSeconds": {"type": "integer"}})),
        "Metrics": object(json!({
            "version": text, "gauges": any, "counters": any, "histograms": any, "meters": any, "timers": any,
        })),
        "Levels": {"type": "object", "additionalProperties": text},
    })
}
