//! The forms of bodies. What stands in them beyond this is in the README of the framework: clients pass over what they do not know.

mod answers;
mod definitions;

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

/// An object that has these, may have those, and has no others.
fn closed(required: Value, optional: Value) -> Value {
    let mut schema = object(required);
    if let (Some(all), Value::Object(more)) = (schema["properties"].as_object_mut(), optional) {
        all.extend(more);
    }
    schema["additionalProperties"] = json!(false);
    schema
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
    merged([answers::all(), definitions::all(), process()])
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
