//! How a framework leaves: for a while, or for good.

use std::collections::BTreeSet;
use std::sync::Arc;

use chapada_model::{AgentId, FrameworkId, Wall};

use crate::pending::Pending;
use crate::timers::Timer;
use crate::{
    AgentCommand, Effect, ErrorCode, FrameworkState, MAX_COMPLETED_FRAMEWORKS, Master, OperatorEvent,
    RegistryChange, SchedulerEvent, StreamId, TaskPhase, Ticket,
};

impl Master {
    pub(crate) fn on_stream_closed(&mut self, stream: &StreamId, id: &FrameworkId) {
        let Some(framework) = self.books.frameworks.get(id) else { return self.say_no_farewell(stream) };
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

    /// Who is being removed went before that was durable.
    fn say_no_farewell(&mut self, closed: &StreamId) {
        self.pending.retain_in_farewells(|effect| match effect {
            Effect::ToFramework { stream, .. }
            | Effect::CloseStream { stream }
            | Effect::RefuseStream { stream, .. } => stream != closed,
            _ => true,
        });
    }

    /// A framework went before it heard its id: it comes back without one, or with one of its own, as new.
    fn forget_unheard(&mut self, id: &FrameworkId) {
        self.books.frameworks.remove(id);
        self.own_ends.forget(id);
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
        self.own_ends.doubt(id, self.now.mono);
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

    /// An operator removes a framework, which is told; the ticket of that, unless nobody knows the framework.
    pub(crate) fn teardown(&mut self, id: &FrameworkId) -> Option<Ticket> {
        let Some(framework) = self.books.frameworks.get(id) else {
            self.drop_with(|| format!("a teardown of framework {id}, which is unknown"));
            return None;
        };
        let stream = framework.stream().cloned();
        let ticket = self.remove_framework(id);
        let removal = ticket.and_then(|ticket| self.pending.removal(ticket));
        if let (Some(stream), Some((_, farewell))) = (stream, removal) {
            let (code, message) = (ErrorCode::FrameworkRemoved, "Framework has been removed".into());
            let event = SchedulerEvent::Error { code, message };
            farewell.insert(0, Effect::ToFramework { framework: id.clone(), stream, event });
        }
        ticket
    }

    /// Removes a framework; the ticket of that, unless nobody knows it. Its tasks hold their resources until their agents say that they
    /// have ended. Nobody is told before it is durable: a leader that was deposed would end what its successor keeps.
    pub(crate) fn remove_framework(&mut self, id: &FrameworkId) -> Option<Ticket> {
        self.discard_offers(id);
        self.late_kills.forget(id);
        self.own_ends.forget(id);
        let framework = self.books.frameworks.remove(id)?;
        if let FrameworkState::Disconnected { until } = framework.state {
            self.timers.clear(until, Timer::Framework(id.clone()));
        }
        self.note_no_longer_idle(id, framework.disconnected);
        let farewell = match &framework.state {
            FrameworkState::Active { stream } => vec![Effect::CloseStream { stream: stream.clone() }],
            FrameworkState::Subscribing { stream } => vec![refuse_removed(stream.clone())],
            FrameworkState::Disconnected { .. } | FrameworkState::Completed { .. } => Vec::new(),
        };
        self.allocator.remove_framework(id);
        self.patience.forget(id);
        self.forget_inverse_offers(id);
        self.books.why.remove(id);
        let agents = self.agents_with_anything_of(id);
        let then = Pending::Remove { framework: id.clone(), agents, farewell };
        let unconfirmed = self.shut_down_framework(id);
        let ticket = self.record_removal(id, Self::framework_record(&framework), unconfirmed, then);
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
        Some(ticket)
    }

    /// That a framework is removed is durable: it is told, and all agents that run something for it are to end that.
    pub(crate) fn on_removal_recorded(
        &mut self,
        id: &FrameworkId,
        agents: BTreeSet<AgentId>,
        farewell: Vec<Effect>,
    ) {
        self.effects.extend(farewell);
        for agent in agents {
            self.tell_agent(&agent, AgentCommand::ShutdownFramework { framework: id.clone() });
        }
    }

    /// Has an agent that comes while the removal of a framework is on its way into the registry told to end it once that is durable;
    /// false when none is on its way.
    pub(crate) fn is_told_once_removed(&mut self, id: &FrameworkId, agent: &AgentId) -> bool {
        self.pending.removal_of(id).map(|(agents, _)| agents.insert(agent.clone())).is_some()
    }

    /// Whether the removal of a framework is on its way into the registry.
    pub(crate) fn is_removal_pending(&self, id: &FrameworkId) -> bool {
        self.pending.has_removal_of(id)
    }

    /// Refuses who comes by the name of a framework that is removed, once that is durable.
    pub(crate) fn refuse_as_removed(&mut self, id: &FrameworkId, stream: StreamId) {
        let refusal = refuse_removed(stream);
        match self.pending.removal_of(id) {
            Some((_, farewell)) => farewell.push(refusal),
            None => self.effects.push(refusal),
        }
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

fn refuse_removed(stream: StreamId) -> Effect {
    Effect::RefuseStream {
        stream,
        code: ErrorCode::FrameworkRemoved,
        message: "Framework has been removed".into(),
    }
}

/// Whether it was never told that it is subscribed.
fn is_unheard(framework: &crate::Framework) -> bool {
    let is_first =
        framework.reregistered.is_none() && framework.disconnected.is_none() && !framework.recovered;
    is_first && matches!(framework.state, FrameworkState::Subscribing { .. })
}
