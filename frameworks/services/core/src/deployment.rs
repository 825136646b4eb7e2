//! A change of one or several apps on its way: what it does in which order, and how far it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::id::{AppId, DeploymentId};
use crate::progress::Progress;
use crate::timestamp::Timestamp;

/// A change on its way. The apps in it are locked until it has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// Names it.
    pub id: DeploymentId,
    /// When it was accepted; the version of the apps it made.
    pub version: Timestamp,
    /// Each app it touches, with what was and what shall be; `None` for no app.
    pub changes: BTreeMap<AppId, Change>,
    /// What it does. The actions of one step go on together; the next step waits for all of them.
    pub steps: Vec<Vec<Action>>,
    /// The step it is at, from 0.
    pub current: usize,
    /// What cannot be told from the instances.
    pub progress: Progress,
    /// What it does to each app: a group can have tens of thousands, and nobody is to look for theirs among all steps.
    acts: Arc<BTreeMap<AppId, Acts>>,
    /// The action of the present step that was last found undone.
    pub(crate) undone: usize,
}

/// What a deployment does to one app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Acts {
    /// The first step that does more than begin it.
    first: usize,
    /// Whether its tasks are replaced.
    replaces: bool,
}

/// One app before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// As it was.
    pub from: Option<App>,
    /// As it shall be.
    pub to: Option<App>,
}

impl Change {
    /// Whether what it changes is a pod.
    pub fn is_of_pod(&self) -> bool {
        self.to.as_ref().or(self.from.as_ref()).is_some_and(App::is_pod)
    }
}

/// One thing done to one app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// What.
    pub action: ActionKind,
    /// To which app or pod.
    pub app: AppId,
    /// Whether it is a pod.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pod: bool,
}

impl Action {
    /// What is done, by Marathon's names.
    pub fn name(&self) -> &'static str {
        match (self.action, self.pod) {
            (ActionKind::StartApplication, false) => "StartApplication",
            (ActionKind::ScaleApplication, false) => "ScaleApplication",
            (ActionKind::RestartApplication, false) => "RestartApplication",
            (ActionKind::StopApplication, false) => "StopApplication",
            (ActionKind::StartApplication, true) => "StartPod",
            (ActionKind::ScaleApplication, true) => "ScalePod",
            (ActionKind::RestartApplication, true) => "RestartPod",
            (ActionKind::StopApplication, true) => "StopPod",
        }
    }
}

/// What is done to an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActionKind {
    /// It begins to exist, with no instances.
    StartApplication,
    /// Instances are added or taken away.
    ScaleApplication,
    /// Every instance is replaced.
    RestartApplication,
    /// All its instances are stopped, then it is forgotten.
    StopApplication,
}

impl Deployment {
    /// The plan that brings about `changes`: stop what vanishes, start what is new, then scale or replace layer by layer;
    /// an app without a layer is in the first.
    pub(crate) fn plan(
        id: DeploymentId,
        version: Timestamp,
        changes: BTreeMap<AppId, Change>,
        layers: &BTreeMap<AppId, usize>,
    ) -> Self {
        let (mut stop, mut start) = (Vec::new(), Vec::new());
        let mut bring: BTreeMap<usize, Vec<Action>> = BTreeMap::new();
        for (app, change) in &changes {
            let pod = change.is_of_pod();
            let layer = layers.get(app).copied().unwrap_or(0);
            let action = |action| Action { action, app: app.clone(), pod };
            match (&change.from, &change.to) {
                (_, None) => stop.push(action(ActionKind::StopApplication)),
                (None, Some(_)) => {
                    start.push(action(ActionKind::StartApplication));
                    bring.entry(layer).or_default().push(action(ActionKind::ScaleApplication));
                }
                (Some(from), Some(to)) => {
                    bring.entry(layer).or_default().extend(action_between(from, to).map(action));
                }
            }
        }
        let steps =
            [stop, start].into_iter().chain(bring.into_values()).filter(|step| !step.is_empty()).collect();
        Self::new(id, version, (changes, steps), 0, Progress::default())
    }

    /// As far as it is.
    pub fn new(
        id: DeploymentId,
        version: Timestamp,
        (changes, steps): (BTreeMap<AppId, Change>, Vec<Vec<Action>>),
        current: usize,
        progress: Progress,
    ) -> Self {
        let acts = Arc::new(acts(&steps));
        Self { id, version, changes, steps, current, progress, acts, undone: 0 }
    }

    /// Goes on with replacements that it takes over: tasks of several configurations may be there.
    pub(crate) fn carry_on(&mut self, replaced: &BTreeSet<AppId>) {
        for app in replaced {
            let to = self.changes.get(app).and_then(|change| change.to.as_ref());
            let Some(to) = to.filter(|to| to.definition.instances > 0) else { continue };
            let (action, pod) = (ActionKind::RestartApplication, to.is_pod());
            let step = self.acts.get(app).and_then(|acts| self.steps.get_mut(acts.first));
            let planned = |one: &&mut Action| one.app == *app && one.action != ActionKind::StartApplication;
            match step.and_then(|step| step.iter_mut().find(planned)) {
                Some(planned) => planned.action = action,
                None => self.steps.push(vec![Action { action, app: app.clone(), pod }]),
            }
        }
        self.acts = Arc::new(acts(&self.steps));
    }

    /// Whether it does anything to `app`.
    pub(crate) fn acts_on(&self, app: &AppId) -> bool {
        self.acts.contains_key(app)
    }

    /// The apps it touches.
    pub fn apps(&self) -> impl Iterator<Item = &AppId> {
        self.changes.keys()
    }

    /// What goes on now; empty once it has ended.
    pub fn now(&self) -> &[Action] {
        self.steps.get(self.current).map_or(&[], Vec::as_slice)
    }

    /// Whether what it does to `app` is still to come.
    pub fn waits(&self, app: &AppId) -> bool {
        self.acts.get(app).is_some_and(|acts| acts.first > self.current)
    }

    /// Whether it replaces the tasks of `app`, now or later.
    pub fn replaces(&self, app: &AppId) -> bool {
        self.acts.get(app).is_some_and(|acts| acts.replaces)
    }
}

fn acts(steps: &[Vec<Action>]) -> BTreeMap<AppId, Acts> {
    let mut found: BTreeMap<AppId, Acts> = BTreeMap::new();
    for (first, action) in
        steps.iter().enumerate().flat_map(|(step, list)| list.iter().map(move |one| (step, one)))
    {
        if action.action != ActionKind::StartApplication {
            let acts = found.entry(action.app.clone()).or_insert(Acts { first, replaces: false });
            acts.replaces |= action.action == ActionKind::RestartApplication;
        }
    }
    found
}

fn action_between(from: &App, to: &App) -> Option<ActionKind> {
    let replaced = from.version_info.last_config_change_at != to.version_info.last_config_change_at;
    if replaced && to.definition.instances > 0 {
        return Some(ActionKind::RestartApplication);
    }
    let scaled = replaced || from.definition.instances != to.definition.instances;
    scaled.then_some(ActionKind::ScaleApplication)
}
