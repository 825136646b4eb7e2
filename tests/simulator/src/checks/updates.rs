//! I4: updates are written before they are sent, arrive in order and at least once, and end with the end.

use chapada_agent_core::{Record, Update};
use chapada_master_core::SchedulerEvent;
use chapada_model::{Reason, TaskKey, TaskState, TaskStatus, UpdateUuid};

use super::Checks;
use crate::journal::Entry;
use crate::sim::Sim;

impl Sim {
    /// An agent writes something down.
    pub(crate) fn check_record(&mut self, agent: usize, record: &Record) {
        let Record::Update { task, update } = record else { return };
        let said = self.checks.said.entry(task.clone()).or_default();
        if said.last().is_some_and(|(_, state)| state.is_terminal()) {
            self.fail(|| format!("I4: a{agent} says {} of {task}, which has ended", update.state));
        } else {
            said.push((update.uuid, update.state));
            let (task, uuid, state) = (task.clone(), update.uuid, update.state);
            self.enter(|| Entry::Said { agent, task, uuid, state });
        }
    }

    /// What was not synced was never said.
    pub(crate) fn forget_said(&mut self, lost: &[Record]) {
        for record in lost {
            if let Record::Update { update, .. } = record {
                self.enter(|| Entry::Unsaid { uuid: update.uuid });
            }
            if let Record::Update { task, update } = record
                && let Some(said) = self.checks.said.get_mut(task)
            {
                said.retain(|(uuid, _)| *uuid != update.uuid);
            }
        }
    }

    /// An agent sends an update.
    pub(crate) fn check_durable(&mut self, agent: usize, task: &TaskKey, sent: &Update) {
        let is_logged =
            self.checks.said.get(task).is_some_and(|said| said.iter().any(|(uuid, _)| *uuid == sent.uuid));
        let is_this =
            |record: &Record| matches!(record, Record::Update { update, .. } if update.uuid == sent.uuid);
        // Of a framework that is gone an end is said whether it was written down or not.
        let is_owed = is_logged && !self.checks.shut_down.contains(&task.framework);
        if is_owed && !self.agents[agent].disk.durable.iter().rev().any(is_this) {
            self.fail(|| format!("I4: a{agent} sends {} of {task} before it is durable", sent.state));
        }
    }

    /// A framework hears something.
    pub(crate) fn check_event(&mut self, framework: usize, event: &SchedulerEvent) {
        let SchedulerEvent::Update(status) = event else { return };
        let Some(id) = self.frameworks[framework].id.clone() else { return };
        let key = TaskKey { framework: id, task: status.task.clone() };
        self.enter(|| Entry::Heard {
            framework: key.framework.clone(),
            task: key.task.clone(),
            uuid: status.uuid,
            state: status.state,
        });
        let Checks { said, heard, .. } = &mut self.checks;
        let said = said.get(&key).map(Vec::as_slice).unwrap_or_default();
        let heard = heard.entry((framework, status.task.clone())).or_default();
        heard.states.push(status.state);
        heard.agent = status.agent.clone().or(heard.agent.take());
        match status.uuid {
            Some(uuid) => {
                let Some(place) = said.iter().position(|(other, _)| *other == uuid) else { return };
                let known = |uuid: &UpdateUuid| heard.updates.iter().any(|(other, _)| other == uuid);
                let skipped = said[..place].iter().find(|(earlier, _)| !known(earlier)).copied();
                if !known(&uuid) {
                    heard.updates.push((uuid, status.state));
                }
                if status.state.is_terminal() {
                    heard.ended = Some(status.state);
                }
                if let Some((_, state)) = skipped {
                    self.fail(|| format!("I4: f{framework} hears {} of {key} before {state}", status.state));
                }
            }
            None => self.check_own_word(framework, &key, status),
        }
    }

    /// The leader's own word does not raise the dead, and is no later end of what its agent has ended.
    fn check_own_word(&mut self, framework: usize, key: &TaskKey, status: &TaskStatus) {
        let ended = self.checks.heard.get(&(framework, key.task.clone())).and_then(|heard| heard.ended);
        let says_alive = matches!(
            status.state,
            TaskState::Staging | TaskState::Starting | TaskState::Running | TaskState::Killing
        );
        let wire = self.frameworks[framework].wire;
        let master = wire.and_then(|wire| self.network.wires.get(&wire)).map(|wire| wire.master);
        if let (Some(ended), true, true) = (ended, says_alive, master == self.leader()) {
            self.fail(|| format!("I4: f{framework} hears {} of {key}, which is {ended}", status.state));
        }
        let is_of_agent =
            matches!(status.reason, Some(Reason::AgentRemoved | Reason::AgentRemovedByOperator));
        let is_end = is_of_agent && status.state.is_terminal();
        if let (Some(ended), true, true) = (ended, is_end, master == self.leader()) {
            self.fail(|| format!("I4: f{framework} hears {} of {key} after {ended}", status.state));
        }
    }

    /// A master tells an agent that an update need not be repeated.
    pub(crate) fn check_acknowledged(
        &mut self,
        master: usize,
        agent: &chapada_model::AgentId,
        task: &TaskKey,
        uuid: UpdateUuid,
    ) {
        let Some(core) = &self.masters[master].core else { return };
        let books = core.snapshot();
        let is_expected = books.frameworks.contains_key(&task.framework)
            && books.tasks.get(task).is_some_and(|known| known.agent == *agent);
        if is_expected && !self.checks.acknowledged.contains(&uuid) {
            self.fail(|| {
                format!("I4: m{master} acknowledges an update of {task} that its framework has not")
            });
        }
    }

    /// An agent lets go of a task.
    pub(crate) fn check_forgotten(&mut self, agent: usize, task: &TaskKey) {
        if self.checks.shut_down.contains(&task.framework) || self.checks.told_gone.contains(&agent) {
            return;
        }
        let Some(framework) = self.framework_of(&task.framework) else { return };
        let has_heard =
            self.checks.heard.get(&(framework, task.task.clone())).is_some_and(|heard| heard.ended.is_some());
        if !has_heard {
            self.fail(|| format!("I4: a{agent} forgets {task}, and its framework never heard its end"));
        }
    }
}
