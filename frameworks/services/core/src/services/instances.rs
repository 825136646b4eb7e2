//! The places of one app, and what is counted of them as they change: no decision passes over all of them. This is the
//! only place that changes one.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use chapada_model::{AgentId, Mono};
use chapada_sdk_core::Placed;

use super::index::{Filed, Index, Rules};
use super::view::Counts;
use crate::app::App;
use crate::id::{AppId, InstanceId, Uuid};
use crate::instance::Instance;
use crate::settings::Patience;
use crate::timestamp::Timestamp;

pub(super) use super::index::Class;

/// The places of one app.
#[derive(Clone, Debug)]
pub struct Instances {
    app: AppId,
    all: BTreeMap<Uuid, Instance>,
    index: Index,
}

impl Instances {
    pub(super) fn new(app: &App, patience: Patience) -> Self {
        let index = Index::new(Rules::of(app, patience));
        Self { app: app.definition.id.clone(), all: BTreeMap::new(), index }
    }

    /// One of them.
    pub fn get(&self, id: &InstanceId) -> Option<&Instance> {
        self.all.get(&id.uuid())
    }

    /// Whether it is there.
    pub fn contains_key(&self, id: &InstanceId) -> bool {
        self.all.contains_key(&id.uuid())
    }

    /// All of them, in the order of their ids. For those who show them; what decides has counts.
    pub fn values(&self) -> btree_map::Values<'_, Uuid, Instance> {
        self.all.values()
    }

    /// Those whose ids come after `id`, in their order.
    pub fn after(&self, id: Option<Uuid>) -> impl Iterator<Item = &Instance> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = id.map_or(Unbounded, Excluded);
        self.all.range((from, Unbounded)).map(|(_, instance)| instance)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn insert(&mut self, instance: Instance) {
        let uuid = instance.id.uuid();
        self.remove_at(uuid);
        let filed = self.index.filed(&instance);
        self.index.refile(uuid, &Filed::default(), filed);
        self.all.insert(uuid, instance);
    }

    pub(super) fn remove(&mut self, id: &InstanceId) -> Option<Instance> {
        self.remove_at(id.uuid())
    }

    fn remove_at(&mut self, uuid: Uuid) -> Option<Instance> {
        let instance = self.all.remove(&uuid)?;
        let filed = self.index.filed(&instance);
        self.index.refile(uuid, &filed, Filed::default());
        Some(instance)
    }

    /// One of them, to be changed; it is counted anew when the change is over.
    pub(super) fn get_mut(&mut self, id: &InstanceId) -> Option<Changing<'_>> {
        let instance = self.all.get_mut(&id.uuid())?;
        Some(Changing { before: self.index.filed(instance), instance, index: &mut self.index })
    }

    /// No kill was sent on the present subscription.
    pub(super) fn forget_kills(&mut self) {
        for instance in self.all.values_mut() {
            if instance.task().is_some_and(|task| task.kill_sent.is_some()) {
                let before = self.index.filed(instance);
                let mut changing = Changing { before, instance, index: &mut self.index };
                changing.task_mut().into_iter().for_each(|task| task.kill_sent = None);
            }
        }
    }

    /// The definition that counts is another one.
    pub(super) fn set_app(&mut self, app: &App) {
        let Rules { patience, leaving, .. } = self.index.rules().clone();
        self.set_rules(Rules { leaving, ..Rules::of(app, patience) });
    }

    /// These agents, of those that have tasks of the app, are to be left; whether they were others before.
    pub(super) fn set_leaving(&mut self, agents: BTreeSet<AgentId>) -> bool {
        let is_new = *self.index.rules().leaving != agents;
        if is_new {
            self.set_rules(Rules { leaving: Arc::new(agents), ..self.index.rules().clone() });
        }
        is_new
    }

    /// Whether some are on agents that are to be left.
    pub(super) fn is_leaving(&self) -> bool {
        self.counted(&Class::LEAVING) > 0
    }

    /// How long things are waited for is another time.
    pub(super) fn set_patience(&mut self, patience: Patience) {
        let mut rules = self.index.rules().clone();
        rules.patience = patience;
        self.set_rules(rules);
    }

    fn set_rules(&mut self, rules: Rules) {
        if rules == *self.index.rules() {
            return;
        }
        let mut index = Index::new(rules);
        index.pass_time(self.index.now());
        for (uuid, instance) in &self.all {
            index.refile(*uuid, &Filed::default(), index.filed(instance));
        }
        self.index = index;
    }

    /// Notes what time alone changes: who has been out of reach for so long that it counts no more. Who that is since now.
    pub(super) fn pass_time(&mut self, now: Mono) -> Vec<InstanceId> {
        let lapsed: Vec<Uuid> = self.index.lapsed(now);
        for uuid in lapsed.iter().copied() {
            let Some(instance) = self.all.get(&uuid) else { continue };
            let before = self.index.filed(instance);
            let after = self.index.filed_at(instance, now);
            self.index.refile(uuid, &before, after);
        }
        self.index.pass_time(now);
        lapsed.into_iter().map(|uuid| InstanceId::new(self.app.clone(), uuid)).collect()
    }

    /// Those for which something is to be done by `now`.
    pub(super) fn due(&self, now: Mono) -> Vec<InstanceId> {
        self.index.due(now).map(|uuid| InstanceId::new(self.app.clone(), uuid)).collect()
    }

    /// When something is to be done for one of them next, after `now`.
    pub(super) fn next_due(&self, now: Mono) -> Option<Mono> {
        self.index.next_due(now)
    }

    /// The place that has waited longest for an offer, and since when.
    pub(super) fn first_waiting(&self) -> Option<(Timestamp, InstanceId)> {
        let (since, uuid) = self.index.first_waiting()?;
        Some((since, InstanceId::new(self.app.clone(), uuid)))
    }

    /// How many wait for an offer.
    pub fn waiting(&self) -> usize {
        self.unpinned() + self.pinned()
    }

    /// How many of those that wait shall have the present definition.
    pub(super) fn unpinned(&self) -> usize {
        self.index.unpinned()
    }

    /// How many of those that wait shall have an earlier definition.
    pub(super) fn pinned(&self) -> usize {
        self.index.pinned()
    }

    /// The place that has waited longest of those that shall have the present definition.
    pub(super) fn first_unpinned(&self) -> Option<InstanceId> {
        self.index.first_unpinned().map(|uuid| InstanceId::new(self.app.clone(), uuid))
    }

    /// The place that has waited longest of those that shall have an earlier definition.
    pub(super) fn first_pinned(&self) -> Option<InstanceId> {
        self.index.first_pinned().map(|uuid| InstanceId::new(self.app.clone(), uuid))
    }

    /// Those that are out of reach and still count.
    pub(super) fn away(&self) -> Vec<InstanceId> {
        self.index.away().map(|uuid| InstanceId::new(self.app.clone(), uuid)).collect()
    }

    /// How many have a task that may be running, those being killed included, those out of reach for too long not.
    pub fn alive(&self, now: Mono) -> usize {
        self.index.alive(now)
    }

    /// How many are on their way out, those out of reach left out: nobody waits for them.
    pub fn stopping(&self) -> usize {
        self.index.stopping
    }

    /// How many of the classes were heard to do their work on this subscription.
    pub(super) fn heard_on(&self, subscription: u32, classes: &[Class]) -> usize {
        self.index.heard_on(subscription, classes)
    }

    /// Those with a check that waits for its turn before it is asked for the first time.
    pub(super) fn patient(&self) -> Vec<InstanceId> {
        self.index.patient().map(|uuid| InstanceId::new(self.app.clone(), uuid)).collect()
    }

    /// Whether a task was launched with this version of the app, or is to be.
    pub(super) fn has_version(&self, version: Timestamp) -> bool {
        self.index.has_version(version)
    }

    /// How many tasks are in which state.
    pub fn counts(&self) -> Counts {
        self.index.counts
    }

    /// How many count toward the target and belong to one of the classes.
    pub(super) fn counted(&self, classes: &[Class]) -> usize {
        classes.iter().map(|class| self.index.of_class(*class).len()).sum()
    }

    /// Which `count` of those in `classes` go: those that wait first, then the least far on, then by age.
    pub(super) fn victims(&self, classes: &[Class], count: usize) -> Vec<InstanceId> {
        let first = |class: &Class| self.index.of_class(*class).iter().take(count);
        let mut ranks: Vec<_> = classes.iter().flat_map(first).collect();
        ranks.sort_unstable();
        let id = |rank: &super::index::Rank| InstanceId::new(self.app.clone(), rank.uuid);
        ranks.into_iter().take(count).map(id).collect()
    }

    /// How many tasks each agent has.
    pub(super) fn on_agent(&self, agent: &AgentId) -> usize {
        self.index.agents.get(agent).copied().unwrap_or(0)
    }

    /// Where the tasks of the present configuration are, as far as the app's constraints ask.
    pub fn placed(&self) -> &Placed {
        &self.index.kin
    }

    /// Whether every count is what a count of all of them anew says. For tests.
    pub fn is_counted_right(&self) -> bool {
        let mut index = Index::new(self.index.rules().clone());
        index.pass_time(self.index.now());
        for (uuid, instance) in &self.all {
            index.refile(*uuid, &Filed::default(), index.filed(instance));
        }
        index == self.index
    }
}

/// An instance that is being changed. Its counts are right again once this is dropped.
pub(super) struct Changing<'a> {
    instance: &'a mut Instance,
    before: Filed,
    index: &'a mut Index,
}

impl Deref for Changing<'_> {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        self.instance
    }
}

impl DerefMut for Changing<'_> {
    fn deref_mut(&mut self) -> &mut Instance {
        self.instance
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        let after = self.index.filed(self.instance);
        self.index.refile(self.instance.id.uuid(), &self.before, after);
    }
}
