//! What a change would do.

use std::collections::BTreeMap;

use chapada_services_core::{App, Deployment, DeploymentId, Landed};
use serde_json::{Value, json};

/// A plan: what changes, in which steps, where instances land and what does not fit.
pub(crate) fn plan(deployment: &Deployment, cancels: &[DeploymentId], landed: &[Landed]) -> Value {
    let changes = deployment.changes.iter().map(|(id, change)| {
        let kind = match (&change.from, &change.to) {
            (None, _) => "create",
            (_, None) => "delete",
            (Some(from), Some(to)) if from == to => "none",
            (Some(_), Some(_)) => "update",
        };
        json!({"id": id, "change": kind, "fields": fields(change.from.as_ref(), change.to.as_ref())})
    });
    json!({
        "changes": changes.collect::<Vec<Value>>(),
        "steps": super::deployments::steps(deployment),
        "cancels": cancels,
        "placements": landed.iter().map(placement).collect::<Vec<Value>>(),
    })
}

fn placement(landed: &Landed) -> Value {
    let on = landed
        .on
        .iter()
        .map(|(agent, (host, count))| json!({"agentId": agent, "host": host, "instances": count}));
    json!({
        "id": landed.id,
        "starts": landed.starts,
        "on": on.collect::<Vec<Value>>(),
        "waiting": landed.waits.as_ref().map_or(0, |why| why.waiting),
        "explanation": landed.waits.as_ref().map(super::why::explanation),
    })
}

/// The fields that differ, each with what it was and what it shall be.
fn fields(from: Option<&App>, to: Option<&App>) -> Vec<Value> {
    let flat = |app: Option<&App>| {
        let mut found = BTreeMap::new();
        if let Some(app) = app {
            flatten(String::new(), json!(app.definition), &mut found);
        }
        found
    };
    let (from, to) = (flat(from), flat(to));
    let mut paths: Vec<&String> = from.keys().chain(to.keys()).collect();
    paths.sort();
    paths.dedup();
    let changed = paths.into_iter().filter(|path| from.get(*path) != to.get(*path));
    changed.map(|path| json!({"path": path, "from": from.get(path), "to": to.get(path)})).collect()
}

/// Objects are looked into, lists are compared as a whole.
fn flatten(path: String, value: Value, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (name, value) in object {
                flatten(format!("{path}/{name}"), value, found);
            }
        }
        Value::Object(_) => {}
        value => {
            found.insert(path, value);
        }
    }
}
