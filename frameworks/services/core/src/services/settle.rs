//! What follows from the facts, app by app, and when to look again.

use std::time::Duration;

use chapada_model::Now;
use chapada_sdk_core::{Delay, Reconciliation, ReconciliationConfig};

use super::Services;
use crate::definition::UnreachableStrategy;
use crate::event::{Effect, Published};
use crate::id::AppId;
use crate::instance::{Condition, Goal, Instance, Task};
use crate::records::{self, Key, Write, failed};

/// How persistently the master is asked about tasks.
///
/// Source: Marathon's `reconciliation_interval` is ten minutes. That a task is not known is doubted: a new master may not have
/// heard of every agent.
pub(super) fn reconciliation() -> Reconciliation {
    Reconciliation::new(ReconciliationConfig {
        unknown_grace: Duration::from_secs(30),
        everything_every: Duration::from_secs(600),
        ..ReconciliationConfig::default()
    })
}

impl Services {
    pub(super) fn settle(&mut self, now: Now) {
        while let Some((at, app)) = self.timers.pop_first() {
            if at > now.mono {
                self.timers.insert((at, app));
                break;
            }
            if let Some(state) = self.apps.get_mut(&app) {
                state.timer = None;
            }
            self.touched.insert(app);
        }
        while let Some(app) = self.touched.pop_first() {
            self.settle_app(now, &app);
        }
        self.reconcile(now);
        self.tell_roles();
        self.seek_offers(now);
    }

    fn settle_app(&mut self, now: Now, app: &AppId) {
        let lapsed = self.apps.get_mut(app).map(|state| state.instances.pass_time(now.mono));
        self.announce_lapsed(lapsed.unwrap_or_default());
        self.give_up(now, app);
        self.watch(now, app);
        self.ask_whether_ready(now, app);
        self.converge(now, app);
        self.send_kills(now, app);
        self.hurry(now, app);
        self.probe(now, app);
        self.forget_if_gone(now, app);
        self.advance_deployments(app);
        self.note_demand(now, app);
        self.set_timer(now, app);
    }

    pub(super) fn on_subscribed(&mut self, now: Now) {
        self.connected = true;
        self.subscription = self.subscription.wrapping_add(1);
        let mut tasks = Vec::new();
        self.touched = self.apps.keys().cloned().collect();
        for state in self.apps.values_mut() {
            for task in state.instances.values().filter_map(Instance::task) {
                tasks.extend(task.live_ids().map(|id| (id.clone(), Some(task.agent.clone()))));
            }
            state.instances.forget_kills();
        }
        for round in self.reconciliation.begin(now.mono, tasks) {
            self.outbox.push(Effect::Reconcile(round.into_tasks()));
        }
        self.demand.on_subscribed();
        self.known.on_asked(now.mono, |_| true);
    }

    pub(super) fn on_disconnected(&mut self) {
        self.connected = false;
        self.subscription = self.subscription.wrapping_add(1);
        self.reconciliation.pause();
    }

    /// Stops what takes too long to start, and forgets what was out of reach for too long.
    fn give_up(&mut self, now: Now, app: &AppId) {
        let task_launch = self.settings.patience.task_launch;
        let Some(state) = self.apps.get_mut(app) else { return };
        let mut expunged = Vec::new();
        for id in state.instances.due(now.mono) {
            let Some(mut instance) = state.instances.get_mut(&id) else { continue };
            let goal = instance.goal;
            let Some(task) = instance.task_mut() else { continue };
            match task.condition {
                Condition::Unreachable => match state.app.definition.unreachable_strategy {
                    UnreachableStrategy::After { expunge, .. }
                        if now.mono >= task.since + expunge.duration() =>
                    {
                        expunged.push(id);
                    }
                    // Until then it may be running.
                    UnreachableStrategy::After { inactive, .. }
                        if goal == Goal::Stop && now.mono >= task.since + inactive.duration() =>
                    {
                        expunged.push(id);
                    }
                    UnreachableStrategy::Disabled if goal == Goal::Stop => expunged.push(id),
                    UnreachableStrategy::After { .. } | UnreachableStrategy::Disabled => {}
                },
                Condition::Provisioned | Condition::Staging if now.mono >= task.since + task_launch => {
                    if goal == Goal::Run {
                        instance.goal = Goal::Stop;
                        self.outbox.mark(Key::Instance(id));
                    }
                }
                Condition::Provisioned
                | Condition::Staging
                | Condition::Starting
                | Condition::Running
                | Condition::Killing => {}
            }
        }
        if state.deleting {
            // Nothing will be started in their place.
            expunged.extend(state.instances.away());
        }
        for instance in expunged {
            let task = state.instances.get(&instance).and_then(Instance::task);
            task.into_iter().flat_map(Task::live_ids).for_each(|task| self.reconciliation.forget(task));
            state.instances.remove(&instance);
            self.outbox.mark(Key::Instance(instance));
        }
    }

    fn forget_if_gone(&mut self, now: Now, app: &AppId) {
        let gone = |state: &super::AppState| state.deleting && state.instances.is_empty();
        if !self.apps.get(app).is_some_and(gone) {
            return;
        }
        if let Some(mut state) = self.apps.remove(app) {
            state.timer.map(|at| self.timers.remove(&(at, app.clone())));
            self.free_service_ports(&state.app.definition);
            self.free_role(&state.app.definition);
            self.wanted -= u64::from(state.app.definition.instances);
            self.lose_homes(now.mono, &mut state);
            let failed = state.has_failed();
            self.retire(app, state.versions);
            self.save(Key::App(app.clone()));
            if !state.terminations.is_empty() {
                self.save(Key::Ended(app.clone()));
            }
            if failed {
                self.save(Key::Failed(app.clone()));
            }
            self.outbox.push(Effect::Publish(Box::new(Published::Terminated(app.clone()))));
        }
    }

    /// Asks about tasks as it is time.
    fn reconcile(&mut self, now: Now) {
        while self.reconciliation.next().is_some_and(|next| next <= now.mono) {
            let Some(round) = self.reconciliation.on_time(now.mono, self.seed.number()) else { return };
            self.outbox.push(Effect::Reconcile(round.into_tasks()));
        }
    }

    fn set_timer(&mut self, now: Now, app: &AppId) {
        let rollout = self.apps.get(app).and_then(|state| self.rollout_due(now, state));
        let Some(state) = self.apps.get_mut(app) else { return };
        let counts = |delay: Option<Delay>, waiting: usize| {
            delay.map(Delay::until).filter(|until| waiting > 0 && *until > now.mono)
        };
        let delay = counts(state.delay, state.instances.unpinned());
        let before = counts(state.delay_before, state.instances.pinned());
        let rollout = rollout.filter(|at| *at > now.mono);
        let at = [delay, before, rollout, state.instances.next_due(now.mono)].into_iter().flatten().min();
        let before = std::mem::replace(&mut state.timer, at);
        if before != at {
            before.map(|before| self.timers.remove(&(before, app.clone())));
            self.timers.extend(at.map(|at| (at, app.clone())));
        }
    }

    /// The present content of a record.
    pub(super) fn write_of(&self, now: Now, key: Key) -> Write {
        let value = match &key {
            Key::App(id) => self.apps.get(id).map(|state| records::write_app(&state.app, state.deleting)),
            Key::Version(id, version) => self.definition_at(id, *version).map(records::write_version),
            Key::Instance(id) => self
                .apps
                .get(id.app())
                .and_then(|state| state.instances.get(id))
                .and_then(|instance| Some(records::write_instance(instance, instance.task()?))),
            Key::Deployment(id) => self.deployments.get(id).map(records::write_deployment),
            Key::DeploymentPart(id, part) => {
                self.deployments.get(id).and_then(|deployment| records::write_part(deployment, *part))
            }
            Key::Sweep(role) => self.demand.sweeps(role).then(|| records::write_sweep(role)),
            Key::Home(id) => {
                let home = self.apps.get(id.app()).and_then(|state| state.homes.get(id));
                home.map(records::write_home)
            }
            Key::Group(path) => self.groups.get(path).map(|group| records::write_group(path, group)),
            Key::Tree(version, part) => {
                let parts = self.history.versions.get(version);
                let changes = parts.and_then(|parts| parts.get(*part));
                changes.map(|changes| records::write_tree(*version, *part, changes))
            }
            Key::Ended(id) => {
                self.apps.get(id).and_then(|state| records::write_ended(id, &state.terminations))
            }
            Key::Failed(id) => {
                let state = self.apps.get(id).filter(|state| state.has_failed());
                state.map(|state| failed::write(now, state))
            }
        };
        let key = key.to_string();
        match value {
            Some(value) => Write::Put { key, value },
            None => Write::Delete { key },
        }
    }
}
