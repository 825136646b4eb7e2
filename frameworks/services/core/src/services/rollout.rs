//! Deployments beyond Marathon's: canaries that wait to be promoted, pauses, deadlines, and going back by itself when the
//! new configuration fails.

use std::collections::BTreeMap;

use chapada_model::{Mono, Now, TaskState};

use super::instances::Class;
use super::{AppState, Services};
use crate::definition::CanaryStage;
use crate::deployment::{Change, Deployment};
use crate::event::{Published, Refusal, Reply};
use crate::id::{AppId, DeploymentId};
use crate::instance::{Instance, Task};
use crate::progress::{AppProgress, Held, Progress};
use crate::records::Key;
use crate::timestamp::Timestamp;

/// So many apps are looked at, one of them several times, to find which of them cannot be taken back.
const MOST_LOOKS: usize = 500_000;

/// What is taken back of changes that failed.
#[derive(Debug, Default)]
struct TakenBack {
    changes: BTreeMap<AppId, Change>,
    layers: BTreeMap<AppId, usize>,
    /// The apps of the others, and why they stay as they are.
    refused: Vec<(Vec<AppId>, Refusal)>,
}

impl Services {
    pub(super) fn deployment_of(&self, state: &AppState) -> Option<&Deployment> {
        state.deployment.and_then(|id| self.deployments.get(&id))
    }

    /// The stage of a canary that the app is in: so many of its instances have the new configuration, the others stay.
    pub(super) fn canary(&self, state: &AppState) -> Option<CanaryStage> {
        let deployment = self.deployment_of(state)?;
        let app = &state.app.definition;
        let watched = deployment.progress.undoes.is_none() && deployment.replaces(&app.id);
        let over = deployment.progress.apps.get(&app.id).map_or(0, |progress| progress.stage);
        let stage = app.rollout.as_ref().filter(|_| watched)?.canary.get(over)?;
        (stage.of(state.target()) < state.target()).then_some(*stage)
    }

    /// Notes when a new deployment is to be given up.
    pub(super) fn begin_progress(&mut self, id: DeploymentId) {
        let Some(deployment) = self.deployments.get_mut(&id) else { return };
        let acting = deployment.changes.iter().filter(|(app, _)| deployment.acts_on(app));
        let limits = acting.filter_map(|(_, change)| {
            let rollout = change.to.as_ref()?.definition.rollout.as_ref()?;
            rollout.deadline_seconds
        });
        let first = limits.map(|limit| limit.duration()).min();
        deployment.progress.deadline = first.map(|limit| deployment.version.after(limit));
    }

    /// Counts a task of the new configuration that failed by its own fault: not one that was killed or whose agent is gone.
    pub(super) fn note_failed_task(&mut self, app: &AppId, task: &Task, ended: TaskState) {
        let Some(state) = self.apps.get(app) else { return };
        let blamed = matches!(ended, TaskState::Failed | TaskState::Finished | TaskState::Error);
        let limited =
            state.app.definition.rollout.as_ref().and_then(|it| it.rollback_after_failures).is_some();
        let counts = blamed && limited && task.is_of(state.app.version_info.last_config_change_at);
        let Some(deployment) = state.deployment.and_then(|id| self.deployments.get_mut(&id)) else { return };
        if counts && deployment.progress.undoes.is_none() {
            let progress = deployment.progress.apps.entry(app.clone()).or_default();
            progress.failures = progress.failures.saturating_add(1);
            let key = Key::Deployment(deployment.id);
            self.save(key);
        }
    }

    /// Gives up or moves on the deployment that has the app, when it is time to.
    pub(super) fn watch(&mut self, now: Now, app: &AppId) {
        let Some(state) = self.apps.get(app) else { return };
        let Some(deployment) = self.deployment_of(state) else { return };
        if deployment.progress.paused.is_some() {
            return;
        }
        let id = deployment.id;
        let is_late = self.is_late(now, id);
        let Some(deployment) = self.deployments.get(&id) else { return };
        match self.lost(is_late, deployment) {
            Some(reason) => self.roll_back(now, id, reason),
            None => self.watch_canary(now, app, id),
        }
    }

    /// Whether a deployment has taken longer than it may. From when this process first looks at it that is measured by a clock that does
    /// not jump; how much is left then is what the time of day says, and never more than the whole.
    fn is_late(&mut self, now: Now, id: DeploymentId) -> bool {
        let Some(deployment) = self.deployments.get(&id) else { return false };
        let Some(deadline) = deployment.progress.deadline else { return false };
        let left = deadline.since(Timestamp::from(now.wall)).min(deadline.since(deployment.version));
        let fresh = (deadline, now.mono + left);
        let known = self.deadlines.entry(id).or_insert(fresh);
        if known.0 != deadline {
            *known = fresh;
        }
        now.mono >= known.1
    }

    /// Why a deployment is given up, if it is.
    fn lost(&self, is_late: bool, deployment: &Deployment) -> Option<String> {
        let progress = &deployment.progress;
        if is_late {
            return Some("it took longer than its deadlineSeconds".to_owned());
        }
        progress.apps.iter().find_map(|(app, known)| {
            let rollout = self.apps.get(app)?.app.definition.rollout.as_ref()?;
            let most = rollout.rollback_after_failures?;
            (known.failures >= most)
                .then(|| format!("{} tasks of the new configuration of {app} failed", known.failures))
        })
    }

    /// Ends a deployment as failed and begins one that takes back what it changed. An app that is new has nothing to go
    /// back to: it stays as it is.
    fn roll_back(&mut self, now: Now, id: DeploymentId, reason: String) {
        let Some(deployment) = self.end(id) else { return };
        let version = self.next_version(now);
        let mut changes = self.inverse(&deployment, version);
        changes.retain(|_, change| change.to.is_some());
        self.publish(Published::Failed { plan: deployment, reason });
        self.take_back(version, changes, id);
    }

    /// Takes changes back together, all but those of apps that what others changed meanwhile forbids.
    fn take_back(&mut self, version: Timestamp, changes: BTreeMap<AppId, Change>, undone: DeploymentId) {
        let TakenBack { changes, layers, refused } = self.allowed_back(changes);
        for (apps, why) in refused {
            let group = super::deploy::common_group(apps.iter());
            let reason = format!("a change that failed cannot be taken back: {}", in_words(&why));
            self.publish(Published::GroupFailed { group, version, reason });
        }
        if !changes.is_empty() {
            // It takes the place of the one that failed: there are not more of them than before.
            let (group, conflicts) = (super::deploy::common_group(changes.keys()), self.in_the_way(&changes));
            let undoing =
                self.begin_deployment(version, (changes, layers), BTreeMap::new(), &group, conflicts);
            self.note_undone(undoing, undone);
        }
    }

    /// What of these changes can be taken back together. What is refused is halved until it is known which apps that is about; of very
    /// many apps some may be left out with them.
    fn allowed_back(&self, changes: BTreeMap<AppId, Change>) -> TakenBack {
        let (mut taken, mut looks) = (TakenBack::default(), 0);
        let mut open = vec![Vec::from_iter(changes)];
        while let Some(part) = open.pop() {
            let apps: Vec<AppId> = part.iter().map(|(app, _)| app.clone()).collect();
            taken.changes.extend(part);
            looks += taken.changes.len();
            let why = match self.may_take_back(&taken.changes) {
                Ok(layers) => {
                    taken.layers = layers;
                    continue;
                }
                Err(why) => why,
            };
            let mut part: Vec<_> = apps.iter().filter_map(|app| taken.changes.remove_entry(app)).collect();
            if part.len() <= 1 || looks > MOST_LOOKS {
                taken.refused.push((apps, why));
                continue;
            }
            let rest = part.split_off(part.len() / 2);
            open.extend([rest, part]);
        }
        taken
    }

    /// In which layers the changes can be taken back.
    fn may_take_back(&self, changes: &BTreeMap<AppId, Change>) -> Result<BTreeMap<AppId, usize>, Refusal> {
        let layers = self.layers(changes, &BTreeMap::new())?;
        self.check_count(changes)?;
        Ok(layers)
    }

    /// What takes back the changes of a deployment, and no others.
    pub(super) fn inverse(&self, undone: &Deployment, version: Timestamp) -> BTreeMap<AppId, Change> {
        let back = |(app, change): (&AppId, &Change)| {
            let from = self.spec(app).map(|state| state.app.clone());
            let to = change.from.as_ref().map(|app| app.again(version));
            (app.clone(), Change { from, to })
        };
        undone.changes.iter().map(back).collect()
    }

    pub(super) fn note_undone(&mut self, undoing: DeploymentId, undone: DeploymentId) {
        if let Some(deployment) = self.deployments.get_mut(&undoing) {
            deployment.progress = Progress { undoes: Some(undone), ..Progress::default() };
            self.save(Key::Deployment(undoing));
        }
    }

    fn watch_canary(&mut self, now: Now, app: &AppId, id: DeploymentId) {
        let Some(state) = self.apps.get(app) else { return };
        let Some(stage) = self.canary(state) else { return };
        let (of_stage, fresh) = (stage.of(state.target()) as usize, [Class::FreshGood]);
        let well = state.instances.counted(&fresh) >= of_stage;
        // Who is only believed to be well may be no more; when that is heard its time begins anew.
        let is_heard = state.instances.heard_on(self.subscription, &fresh) >= of_stage;
        let Some(deployment) = self.deployments.get_mut(&id) else { return };
        let known = deployment.progress.apps.get(app).and_then(|known| known.well_since);
        let since = well.then(|| known.unwrap_or(now.mono));
        if since != known {
            deployment.progress.apps.entry(app.clone()).or_default().well_since = since;
        }
        let wanted = stage.promote_after_seconds.map(|seconds| seconds.duration());
        if is_heard && since.zip(wanted).is_some_and(|(since, wanted)| now.mono >= since + wanted) {
            self.next_stage(app, id);
        }
    }

    fn next_stage(&mut self, app: &AppId, id: DeploymentId) {
        if let Some(deployment) = self.deployments.get_mut(&id) {
            let known = deployment.progress.apps.entry(app.clone()).or_default();
            *known = AppProgress { stage: known.stage + 1, well_since: None, ..known.clone() };
            self.save(Key::Deployment(id));
            self.touched.insert(app.clone());
        }
    }

    /// When time alone moves on the deployment that has the app.
    pub(super) fn rollout_due(&self, now: Now, state: &AppState) -> Option<Mono> {
        let deployment = self.deployment_of(state)?;
        let progress = &deployment.progress;
        if progress.paused.is_some() {
            return None;
        }
        let deadline = progress.deadline.map(|at| match self.deadlines.get(&deployment.id) {
            Some((known, due)) if *known == at => *due,
            Some(_) | None => now.mono + at.since(Timestamp::from(now.wall)),
        });
        let known = progress.apps.get(&state.app.definition.id).and_then(|known| known.well_since);
        let wait = self.canary(state).and_then(|stage| stage.promote_after_seconds);
        let promotion = known.zip(wait).map(|(since, wait)| since + wait.duration());
        [deadline, promotion].into_iter().flatten().min()
    }

    /// Lets the apps of a deployment that wait in a stage of a canary go on to the next.
    pub(super) fn promote(&mut self, id: DeploymentId) -> Result<Reply, Refusal> {
        let deployment = self.deployments.get(&id).ok_or(Refusal::NoDeployment(id))?;
        if deployment.progress.paused.is_some() {
            return Err(Refusal::NotNow("The deployment is paused; resume it first."));
        }
        let waits = |app: &&AppId| self.apps.get(*app).is_some_and(|state| self.canary(state).is_some());
        let acts = deployment.now().iter().map(|action| &action.app);
        let waiting: Vec<AppId> = acts.filter(waits).cloned().collect();
        if waiting.is_empty() {
            return Err(Refusal::NotNow("The deployment has no canary that waits to be promoted."));
        }
        for app in waiting {
            self.next_stage(&app, id);
        }
        Ok(Reply::Done)
    }

    /// From now on a deployment starts and stops nothing of its own; what fails is replaced by what it was.
    pub(super) fn pause(&mut self, now: Now, id: DeploymentId) -> Result<Reply, Refusal> {
        let deployment = self.deployments.get(&id).ok_or(Refusal::NoDeployment(id))?;
        if deployment.progress.paused.is_some() {
            return Ok(Reply::Done);
        }
        let apps: Vec<AppId> = deployment.apps().cloned().collect();
        let mut held = BTreeMap::new();
        for app in apps {
            let Some(state) = self.apps.get_mut(&app) else { continue };
            let begun = |instance: &Instance| instance.task().is_some() || instance.incarnation > 1;
            let unbegun = state.instances.values().filter(|instance| !begun(instance));
            for instance in unbegun.map(|instance| instance.id.clone()).collect::<Vec<_>>() {
                state.instances.remove(&instance);
            }
            let count = |groups: &[Class]| state.instances.counted(groups);
            held.insert(app.clone(), Held { fresh: count(&Class::FRESH), stale: count(&Class::STALE) });
            self.touched.insert(app);
        }
        if let Some(deployment) = self.deployments.get_mut(&id) {
            deployment.progress.paused = Some(Timestamp::from(now.wall));
            for (app, held) in held {
                let known = deployment.progress.apps.entry(app).or_default();
                *known = AppProgress { held: Some(held), well_since: None, ..known.clone() };
            }
        }
        self.save(Key::Deployment(id));
        Ok(Reply::Done)
    }

    /// A paused deployment goes on. Its deadline is later by the time it was paused.
    pub(super) fn resume(&mut self, now: Now, id: DeploymentId) -> Result<Reply, Refusal> {
        let deployment = self.deployments.get_mut(&id).ok_or(Refusal::NoDeployment(id))?;
        let progress = &mut deployment.progress;
        if let Some(since) = progress.paused.take() {
            let paused = Timestamp::from(now.wall).since(since);
            progress.deadline = progress.deadline.map(|deadline| deadline.after(paused));
            for known in progress.apps.values_mut() {
                known.held = None;
            }
            self.touched.extend(deployment.apps().cloned());
            self.save(Key::Deployment(id));
        }
        Ok(Reply::Done)
    }
}

/// All that a refusal says, in one line.
fn in_words(why: &Refusal) -> String {
    match why {
        Refusal::WrongType(details) | Refusal::Invalid(details) => {
            let each = details.iter().map(|one| format!("{}: {}", one.path, one.errors.join(", ")));
            each.collect::<Vec<_>>().join("; ")
        }
        _ => why.to_string(),
    }
}
