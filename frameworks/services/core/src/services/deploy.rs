//! Begins, advances and ends deployments.

use std::collections::{BTreeMap, BTreeSet};

use super::commands::invalid;
use super::instances::Class;
use super::{AppState, Services};
use crate::app::App;
use crate::deployment::{Action, ActionKind, Change, Deployment};
use crate::event::{Effect, Published, Refusal};
use crate::group::{self, PathId};
use crate::id::{AppId, DeploymentId};
use crate::records::{Key, parts_of};
use crate::timestamp::Timestamp;

impl Services {
    /// Begins a deployment of `changes`, which carry `version`.
    ///
    /// # Errors
    /// When deployments are in the way and `force` is not given, or too many are on their way; nothing is changed then.
    pub(super) fn deploy(
        &mut self,
        version: Timestamp,
        changes: BTreeMap<AppId, Change>,
        force: bool,
    ) -> Result<DeploymentId, Refusal> {
        let group = common_group(changes.keys());
        self.deploy_tree(version, changes, BTreeMap::new(), &group, force)
    }

    /// Begins a deployment of `changes` and of what `groups` say, all within `group`.
    ///
    /// # Errors
    /// As [`Services::deploy`], and when apps would wait for each other in a ring.
    pub(super) fn deploy_tree(
        &mut self,
        version: Timestamp,
        changes: BTreeMap<AppId, Change>,
        groups: BTreeMap<PathId, Option<group::Group>>,
        group: &PathId,
        force: bool,
    ) -> Result<DeploymentId, Refusal> {
        let layers = self.layers(&changes, &groups)?;
        let conflicts = self.conflicts(&changes, force)?;
        Ok(self.begin_deployment(version, (changes, layers), groups, group, conflicts))
    }

    /// Begins a deployment of changes that may be, with the layers of their apps, in place of those that are in its way.
    pub(super) fn begin_deployment(
        &mut self,
        version: Timestamp,
        (changes, layers): (BTreeMap<AppId, Change>, BTreeMap<AppId, usize>),
        mut groups: BTreeMap<PathId, Option<group::Group>>,
        group: &PathId,
        conflicts: Vec<DeploymentId>,
    ) -> DeploymentId {
        self.note_new_groups(&changes, &mut groups, version);
        self.record(version, &changes, &groups);
        let unfinished = self.replaced_by(&conflicts);
        for conflict in conflicts {
            self.cancel(conflict);
        }
        let id = DeploymentId(self.seed.uuid());
        for (app, change) in &changes {
            self.take_over(app, change, id);
        }
        self.accept_groups(groups);
        let mut deployment = Deployment::plan(id, version, changes, &layers);
        deployment.carry_on(&unfinished);
        self.publish(Published::Changed { group: group.clone(), version });
        if deployment.changes.is_empty() {
            // Nothing would ever move it on.
            self.publish(Published::Deployed(deployment));
            return id;
        }
        self.hold_back(&deployment);
        if !deployment.steps.is_empty() {
            self.publish(Published::Step { plan: deployment.clone(), actions: deployment.now().to_vec() });
        }
        self.touched.extend(deployment.apps().cloned());
        self.deployments.insert(id, deployment);
        self.begin_progress(id);
        self.save(Key::Deployment(id));
        self.save_parts(id);
        id
    }

    /// The apps that some of the deployments were replacing.
    pub(super) fn replaced_by(&self, deployments: &[DeploymentId]) -> BTreeSet<AppId> {
        let found = deployments.iter().filter_map(|id| self.deployments.get(id));
        let of = |one: &Deployment| one.apps().filter(|app| one.replaces(app)).cloned().collect::<Vec<_>>();
        found.flat_map(of).collect()
    }

    fn accept_groups(&mut self, groups: BTreeMap<PathId, Option<group::Group>>) {
        for (path, group) in groups {
            match group {
                Some(group) => self.groups.insert(path.clone(), group),
                None => self.groups.remove(&path),
            };
            self.save(Key::Group(path));
        }
    }

    /// Notes that the parts of a deployment of many apps are to be written; what they say never changes.
    fn save_parts(&mut self, id: DeploymentId) {
        let parts = self.deployments.get(&id).map_or(0, parts_of);
        for part in 0..parts {
            self.save(Key::DeploymentPart(id, part));
        }
    }

    /// Lets the apps of a deployment whose turn has not come stay as many as they are.
    pub(super) fn hold_back(&mut self, deployment: &Deployment) {
        for (app, change) in &deployment.changes {
            if let Some(state) =
                self.apps.get_mut(app).filter(|state| state.deployment == Some(deployment.id))
            {
                let before = change.from.as_ref().map_or(0, |app| app.definition.instances);
                state.held = deployment.waits(app).then_some(before);
                self.touched.insert(app.clone());
            }
        }
    }

    /// The deployments that a deployment of `changes` cancels.
    ///
    /// # Errors
    /// When there are some and `force` is not given, or too many would be on their way.
    pub(super) fn conflicts(
        &self,
        changes: &BTreeMap<AppId, Change>,
        force: bool,
    ) -> Result<Vec<DeploymentId>, Refusal> {
        let conflicts = self.in_the_way(changes);
        if !conflicts.is_empty() && !force {
            return Err(Refusal::Locked(conflicts));
        }
        self.check_count(changes)?;
        let most = self.settings.max_deployments;
        if self.deployments.len() - conflicts.len() >= most {
            let why = format!("{most} deployments are on their way; wait for one of them to end");
            return Err(Refusal::TooMany(why));
        }
        Ok(conflicts)
    }

    /// The deployments that touch apps of these changes.
    pub(super) fn in_the_way(&self, changes: &BTreeMap<AppId, Change>) -> Vec<DeploymentId> {
        let touches = |deployment: &&Deployment| deployment.apps().any(|app| changes.contains_key(app));
        self.deployments.values().filter(touches).map(|deployment| deployment.id).collect()
    }

    /// Refuses what is new beyond the most apps and instances there may be.
    pub(super) fn check_count(&self, changes: &BTreeMap<AppId, Change>) -> Result<(), Refusal> {
        let most = self.settings.max_apps;
        let is_new = |(app, change): &(&AppId, &Change)| change.to.is_some() && !self.apps.contains_key(*app);
        let new = changes.iter().filter(is_new).count();
        if new > 0 && self.apps.len() + new > most {
            return Err(invalid(
                "/",
                format!("there may be {most} apps and pods at most, as --max-apps says"),
            ));
        }
        let instances = |app: &App| u64::from(app.definition.instances);
        let after: u64 = changes.values().filter_map(|change| change.to.as_ref()).map(instances).sum();
        let changed = changes.iter().filter(|(_, change)| change.to.is_some());
        let before: u64 =
            changed.filter_map(|(app, _)| self.apps.get(app)).map(|state| instances(&state.app)).sum();
        let most = self.settings.max_instances;
        if after > before && self.wanted - before + after > most {
            let why = format!(
                "there may be {most} instances of all apps and pods together, as --max-instances says, and {} are \
                 wanted already; ask for fewer",
                self.wanted
            );
            return Err(invalid("/instances", why));
        }
        Ok(())
    }

    fn take_over(&mut self, app: &AppId, change: &Change, deployment: DeploymentId) {
        match &change.to {
            Some(to) => {
                self.accept(to);
                self.save(Key::App(app.clone()));
                self.save(Key::Version(app.clone(), to.version));
            }
            None => {
                if let Some(state) = self.apps.get_mut(app) {
                    state.deleting = true;
                }
                self.save(Key::App(app.clone()));
            }
        }
        if let Some(state) = self.apps.get_mut(app) {
            state.deployment = Some(deployment);
        }
    }

    /// Takes a definition as the one that counts.
    fn accept(&mut self, app: &App) {
        let id = app.definition.id.clone();
        let (mut dropped, mut waited) = (Vec::new(), false);
        let replaced = match self.apps.get_mut(&id) {
            None => {
                self.apps.insert(id.clone(), AppState::new(app.clone(), self.settings.patience));
                None
            }
            Some(state) => {
                let replaced = state.replace_app(app.clone());
                state.versions.insert(app.version, app.clone());
                dropped = state.forget_versions(self.settings.max_versions, replaced.version);
                state.deleting = false;
                waited = state.delay.take().is_some() | state.delay_before.take().is_some();
                state.funnel = Default::default();
                self.demand.forget(&id);
                Some(replaced)
            }
        };
        if let Some(replaced) = replaced {
            self.free_service_ports(&replaced.definition);
            self.free_role(&replaced.definition);
            self.wanted -= u64::from(replaced.definition.instances);
        }
        self.hold_service_ports(&app.definition);
        self.hold_role(&app.definition);
        self.wanted += u64::from(app.definition.instances);
        if waited {
            self.save(Key::Failed(id.clone()));
        }
        for version in dropped {
            self.save(Key::Version(id.clone(), version));
        }
    }

    /// Ends a deployment where it is.
    pub(super) fn cancel(&mut self, id: DeploymentId) {
        if let Some(deployment) = self.end(id) {
            self.publish(Published::Cancelled(deployment));
        }
    }

    /// Takes a deployment off the list and unlocks its apps.
    pub(super) fn end(&mut self, id: DeploymentId) -> Option<Deployment> {
        self.save_parts(id);
        let deployment = self.deployments.remove(&id)?;
        self.deadlines.remove(&id);
        self.save(Key::Deployment(id));
        for app in deployment.apps() {
            if let Some(state) = self.apps.get_mut(app).filter(|state| state.deployment == Some(id)) {
                state.deployment = None;
                state.held = None;
            }
            self.touched.insert(app.clone());
        }
        Some(deployment)
    }

    /// Takes the deployments that touch `app` as far as they get.
    pub(super) fn advance_deployments(&mut self, app: &AppId) {
        if let Some(state) = self.apps.get(app) {
            // A deployment locks its apps, so there is no other.
            if let Some(id) = state.deployment {
                self.advance(id);
            }
            return;
        }
        let concerned = self.deployments.values().filter(|deployment| deployment.changes.contains_key(app));
        for id in concerned.map(|deployment| deployment.id).collect::<Vec<_>>() {
            self.advance(id);
        }
    }

    fn advance(&mut self, id: DeploymentId) {
        loop {
            let Some(deployment) = self.deployments.get(&id) else { return };
            if deployment.progress.paused.is_some() {
                return;
            }
            let (before, from) = deployment.now().split_at(deployment.undone.min(deployment.now().len()));
            // What was not done is in the way most often, so it is not looked at all of them each time.
            let undone = from.iter().chain(before).position(|action| !self.is_done(action));
            let undone = undone.map(|at| (before.len() + at) % deployment.now().len());
            let actions = if undone.is_none() { deployment.now().to_vec() } else { Vec::new() };
            let Some(deployment) = self.deployments.get_mut(&id) else { return };
            deployment.undone = undone.unwrap_or(0);
            if undone.is_some() {
                return;
            }
            deployment.current += 1;
            let ended = deployment.current >= deployment.steps.len();
            let plan = deployment.clone();
            self.save(Key::Deployment(id));
            if !actions.is_empty() {
                self.publish(Published::StepDone { plan: plan.clone(), actions });
            }
            if ended {
                self.end(id);
                self.publish(Published::Deployed(plan));
                return;
            }
            self.hold_back(&plan);
            self.publish(Published::Step { actions: plan.now().to_vec(), plan });
        }
    }

    fn is_done(&self, action: &Action) -> bool {
        let Some(state) = self.apps.get(&action.app) else { return true };
        match action.action {
            ActionKind::StartApplication => true,
            ActionKind::StopApplication => !state.deleting,
            ActionKind::ScaleApplication => self.has_target(state, &Class::GOOD),
            ActionKind::RestartApplication => self.has_target(state, &[Class::FreshGood]),
        }
    }

    /// Whether as many instances in `classes` as wanted are heard of, there are no others, and none is on its way out.
    fn has_target(&self, state: &AppState, classes: &[Class]) -> bool {
        let (instances, target) = (&state.instances, state.target() as usize);
        instances.heard_on(self.subscription, classes) == target
            && instances.counted(&Class::ALL) == target
            && instances.stopping() == 0
    }

    pub(super) fn publish(&mut self, event: Published) {
        self.outbox.push(Effect::Publish(Box::new(event)));
    }
}

/// The closest group that all of them are in.
pub(super) fn common_group<'a>(apps: impl Iterator<Item = &'a AppId>) -> PathId {
    let common = |one: PathId, other: PathId| one.and_above().find(|path| path.is_or_holds(&other));
    apps.map(PathId::group_of)
        .reduce(|one, other| common(one, other).unwrap_or_else(PathId::root))
        .unwrap_or_else(PathId::root)
}
