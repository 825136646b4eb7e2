//! What is left on a draining agent is killed, no later than the operator allows.

use std::time::Duration;

use chapada_model::{AgentId, ExecutorKey, KillPolicy, Reason, TaskKey, TaskState, TaskStatus};

use super::KilledBefore;
use crate::{AgentCommand, AgentRecord, Drain, Master, RegistryChange};

/// What a task gets from the kill to its end when nobody says otherwise. Source: Mesos' command executor.
const OWN_GRACE: Duration = Duration::from_secs(3);

impl Master {
    /// Frameworks had their time.
    pub(crate) fn on_notice_over(&mut self, id: &AgentId) {
        let Some(draining) = self.draining.get_mut(id) else { return };
        draining.kills_at = None;
        self.note_notice_over(id);
        self.kill_for_drain(id);
    }

    /// The next leader kills at once, whatever its clock says.
    fn note_notice_over(&mut self, id: &AgentId) {
        let is_of = self.draining.get(id).map(|draining| draining.is_of);
        let Some(record) = self.registry.agents.get(id).cloned() else { return };
        // Unless an operator's word that it ends, or begins anew, is on its way into the registry.
        let known = record.drain.clone().filter(|drain| !drain.is_drained && Some(drain.name()) == is_of);
        let Some(known) = known else { return };
        let drain = Some(Drain { is_notice_over: true, ..known });
        if let Some(agent) = self.agent_mut(id) {
            agent.drain.clone_from(&drain);
        }
        self.record(RegistryChange::PutAgent(id.clone(), AgentRecord { drain, ..record }));
    }

    /// Whether what is on the agent is to end now.
    pub(crate) fn is_killing(&self, id: &AgentId) -> bool {
        self.draining.get(id).is_some_and(|draining| draining.kills_at.is_none())
    }

    /// Has all tasks of a draining agent killed, also those that were told to end before and may take longer than is allowed now.
    pub(crate) fn kill_for_drain(&mut self, id: &AgentId) {
        for key in self.index.tasks_by_agent.of(id) {
            let Some(task) = self.task_mut(&key).filter(|task| task.is_live()) else { continue };
            let (asked, is_killed) = (task.kill_policy, task.killed);
            task.killed = true;
            let policy = self.capped(id, &key, asked);
            if let Some(task) = self.task_mut(&key).filter(|_| !is_killed || policy.is_some()) {
                task.kill_policy = policy;
            }
            let TaskKey { framework, task } = key;
            self.tell_agent(id, AgentCommand::Kill { framework, task, policy });
        }
        self.end_idle_executors(id);
    }

    /// How gently a task of the agent is killed: as it was asked for, or as the operator who drains the agent allows.
    pub(crate) fn capped(
        &self,
        agent: &AgentId,
        key: &TaskKey,
        asked: Option<KillPolicy>,
    ) -> Option<KillPolicy> {
        let drain = self.books.agents.get(agent).and_then(|agent| agent.drain.as_ref());
        let Some(most) = drain.filter(|_| self.is_killing(agent)).and_then(|drain| drain.order.max_grace)
        else {
            return asked;
        };
        let own = self.books.tasks.get(key).and_then(|task| task.description.kill_policy);
        let grace = asked.or(own).and_then(|policy| policy.grace_period).unwrap_or(OWN_GRACE);
        match grace > most {
            true => Some(KillPolicy { grace_period: Some(most) }),
            false => asked,
        }
    }

    /// Executors of frameworks' own would wait for the next task.
    pub(super) fn end_idle_executors(&mut self, id: &AgentId) {
        let Some(agent) = self.books.agents.get(id).filter(|agent| !agent.executors.is_empty()) else {
            return;
        };
        let is_busy = |executor: &ExecutorKey| {
            self.index.tasks_by_agent.iter(id).filter_map(|key| self.books.tasks.get(key)).any(|task| {
                task.is_live()
                    && task.framework == executor.framework
                    && task.executor.as_ref() == Some(&executor.executor)
            })
        };
        let idle: Vec<ExecutorKey> = agent.executors.keys().filter(|key| !is_busy(key)).cloned().collect();
        for ExecutorKey { framework, executor } in idle {
            self.tell_agent(id, AgentCommand::ShutdownExecutor { framework, executor });
        }
    }

    /// A task that ends because its agent is drained says so: by its reason, and by its state when the agent will be gone. What
    /// was said of it once stays so. Source: Mesos' agents say it themselves.
    pub(crate) fn say_drained(&self, agent: &AgentId, key: &TaskKey, status: TaskStatus) -> TaskStatus {
        let drain = self.books.agents.get(agent).and_then(|agent| agent.drain.as_ref());
        let Some(drain) = drain.filter(|_| self.draining.contains_key(agent)) else { return status };
        if !matches!(status.state, TaskState::Killing | TaskState::Killed) {
            return status;
        }
        match self.said(key, &status) {
            Some(said) => TaskStatus { state: said.state, reason: said.reason, ..status },
            None if !self.is_killing(agent) => status,
            None => TaskStatus {
                state: self.drained_state(drain, key, status.state),
                reason: status.reason.or(Some(Reason::AgentDraining)),
                ..status
            },
        }
    }

    /// The same for what an agent states when it comes back: a former leader has said it so, or would have if its framework had been
    /// there. By the agent's clock what ended before the drain began to kill ended otherwise, and stays as it is; what ended before
    /// it was ordered anew ended as it was ordered then.
    pub(crate) fn held_drained(&self, agent: &AgentId, key: &TaskKey, status: TaskStatus) -> TaskStatus {
        let drain = self.books.agents.get(agent).and_then(|agent| agent.drain.as_ref());
        let Some(drain) = drain.filter(|_| self.draining.contains_key(agent)) else { return status };
        if let Some(said) = self.said(key, &status) {
            return TaskStatus { state: said.state, reason: said.reason, ..status };
        }
        let mark_gone = drain.mark_gone_at(status.timestamp, self.is_killing(agent));
        let is_end = matches!(status.state, TaskState::Killing | TaskState::Killed);
        let Some(mark_gone) = mark_gone.filter(|_| is_end) else { return status };
        let state = match status.state {
            TaskState::Killed if self.is_gone_by_operator(mark_gone, key) => TaskState::GoneByOperator,
            state => state,
        };
        TaskStatus { state, reason: status.reason.or(Some(Reason::AgentDraining)), ..status }
    }

    /// When the drain that is renewed has killed, until now. It is one time with that before it when nothing lies between them.
    pub(super) fn killed_until_now(&self, id: &AgentId, former: &Drain) -> Option<KilledBefore> {
        let draining = self.draining.get(id).filter(|draining| draining.is_of == former.name());
        if former.is_drained || draining.is_none_or(|draining| draining.kills_at.is_some()) {
            return former.killed_before.filter(|_| !former.is_drained);
        }
        let (mark_gone, from) = (former.order.mark_gone, former.kills_from());
        let before = former.killed_before.filter(|one| one.until == from && one.mark_gone == mark_gone);
        let from = before.map_or(from, |before| before.from);
        Some(KilledBefore { from, until: self.now.wall, mark_gone })
    }

    /// What this leader has said of a task by this update.
    fn said(&self, key: &TaskKey, status: &TaskStatus) -> Option<&TaskStatus> {
        let task = self.books.tasks.get(key)?;
        let said = task.statuses.iter().find(|said| said.uuid.is_some() && said.uuid == status.uuid)?;
        Some(said)
    }

    /// What the state of such a task is.
    pub(crate) fn drained_state(&self, drain: &Drain, key: &TaskKey, state: TaskState) -> TaskState {
        let is_live = self.books.tasks.get(key).is_some_and(|task| task.is_live());
        match state {
            TaskState::Killed if is_live && self.is_gone_by_operator(drain.order.mark_gone, key) => {
                TaskState::GoneByOperator
            }
            state => state,
        }
    }

    /// Whether a task that the drain kills is gone by an operator's word, and its framework knows that state.
    fn is_gone_by_operator(&self, mark_gone: bool, key: &TaskKey) -> bool {
        let framework = self.books.frameworks.get(&key.framework);
        mark_gone && framework.is_some_and(|known| known.description.is_partition_aware())
    }
}
