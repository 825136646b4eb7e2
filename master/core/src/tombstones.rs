//! What is kept of a removed framework until every agent that ran for it has confirmed that nothing of it is left: its record, and
//! the agents that have not, some in each of several records, so that none outgrows its bound and a confirmation rewrites few.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chapada_model::{AgentId, FrameworkId, Wall};

use crate::pending::Pending;
use crate::{
    FrameworkRecord, MAX_REMOVED_FRAMEWORKS, Master, RegistryChange, RegistryState, Removal, Ticket,
};

/// How many agents one record names that have yet to confirm a removal: of the longest ids these are 50 KiB.
pub const MAX_AGENTS_PER_PART: usize = 100;

/// The clocks of two leaders may differ by so much, or one may have jumped.
const CLOCKS_MAY_DIFFER: Duration = Duration::from_secs(24 * 60 * 60);

/// Removed frameworks by what is looked for among them. Derived from the registry; the audit holds it against that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tombstones {
    /// All, oldest first.
    pub(crate) all: BTreeSet<(Wall, FrameworkId)>,
    /// Those that wait for agents which were unreachable at the time, oldest first.
    pub(crate) unheard: BTreeSet<(Wall, FrameworkId)>,
    /// Those that wait for each agent, and in which part of its list it stands.
    parts: BTreeMap<AgentId, BTreeMap<FrameworkId, u32>>,
}

impl Tombstones {
    /// Those of a registry in which all lists are in parts.
    pub(crate) fn of(registry: &RegistryState) -> Self {
        let mut tombstones = Self::default();
        for (id, record) in &registry.frameworks {
            if let Some(removal) = &record.removed {
                tombstones.note(id, removal);
            }
        }
        for (framework, parts) in &registry.unconfirmed {
            for (part, agents) in parts {
                agents.iter().for_each(|agent| tombstones.expect(framework, *part, agent));
            }
        }
        tombstones
    }

    fn note(&mut self, id: &FrameworkId, removal: &Removal) {
        self.all.insert((removal.at, id.clone()));
        if removal.absent {
            self.unheard.insert((removal.at, id.clone()));
        }
    }

    fn expect(&mut self, framework: &FrameworkId, part: u32, agent: &AgentId) {
        self.parts.entry(agent.clone()).or_default().insert(framework.clone(), part);
    }

    /// The removed frameworks that wait for an agent.
    pub(crate) fn of_agent(&self, agent: &AgentId) -> Vec<FrameworkId> {
        self.parts.get(agent).map(|parts| parts.keys().cloned().collect()).unwrap_or_default()
    }

    fn part_of(&self, framework: &FrameworkId, agent: &AgentId) -> Option<u32> {
        self.parts.get(agent)?.get(framework).copied()
    }

    fn forget(&mut self, framework: &FrameworkId, agent: &AgentId) {
        let Some(parts) = self.parts.get_mut(agent) else { return };
        parts.remove(framework);
        if parts.is_empty() {
            self.parts.remove(agent);
        }
    }
}

impl Master {
    /// Fills the index of a new leader. What a former build kept in the framework's own record is put in parts.
    pub(crate) fn recover_tombstones(&mut self) {
        self.tombstones = Tombstones::of(&self.registry);
        for (_, id) in self.tombstones.all.clone() {
            let Some(record) = self.registry.frameworks.get(&id).cloned() else { continue };
            let Some(mut removal) = record.removed.clone() else { continue };
            let in_one = std::mem::take(&mut removal.unconfirmed);
            if !in_one.is_empty() {
                self.expect_all(&id, in_one);
                self.put_removal(&id, record, removal);
            }
            self.end_removal_if_confirmed(&id);
        }
        // Their leader fell before the removal itself was durable, or after it had ended.
        let is_removed =
            |id: &&FrameworkId| self.registry.frameworks.get(*id).is_some_and(|one| one.removed.is_some());
        let strays = self.registry.unconfirmed.keys().filter(|id| !is_removed(id));
        for id in strays.cloned().collect::<Vec<_>>() {
            self.forget_parts(&id);
        }
    }

    /// Makes a removal durable, and who must confirm it: before it, so that no leader finds a removal that waits for nobody.
    pub(crate) fn record_removal(
        &mut self,
        id: &FrameworkId,
        record: FrameworkRecord,
        unconfirmed: BTreeSet<AgentId>,
        then: Pending,
    ) -> Ticket {
        // A former leader may have given them up, and then nobody knows what they run.
        let absent = !self.unreachable.is_empty();
        if unconfirmed.is_empty() && !absent {
            return self.record_then(RegistryChange::DeleteFramework(id.clone()), then);
        }
        self.expect_all(id, unconfirmed);
        let removal = Removal { at: self.now.wall, unconfirmed: BTreeSet::new(), absent };
        self.tombstones.note(id, &removal);
        let record = FrameworkRecord { removed: Some(removal), ..record };
        let ticket = self.record_then(RegistryChange::PutFramework(id.clone(), record), then);
        if self.tombstones.all.len() > MAX_REMOVED_FRAMEWORKS
            && let Some((_, oldest)) = self.tombstones.all.first().cloned()
        {
            self.end_removal(&oldest);
        }
        ticket
    }

    /// An agent that came back may have something of a removed framework, and is to confirm that it has not.
    pub(crate) fn expect_confirmation(&mut self, id: &FrameworkId, agent: &AgentId) {
        if self.registry.frameworks.get(id).is_some_and(|record| record.removed.is_some()) {
            self.expect_all(id, [agent.clone()]);
        }
    }

    fn expect_all(&mut self, id: &FrameworkId, agents: impl IntoIterator<Item = AgentId>) {
        let is_new = |agent: &AgentId| self.tombstones.part_of(id, agent).is_none();
        let new: Vec<AgentId> = agents.into_iter().filter(is_new).collect();
        let mut rest = new.as_slice();
        while !rest.is_empty() {
            let (part, mut agents) = self.part_with_room(id);
            let (some, others) = rest.split_at(rest.len().min(MAX_AGENTS_PER_PART - agents.len()));
            some.iter().for_each(|agent| self.tombstones.expect(id, part, agent));
            agents.extend(some.iter().cloned());
            self.record(RegistryChange::PutUnconfirmed(id.clone(), part, agents));
            rest = others;
        }
    }

    /// The last part of a removal when it has room, or the one after it.
    fn part_with_room(&self, id: &FrameworkId) -> (u32, BTreeSet<AgentId>) {
        match self.registry.unconfirmed.get(id).and_then(|parts| parts.last_key_value()) {
            Some((part, agents)) if agents.len() < MAX_AGENTS_PER_PART => (*part, agents.clone()),
            Some((part, _)) => (part.saturating_add(1), BTreeSet::new()),
            None => (0, BTreeSet::new()),
        }
    }

    /// The agent has nothing of a removed framework any more.
    pub(crate) fn confirm_removal(&mut self, id: &FrameworkId, agent: &AgentId) {
        let Some(part) = self.tombstones.part_of(id, agent) else { return };
        self.tombstones.forget(id, agent);
        let parts = self.registry.unconfirmed.get(id);
        let mut agents = parts.and_then(|parts| parts.get(&part)).cloned().unwrap_or_default();
        agents.remove(agent);
        self.record(RegistryChange::PutUnconfirmed(id.clone(), part, agents));
        self.end_removal_if_confirmed(id);
    }

    /// No agent is away any more that was when these frameworks were removed.
    pub(crate) fn end_wait_for_absent(&mut self) {
        while let Some((at, id)) = self.tombstones.unheard.first().cloned() {
            let is_before = |since: Wall| since <= at + CLOCKS_MAY_DIFFER;
            let is_one_away = self.unreachable.first().is_some_and(|(since, _)| is_before(*since));
            if is_one_away || !self.silent.is_empty() {
                return;
            }
            self.tombstones.unheard.pop_first();
            let Some(record) = self.registry.frameworks.get(&id).cloned() else { continue };
            let Some(removal) = record.removed.clone() else { continue };
            match self.registry.unconfirmed.contains_key(&id) {
                true => self.put_removal(&id, record, Removal { absent: false, ..removal }),
                false => self.end_removal(&id),
            }
        }
    }

    fn put_removal(&mut self, id: &FrameworkId, record: FrameworkRecord, removal: Removal) {
        let record = FrameworkRecord { removed: Some(removal), ..record };
        self.record(RegistryChange::PutFramework(id.clone(), record));
    }

    /// Forgets a removed framework of which nobody can have anything any more.
    fn end_removal_if_confirmed(&mut self, id: &FrameworkId) {
        let record = self.registry.frameworks.get(id);
        let removal = record.and_then(|record| record.removed.as_ref());
        if removal.is_some_and(|removal| !removal.absent) && !self.registry.unconfirmed.contains_key(id) {
            self.end_removal(id);
        }
    }

    fn end_removal(&mut self, id: &FrameworkId) {
        let record = self.registry.frameworks.get(id);
        if let Some(at) = record.and_then(|record| record.removed.as_ref()).map(|removal| removal.at) {
            self.tombstones.all.remove(&(at, id.clone()));
            self.tombstones.unheard.remove(&(at, id.clone()));
        }
        self.record(RegistryChange::DeleteFramework(id.clone()));
        self.forget_parts(id);
    }

    fn forget_parts(&mut self, id: &FrameworkId) {
        for (part, agents) in self.registry.unconfirmed.get(id).cloned().unwrap_or_default() {
            agents.iter().for_each(|agent| self.tombstones.forget(id, agent));
            self.record(RegistryChange::PutUnconfirmed(id.clone(), part, BTreeSet::new()));
        }
    }
}
