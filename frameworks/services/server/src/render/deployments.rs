//! Deployments.

use std::collections::BTreeMap;

use chapada_services_core::{Action, App, AppId, AppProgress, Deployment, Progress, Services};
use serde_json::{Value, json};

use super::groups;

/// A deployment as the API lists it. Steps are counted from 1.
pub(crate) fn deployment(services: &Services, deployment: &Deployment) -> Value {
    let affected = |pods: bool| -> Vec<&AppId> {
        let of_kind = deployment.changes.iter().filter(|(_, change)| change.is_of_pod() == pods);
        of_kind.map(|(id, _)| id).collect()
    };
    let actions = deployment.now().iter().map(|one| {
        let mut json = action(one);
        let results = services.even_ending(&one.app).map(super::tasks::readiness);
        json["readinessCheckResults"] = json!(results.unwrap_or_default());
        json
    });
    let actions: Vec<Value> = actions.collect();
    let mut json = json!({
        "id": deployment.id,
        "version": deployment.version,
        "affectedApps": affected(false),
        "affectedPods": affected(true),
        "steps": steps(deployment),
        "currentActions": actions,
        "currentStep": deployment.current + 1,
        "totalSteps": deployment.steps.len(),
    });
    if deployment.progress != Progress::default() {
        json["rollout"] = rollout(&deployment.progress);
    }
    json
}

/// What is beyond Marathon: clients of its own see this key only when it is used.
fn rollout(progress: &Progress) -> Value {
    let app = |known: &AppProgress| json!({"canaryStage": known.stage + 1, "failures": known.failures});
    let apps: BTreeMap<&AppId, Value> = progress.apps.iter().map(|(id, known)| (id, app(known))).collect();
    let mut json = json!({"apps": apps});
    for (name, at) in [("paused", progress.paused), ("deadline", progress.deadline)] {
        if let Some(at) = at {
            json[name] = json!(at);
        }
    }
    if let Some(undone) = progress.undoes {
        json["undoes"] = json!(undone);
    }
    json
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
