//! Groups start together and, under the built-in executor, fail together.

use std::sync::Arc;

use chapada_agent_core::{Effect, Runner, TaskRecord};
use chapada_master_core::{Call, Operation, Proposal};
use chapada_model::{TaskId, TaskKey, TaskState};

use super::Checks;
use crate::sim::Sim;
use crate::tally::Met;

impl Checks {
    /// The groups of a call, each by its first task.
    pub(super) fn note_groups(&mut self, framework: &chapada_model::FrameworkId, call: &Call) {
        let Call::Accept(accept) = call else { return };
        for operation in &accept.operations {
            let Operation::LaunchGroup(group) = operation else { continue };
            let ids = group.tasks.iter().filter_map(|task| match task {
                Proposal::Valid(task) => Some(task.id.clone()),
                Proposal::Malformed(_) => None,
            });
            let tasks: Vec<TaskKey> =
                ids.map(|task| TaskKey { framework: framework.clone(), task }).collect();
            if let Some(first) = tasks.first() {
                self.groups.insert(first.clone(), tasks);
            }
        }
    }
}

impl Sim {
    /// An executor of a framework's own is given a group.
    pub(crate) fn check_group(&mut self, agent: usize, tasks: &[Arc<TaskRecord>]) {
        self.check_whole(agent, tasks.iter().map(Arc::as_ref));
    }

    /// An agent launches tasks of pods: of each group all or none.
    pub(crate) fn check_pods(&mut self, agent: usize, effects: &[Effect]) {
        let launches = effects.iter().filter_map(|effect| match effect {
            Effect::Launch { task, pod: Some(_), .. } => Some(task.as_ref()),
            _ => None,
        });
        self.check_whole(agent, launches);
    }

    fn check_whole<'a>(&mut self, agent: usize, tasks: impl Iterator<Item = &'a TaskRecord>) {
        let mut tasks: Vec<&TaskRecord> = tasks.collect();
        while let Some(group) = tasks.first().and_then(|task| group_of(task)) {
            let (members, others): (Vec<_>, Vec<_>) =
                tasks.into_iter().partition(|task| group_of(task).as_ref() == Some(&group));
            tasks = others;
            self.tally.met(Met::GroupStarted);
            let asked = self.checks.groups.get(&group).map_or(&[][..], Vec::as_slice);
            if members.len() != asked.len() || !members.iter().all(|task| asked.contains(&task.key)) {
                let (members, asked) = (members.len(), asked.len());
                self.fail(|| format!("a{agent} starts {members} of {asked} tasks of group {group}"));
            }
        }
    }

    /// Of a group of which a task has failed nothing runs.
    pub(super) fn unsettled_groups(&self, found: &mut Vec<String>) {
        if self.checks.groups.is_empty() {
            return;
        }
        let failed = |key: &TaskKey| {
            let said = self.checks.said.get(key).and_then(|said| said.last());
            said.is_some_and(|(_, state)| state.is_terminal() && *state != TaskState::Finished)
        };
        let all = self.agents.iter().flat_map(|agent| agent.kernel.containers.values());
        let live = all.filter(|found| found.is_live()).flat_map(|found| found.tasks());
        for task in live.filter(|task| matches!(task.runner, Runner::Pod { .. })) {
            let group = group_of(task).and_then(|group| self.checks.groups.get(&group));
            if let Some(other) = group.into_iter().flatten().find(|other| failed(other)) {
                found.push(format!("{} runs, and {other} of its group has failed", task.key));
            }
        }
    }
}

fn group_of(task: &TaskRecord) -> Option<TaskKey> {
    let first: &TaskId = match &task.runner {
        Runner::Pod { group, .. } | Runner::Custom { group: Some(group), .. } => group,
        Runner::Command | Runner::Custom { group: None, .. } => return None,
    };
    Some(TaskKey { framework: task.key.framework.clone(), task: first.clone() })
}
