//! Deployments.

use chapada_services_core::{Action, App, AppId, Deployment};
use serde_json::{Value, json};

use super::groups;

/// A deployment as the API lists it. Steps are counted from 1.
pub(crate) fn deployment(deployment: &Deployment) -> Value {
    let affected: Vec<&AppId> = deployment.apps().collect();
    let now: Vec<Value> = deployment
        .now()
        .iter()
        .map(|action| json!({"action": action.action, "app": action.app, "readinessCheckResults": []}))
        .collect();
    json!({
        "id": deployment.id,
        "version": deployment.version,
        "affectedApps": affected,
        "affectedPods": [],
        "steps": steps(deployment),
        "currentActions": now,
        "currentStep": deployment.current + 1,
        "totalSteps": deployment.steps.len(),
    })
}

/// The steps of a plan.
pub(crate) fn steps(deployment: &Deployment) -> Vec<Value> {
    deployment.steps.iter().map(|actions| step(actions)).collect()
}

/// One step.
pub(crate) fn step(actions: &[Action]) -> Value {
    json!({"actions": actions})
}

/// A plan as events carry it; the heavy form has the definitions it touches before and after.
pub(crate) fn plan(deployment: &Deployment, light: bool) -> Value {
    let mut json = json!({"id": deployment.id, "version": deployment.version, "steps": steps(deployment)});
    if !light {
        let side = |app: Option<&App>| app.map(super::apps::definition);
        let from = deployment.changes.values().filter_map(|change| side(change.from.as_ref()));
        let to = deployment.changes.values().filter_map(|change| side(change.to.as_ref()));
        json["original"] = groups::root(from.collect(), deployment.version);
        json["target"] = groups::root(to.collect(), deployment.version);
    }
    json
}
