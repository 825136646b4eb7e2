//! Deployments.

use chapada_services_core::{Action, App, AppId, Deployment};
use serde_json::{Value, json};

use super::groups;

/// A deployment as the API lists it. Steps are counted from 1.
pub(crate) fn deployment(deployment: &Deployment) -> Value {
    let affected = |pods: bool| -> Vec<&AppId> {
        let of_kind = deployment.changes.iter().filter(|(_, change)| change.is_of_pod() == pods);
        of_kind.map(|(id, _)| id).collect()
    };
    let now = deployment.now().iter().map(|one| {
        let mut json = action(one);
        json["readinessCheckResults"] = json!([]);
        json
    });
    let now: Vec<Value> = now.collect();
    json!({
        "id": deployment.id,
        "version": deployment.version,
        "affectedApps": affected(false),
        "affectedPods": affected(true),
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
    json!({"actions": actions.iter().map(action).collect::<Vec<Value>>()})
}

fn action(action: &Action) -> Value {
    let key = if action.pod { "pod" } else { "app" };
    json!({"action": action.name(), key: action.app})
}

/// A plan as events carry it; the heavy form has the definitions it touches before and after.
pub(crate) fn plan(deployment: &Deployment, light: bool) -> Value {
    let mut json = json!({"id": deployment.id, "version": deployment.version, "steps": steps(deployment)});
    if !light {
        let changes = || deployment.changes.values();
        json["original"] = side(changes().filter_map(|change| change.from.as_ref()), deployment);
        json["target"] = side(changes().filter_map(|change| change.to.as_ref()), deployment);
    }
    json
}

/// What a plan touches, before it or after.
fn side<'a>(touched: impl Iterator<Item = &'a App>, deployment: &Deployment) -> Value {
    let (pods, apps): (Vec<&App>, Vec<&App>) = touched.partition(|app| app.is_pod());
    let definitions = |list: Vec<&App>| list.into_iter().map(super::apps::definition).collect::<Vec<Value>>();
    let mut root = groups::root(definitions(apps), deployment.version);
    root["pods"] = json!(definitions(pods));
    root
}
