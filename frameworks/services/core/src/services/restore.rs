//! Reads the records back after a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chapada_model::Now;

use super::{AppState, Services};
use crate::health::{CheckState, NEVER, turn};
use crate::id::InstanceId;
use crate::instance::Instance;
use crate::records::{Key, Record, Recovered};
use crate::timestamp::Timestamp;

impl Services {
    pub(super) fn take_records(&mut self, now: Now, records: impl IntoIterator<Item = Recovered>) {
        let (mut versions, mut instances, mut deployments) = (Vec::new(), Vec::new(), Vec::new());
        let (mut trees, mut homes, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        let (mut ended, mut failed) = (Vec::new(), Vec::new());
        for Recovered(record) in records {
            match record {
                Record::App { app, deleting } => {
                    self.version = self.version.max(app.version);
                    self.hold_service_ports(&app.definition);
                    self.hold_role(&app.definition);
                    self.wanted += u64::from(app.definition.instances);
                    let mut state = AppState::new(app, self.settings.patience);
                    state.deleting = deleting;
                    self.apps.insert(state.app.definition.id.clone(), state);
                }
                Record::Version(app) => versions.push(app),
                Record::Instance(instance) => instances.push(instance),
                Record::Deployment(deployment) => deployments.push(deployment),
                Record::DeploymentPart(part) => parts.push(part),
                Record::Home(home) => homes.push(home),
                Record::Sweep(role) => self.expect_leftovers(now.mono, Some(role)),
                Record::Group(path, group) => {
                    self.version = self.version.max(group.version);
                    self.groups.insert(path, group);
                }
                Record::Tree(version, part, changes) => trees.push((version, part, changes)),
                Record::Ended(app, ends) => ended.push((app, ends)),
                Record::Failed(failure) => failed.push(failure),
            }
        }
        for mut home in homes {
            // How long this process was away says nothing about it.
            home.since = now.mono;
            match self.apps.get_mut(home.instance.app()) {
                Some(state) => drop(state.homes.insert(home.instance.clone(), home)),
                None => self.save(Key::Home(home.instance)),
            }
        }
        for (app, ends) in ended {
            match self.apps.get_mut(&app) {
                Some(state) => state.terminations = ends,
                None => self.save(Key::Ended(app)),
            }
        }
        for failed in failed {
            match self.apps.get_mut(&failed.id) {
                Some(state) => failed.bring_back(now, state),
                None => self.save(Key::Failed(failed.id)),
            }
        }
        self.read_history(trees);
        for app in versions {
            match self.apps.get_mut(&app.definition.id) {
                Some(state) => {
                    // The present one is there, and shared with its app.
                    state.versions.entry(app.version).or_insert(app);
                }
                None => self.retire(&app.definition.id.clone(), BTreeMap::from([(app.version, app)])),
            }
        }
        self.read_instances(now, instances.into_iter());
        for part in parts {
            let of = part.deployment();
            if let Some(deployment) = deployments.iter_mut().find(|deployment| deployment.id() == of) {
                deployment.add(part);
            }
        }
        // One that took over from another may have been written, and the end of the other not yet: a large change is several
        // transactions.
        deployments.sort_by_key(|deployment| deployment.version());
        for deployment in deployments {
            // A deployment locks its apps, so the versions it names are still there, or the app is gone.
            let deployment = deployment.resolve(|app, version| {
                let state = self.apps.get(app)?;
                Some(state.versions.get(&version).unwrap_or(&state.app).clone())
            });
            let locked = deployment.apps().filter_map(|app| self.apps.get(app)?.deployment);
            for former in locked.collect::<BTreeSet<_>>() {
                self.end(former);
            }
            for app in deployment.apps() {
                if let Some(state) = self.apps.get_mut(app) {
                    state.deployment = Some(deployment.id);
                }
            }
            self.hold_back(&deployment);
            self.deployments.insert(deployment.id, deployment);
        }
        self.touched.extend(self.apps.keys().cloned());
        let of_deployments = self.deployments.values().flat_map(|deployment| deployment.apps().cloned());
        self.touched.extend(of_deployments);
    }

    /// Those of one app follow each other, mostly: it is looked for once.
    fn read_instances(&mut self, now: Now, instances: impl Iterator<Item = Box<Instance>>) {
        let mut instances = instances.peekable();
        while let Some(first) = instances.next() {
            let app = first.id.app().clone();
            let Some(state) = self.apps.get_mut(&app) else {
                self.save(Key::Instance(first.id));
                continue;
            };
            read_instance(now, state, *first);
            while let Some(next) = instances.next_if(|next| *next.id.app() == app) {
                read_instance(now, state, *next);
            }
        }
    }
}

/// Times begin anew: how long this process was away says nothing about the task. A grace period does not.
fn read_instance(now: Now, state: &mut AppState, mut instance: Instance) {
    instance.id = InstanceId::new(state.app.definition.id.clone(), instance.id.uuid());
    if let Some(task) = instance.task_mut() {
        task.since = now.mono;
        let checks = super::health::checks_of(state, task.version);
        task.health = CheckState::begin(checks);
        let ran_before = task.started_at.map_or(Duration::ZERO, |at| Timestamp::from(now.wall).since(at));
        // Processes before this one dropped definitions that tasks had: such a task may have been launched with other checks.
        let is_known = state.versions.contains_key(&task.version);
        for (known, check) in task.health.iter_mut().zip(checks) {
            known.ran_before = ran_before;
            known.awaited &= is_known;
            if known.due != NEVER && task.healthy == Some(true) {
                known.due = turn(&task.id, check.interval_seconds.duration(), now.mono);
                known.patient = true;
            }
        }
    }
    state.instances.insert(instance);
}
