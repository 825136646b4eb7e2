//! Deployments.

use chapada_services_core::{Action, App, AppId, AppProgress, Change, Deployment, Progress};
use serde_json::{Map, Value, json};

use super::groups;

/// A deployment as the API lists it, put together part by part. Steps are counted from 1.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    apps: Vec<Value>,
    pods: Vec<Value>,
    steps: Vec<Vec<Value>>,
    progress: Map<String, Value>,
    current: usize,
    /// The actions of the present step, each with what readiness checks have found.
    present: Vec<(Value, Vec<Value>)>,
}

impl Shown {
    pub(crate) fn add_change(&mut self, id: &AppId, change: &Change) {
        let affected = if change.is_of_pod() { &mut self.pods } else { &mut self.apps };
        affected.push(json!(id));
    }

    /// The actions that follow are of this step.
    pub(crate) fn begin_step(&mut self, number: usize) {
        self.steps.resize_with(number + 1, Vec::new);
    }

    pub(crate) fn add_action(&mut self, one: &Action) {
        if let Some(step) = self.steps.last_mut() {
            step.push(action(one));
        }
    }

    pub(crate) fn add_progress(&mut self, id: &AppId, known: &AppProgress) {
        let json = json!({"canaryStage": known.stage + 1, "failures": known.failures});
        self.progress.insert(id.to_string(), json);
    }

    /// The step it is shown at, from 0.
    pub(crate) fn is_at(&mut self, current: usize) {
        self.current = current;
    }

    pub(crate) fn current(&self) -> usize {
        self.current
    }

    /// The results that follow are of this action of the present step.
    pub(crate) fn begin_present(&mut self, index: usize, one: &Action) {
        if self.present.len() == index {
            self.present.push((action(one), Vec::new()));
        }
    }

    pub(crate) fn add_results(&mut self, results: Vec<Value>) {
        if let Some((_, found)) = self.present.last_mut() {
            found.extend(results);
        }
    }

    /// All of it. What may be long is moved, not copied.
    pub(crate) fn json(self, deployment: &Deployment) -> Value {
        let steps: Vec<Value> =
            self.steps.into_iter().map(|actions| with(json!({}), "actions", actions)).collect();
        let present =
            self.present.into_iter().map(|(json, found)| with(json, "readinessCheckResults", found));
        let mut json = json!({
            "id": deployment.id,
            "version": deployment.version,
            "currentStep": self.current + 1,
            "totalSteps": deployment.steps.len(),
        });
        for (name, list) in [
            ("currentActions", present.collect()),
            ("affectedApps", self.apps),
            ("affectedPods", self.pods),
            ("steps", steps),
        ] {
            json = with(json, name, list);
        }
        if deployment.progress != Progress::default() {
            json["rollout"] = rollout(&deployment.progress, self.progress);
        }
        json
    }
}

fn with(mut json: Value, name: &str, list: Vec<Value>) -> Value {
    json[name] = Value::Array(list);
    json
}

/// What is beyond Marathon: clients of its own see this key only when it is used.
fn rollout(progress: &Progress, apps: Map<String, Value>) -> Value {
    let mut json = json!({});
    json["apps"] = Value::Object(apps);
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
