//! A pod as the API and the store have it.

use serde_json::{Map, Value, json};

use super::definition::Pod;
use crate::definition::AppDefinition;

/// The definition in Marathon's JSON; `needs` is what scheduling needs of `pod`.
pub fn definition(needs: &AppDefinition, pod: &Pod) -> Map<String, Value> {
    let own = |value: Value| match value {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    let app = own(serde_json::to_value(needs).unwrap_or_default());
    let mut json = own(serde_json::to_value(pod).unwrap_or_default());
    for name in ["id", "labels", "user", "role"] {
        if let Some(value) = app.get(name) {
            json.insert(name.to_owned(), value.clone());
        }
    }
    json.insert("scaling".to_owned(), json!({"kind": "fixed", "instances": needs.instances}));
    let constraints = app.get("constraints").and_then(Value::as_array).map(Vec::as_slice);
    let constraints: Vec<Value> = constraints.unwrap_or_default().iter().map(constraint).collect();
    let scheduling = json!({
        "backoff": {
            "backoff": app["backoffSeconds"],
            "backoffFactor": app["backoffFactor"],
            "maxLaunchDelay": app["maxLaunchDelaySeconds"],
        },
        "upgrade": app["upgradeStrategy"],
        "placement": {
            "constraints": constraints,
            "acceptedResourceRoles": app.get("acceptedResourceRoles").cloned().unwrap_or_else(|| json!([])),
        },
        "killSelection": app["killSelection"],
        "unreachableStrategy": app["unreachableStrategy"],
    });
    json.insert("scheduling".to_owned(), scheduling);
    if let Some(Value::Object(executor)) = json.get_mut("executorResources") {
        executor.remove("gpus");
    }
    json
}

/// The words of an app's constraint, by name.
fn constraint(words: &Value) -> Value {
    let mut json = json!({"fieldName": words[0], "operator": words[1]});
    if !words[2].is_null() {
        json["value"] = words[2].clone();
    }
    json
}
