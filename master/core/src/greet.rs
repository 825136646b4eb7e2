//! What a registered agent is told, and what it must still end.

use std::collections::BTreeSet;
use std::sync::Arc;

use chapada_model::{AgentId, FrameworkId, TaskKey};

use crate::{AgentCommand, Effect, LinkId, Master, OperatorEvent, TaskPhase};

impl Master {
    /// Tells the agent that it is registered, and everyone what that means.
    pub(crate) fn greet(&mut self, id: &AgentId, link: LinkId, returned: Vec<TaskKey>) {
        let now = self.now.wall;
        if let Some(agent) = self.agent_mut(id) {
            let is_new = std::mem::take(&mut agent.is_new);
            agent.reregistered = (!is_new).then_some(now);
            let shared = Arc::new(agent.clone());
            match is_new {
                true => self.books.counters.agent_registrations += 1,
                false => self.books.counters.agent_reregistrations += 1,
            }
            self.tell_operators(OperatorEvent::AgentAdded(shared));
        }
        let welcome = AgentCommand::Welcome { agent: id.clone(), completed: self.completed_wanted(id) };
        self.effects.push(Effect::ToAgent { link, agent: Some(id.clone()), command: welcome });
        if let Some(drain) = self.books.agents.get(id).and_then(|agent| agent.drain.clone()) {
            self.tell_agent(id, AgentCommand::Drain { drain: Some(drain) });
        }
        for key in returned {
            self.tell_returned(&key);
        }
        self.end_what_should_not_be(id);
        if self.is_killing(id) {
            self.kill_for_drain(id);
        }
        self.note_emptier(id);
    }

    /// Ends on a returned agent what was to end while it was away.
    fn end_what_should_not_be(&mut self, id: &AgentId) {
        let strays = self.books.agents.get(id).map(|agent| agent.strays.keys().cloned().collect::<Vec<_>>());
        let mut shut_down = BTreeSet::new();
        for key in self.index.tasks_by_agent.of(id) {
            let Some(task) = self.books.tasks.get(&key) else { continue };
            let (killed, policy, over) = (task.killed, task.kill_policy, task.phase == TaskPhase::Ended);
            if !self.books.frameworks.contains_key(&key.framework) {
                shut_down.insert(key.framework.clone());
                if over {
                    self.complete_task(&key);
                }
            } else if killed && !over && !self.is_killing(id) {
                let (framework, task) = (key.framework, key.task);
                self.tell_agent(id, AgentCommand::Kill { framework, task, policy });
            }
        }
        // An executor without a task is of a framework that is gone as well.
        let executors = self.books.agents.get(id).into_iter().flat_map(|agent| agent.executors.keys());
        let unowned = executors.filter(|key| !self.books.frameworks.contains_key(&key.framework));
        shut_down.extend(unowned.map(|key| key.framework.clone()));
        for key in strays.unwrap_or_default() {
            self.tell_agent(
                id,
                AgentCommand::Kill { framework: key.framework, task: key.task, policy: None },
            );
        }
        shut_down.extend(self.tombstones.of_agent(id));
        for framework in shut_down {
            self.expect_confirmation(&framework, id);
            if !self.is_told_once_removed(&framework, id) {
                self.tell_agent(id, AgentCommand::ShutdownFramework { framework: framework.clone() });
            }
            self.confirm_if_done(&framework, id);
        }
    }

    /// A removal is confirmed by an agent on which nothing of the framework holds resources.
    pub(crate) fn confirm_if_done(&mut self, framework: &FrameworkId, agent: &AgentId) {
        let is_live = |key: &TaskKey| self.books.tasks.get(key).is_some_and(|task| task.is_live());
        let holds_task =
            self.index.tasks_by_agent.iter(agent).any(|key| key.framework == *framework && is_live(key));
        let holds_executor = self.index.executors_by_framework.iter(framework).any(|other| other == agent);
        if !holds_task && !holds_executor {
            self.confirm_removal(framework, agent);
        }
    }
}
