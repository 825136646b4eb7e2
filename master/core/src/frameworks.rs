//! How a framework leaves: for a while, or for good.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chapada_model::{AgentId, FrameworkId, Wall};

use crate::recording::Pending;
use crate::timers::Timer;
use crate::{
    AgentCommand, Effect, ErrorCode, FrameworkRecord, FrameworkState, MAX_COMPLETED_FRAMEWORKS,
    MAX_REMOVED_FRAMEWORKS, Master, OperatorEvent, RegistryChange, Removal, SchedulerEvent, StreamId,
    TaskPhase,
};

/// The clocks of two leaders may differ by so much, or one may have jumped.
const CLOCKS_MAY_DIFFER: Duration = Duration::from_secs(24 * 60 * 60);

impl Master {
    pub(crate) fn on_stream_closed(&mut self, stream: &StreamId, id: &FrameworkId) {
        let Some(framework) = self.books.frameworks.get(id) else { return };
        match &framework.state {
            FrameworkState::Active { stream: open } | FrameworkState::Subscribing { stream: open }
                if open == stream =>
            {
                match is_unheard(framework) {
                    true => self.forget_unheard(id),
                    false => self.disconnect_framework(id),
                }
            }
            FrameworkState::Active { .. }
            | FrameworkState::Subscribing { .. }
            | FrameworkState::Disconnected { .. }
            | FrameworkState::Completed { .. } => {}
        }
    }

    /// A framework went before it heard its id: it comes back without one, or with one of its own, as new.
    fn forget_unheard(&mut self, id: &FrameworkId) {
        self.books.frameworks.remove(id);
        self.record(RegistryChange::DeleteFramework(id.clone()));
    }

    /// Removes whoever is away longest of those that hold nothing, when there are too many.
    pub(crate) fn remove_surplus_idle(&mut self) {
        // Whoever has not said what it holds may hold something of any of them.
        while self.idle.len() > self.settings.max_idle_frameworks && self.silent.is_empty() {
            let Some((_, id)) = self.idle.pop_first() else { return };
            if self.agents_of(&id).is_empty() {
                self.remove_framework(&id);
            }
        }
    }

    /// A framework that was away since then is back, or gone for good.
    pub(crate) fn note_no_longer_idle(&mut self, id: &FrameworkId, since: Option<Wall>) {
        if let Some(since) = since {
            self.idle.remove(&(since, id.clone()));
        }
    }

    fn disconnect_framework(&mut self, id: &FrameworkId) {
        self.discard_offers(id);
        self.patience.forget_subscription(id);
        self.allocator.deactivate_framework(id);
        self.books.why.remove(id);
        let now = self.now;
        let Some(framework) = self.framework_mut(id) else { return };
        let until = now.mono + framework.description.failover_timeout;
        framework.state = FrameworkState::Disconnected { until };
        framework.disconnected = Some(now.wall);
        let record = Self::framework_record(framework);
        let shared = Arc::new(framework.clone());
        self.timers.set(until, Timer::Framework(id.clone()));
        self.record(RegistryChange::PutFramework(id.clone(), record));
        self.tell_operators(OperatorEvent::FrameworkUpdated(shared));
        if self.agents_of(id).is_empty() {
            self.idle.insert((now.wall, id.clone()));
        }
    }

    /// Takes all offers of a framework back without a word.
    pub(crate) fn discard_offers(&mut self, id: &FrameworkId) {
        self.early_kills.forget(id);
        for offer in self.index.offers_by_framework.of(id) {
            self.discard(&offer);
        }
        self.discard_inverse_offers(id);
    }

    /// An operator removes a framework, which is told.
    pub(crate) fn teardown(&mut self, id: &FrameworkId) {
        if !self.books.frameworks.contains_key(id) {
            return self.drop_with(|| format!("a teardown of framework {id}, which is unknown"));
        }
        let (code, message) = (ErrorCode::FrameworkRemoved, "Framework has been removed".into());
        self.tell_framework(id, SchedulerEvent::Error { code, message });
        self.remove_framework(id);
    }

    /// Removes a framework. Its tasks are told to end, and hold their resources until their agents say that they have.
    pub(crate) fn remove_framework(&mut self, id: &FrameworkId) {
        self.discard_offers(id);
        let Some(framework) = self.books.frameworks.remove(id) else { return };
        if let FrameworkState::Disconnected { until } = framework.state {
            self.timers.clear(until, Timer::Framework(id.clone()));
        }
        self.note_no_longer_idle(id, framework.disconnected);
        match &framework.state {
            FrameworkState::Active { stream } => {
                self.effects.push(Effect::CloseStream { stream: stream.clone() });
            }
            FrameworkState::Subscribing { stream } => {
                let (code, message) = (ErrorCode::FrameworkRemoved, "Framework has been removed".into());
                self.effects.push(Effect::RefuseStream { stream: stream.clone(), code, message });
            }
            FrameworkState::Disconnected { .. } | FrameworkState::Completed { .. } => {}
        }
        self.allocator.remove_framework(id);
        self.patience.forget(id);
        self.forget_inverse_offers(id);
        self.books.why.remove(id);
        let then = Pending::Remove { framework: id.clone(), agents: self.agents_with_anything_of(id) };
        let unconfirmed = self.shut_down_framework(id);
        self.record_removal(id, Self::framework_record(&framework), unconfirmed, then);
        let mut removed = (*framework).clone();
        removed.state = FrameworkState::Completed { at: self.now.wall };
        let removed = Arc::new(removed);
        self.books.completed_frameworks.push_back(removed.clone());
        if self.books.completed_frameworks.len() > MAX_COMPLETED_FRAMEWORKS
            && let Some(oldest) = self.books.completed_frameworks.pop_front()
        {
            self.books.completed_tasks.remove(&oldest.id);
        }
        self.abandon_operations(id);
        self.tell_operators(OperatorEvent::FrameworkRemoved(removed));
    }

    /// That a framework is removed is durable: all agents that run something for it are told to end it. Not before, for a leader that
    /// was deposed would end what its successor keeps.
    pub(crate) fn on_removal_recorded(&mut self, id: &FrameworkId, agents: BTreeSet<AgentId>) {
        for agent in agents {
            self.tell_agent(&agent, AgentCommand::ShutdownFramework { framework: id.clone() });
        }
    }

    /// Whether the removal of a framework is on its way into the registry.
    pub(crate) fn is_removal_pending(&self, id: &FrameworkId) -> bool {
        self.pending
            .values()
            .any(|pending| matches!(pending, Pending::Remove { framework, .. } if framework == id))
    }

    /// Those that must confirm that they have nothing of a framework any more. What has ended is complete.
    fn shut_down_framework(&mut self, id: &FrameworkId) -> BTreeSet<AgentId> {
        let mut unconfirmed = self.agents_of(id);
        let ended = self.books.tasks_of(id).filter(|task| !task.is_live());
        for key in ended.map(|task| task.key()).collect::<Vec<_>>() {
            self.complete_task(&key);
        }
        // Whoever has not said what it holds may hold something of this framework.
        unconfirmed.extend(self.silent.keys().cloned());
        unconfirmed
    }

    fn record_removal(
        &mut self,
        id: &FrameworkId,
        record: FrameworkRecord,
        unconfirmed: BTreeSet<AgentId>,
        then: Pending,
    ) {
        // A former leader may have given them up, and then nobody knows what they run.
        let absent = !self.unreachable.is_empty();
        if unconfirmed.is_empty() && !absent {
            self.record_then(RegistryChange::DeleteFramework(id.clone()), then);
            return;
        }
        let at = self.now.wall;
        let record = FrameworkRecord { removed: Some(Removal { at, unconfirmed, absent }), ..record };
        self.record_then(RegistryChange::PutFramework(id.clone(), record), then);
        self.removed.insert((at, id.clone()));
        if absent {
            self.removed_unheard.insert((at, id.clone()));
        }
        if self.removed.len() > MAX_REMOVED_FRAMEWORKS
            && let Some(oldest) = self.removed.pop_first()
        {
            self.removed_unheard.remove(&oldest);
            self.record(RegistryChange::DeleteFramework(oldest.1));
        }
    }

    /// An agent that came back may have something of a removed framework, and is to confirm that it has not.
    pub(crate) fn expect_confirmation(&mut self, id: &FrameworkId, agent: &AgentId) {
        let Some(record) = self.registry.frameworks.get(id) else { return };
        let Some(mut removal) = record.removed.clone() else { return };
        if removal.unconfirmed.insert(agent.clone()) {
            self.put_removal(id, record.clone(), removal);
        }
    }

    /// No agent is away any more that was when these frameworks were removed.
    pub(crate) fn end_wait_for_absent(&mut self) {
        while let Some((at, id)) = self.removed_unheard.first().cloned() {
            let is_before = |since: Wall| since <= at + CLOCKS_MAY_DIFFER;
            let is_one_away = self.unreachable.first().is_some_and(|(since, _)| is_before(*since));
            if is_one_away || !self.silent.is_empty() {
                return;
            }
            self.removed_unheard.pop_first();
            let Some(record) = self.registry.frameworks.get(&id).cloned() else { continue };
            if let Some(removal) = record.removed.clone() {
                self.put_removal(&id, record, Removal { absent: false, ..removal });
            }
        }
    }

    /// Writes down how far a removal is; nothing when nobody has anything of the framework any more.
    fn put_removal(&mut self, id: &FrameworkId, record: FrameworkRecord, removal: Removal) {
        match removal.unconfirmed.is_empty() && !removal.absent {
            true => {
                self.removed.remove(&(removal.at, id.clone()));
                self.record(RegistryChange::DeleteFramework(id.clone()));
            }
            false => {
                let record = FrameworkRecord { removed: Some(removal), ..record };
                self.record(RegistryChange::PutFramework(id.clone(), record));
            }
        }
    }

    /// The agent has nothing of a removed framework any more.
    pub(crate) fn confirm_removal(&mut self, id: &FrameworkId, agent: &AgentId) {
        let Some(record) = self.registry.frameworks.get(id) else { return };
        let Some(removal) = record.removed.as_ref().filter(|removal| removal.unconfirmed.contains(agent))
        else {
            return;
        };
        let mut removal = removal.clone();
        removal.unconfirmed.remove(agent);
        self.put_removal(id, record.clone(), removal);
    }

    /// The agents that run, or may still run, something for a framework.
    pub(crate) fn agents_of(&self, id: &FrameworkId) -> BTreeSet<AgentId> {
        let tasks = self.books.tasks_of(id);
        let unfinished = tasks.filter(|task| matches!(task.phase, TaskPhase::Live | TaskPhase::Unreachable));
        let executors = self.index.executors_by_framework.iter(id).cloned();
        unfinished.map(|task| task.agent.clone()).chain(executors).collect()
    }

    /// All agents that have a task of a framework, ended but unacknowledged ones included.
    fn agents_with_anything_of(&self, id: &FrameworkId) -> BTreeSet<AgentId> {
        let tasks = self.books.tasks_of(id);
        let executors = self.index.executors_by_framework.iter(id).cloned();
        tasks.map(|task| task.agent.clone()).chain(executors).collect()
    }

    /// Sends a command to all of these that are connected.
    pub(crate) fn tell_agents_of(&mut self, id: &FrameworkId, command: &AgentCommand) {
        for agent in self.agents_with_anything_of(id) {
            self.tell_agent(&agent, command.clone());
        }
    }
}

/// Whether it was never told that it is subscribed.
fn is_unheard(framework: &crate::Framework) -> bool {
    let is_first =
        framework.reregistered.is_none() && framework.disconnected.is_none() && !framework.recovered;
    is_first && matches!(framework.state, FrameworkState::Subscribing { .. })
}
