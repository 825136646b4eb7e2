//! LAUNCH_GROUP: tasks that start together or not at all. Source: Mesos' task group validation.

use std::sync::Arc;

use chapada_model::{
    ExecutorDescription, ExecutorKind, Milli, Reason, Resources, TaskDescription, TaskState,
};

use crate::accept::Hand;
use crate::{AgentCommand, Master, Proposal, TaskGroup};

/// The least that the executor of a group needs. Source: Mesos.
const MIN_CPUS: Milli = Milli(10);
const MIN_MEM: Milli = Milli(32_000);

impl Master {
    /// Starts a group, or tells each of its tasks what is wrong with the whole; true when it has used the offers.
    pub(crate) fn launch_group(&mut self, hand: &mut Hand, group: TaskGroup) -> bool {
        let is_used = !group.tasks.is_empty();
        match self.check_group(hand, &group) {
            Ok(()) => self.start_group(hand, group),
            Err(problem) => {
                let (framework, state) = (hand.framework.clone(), TaskState::Error);
                for task in &group.tasks {
                    self.refuse_task(&framework, task, state, Reason::TaskGroupInvalid, &problem);
                }
            }
        }
        is_used
    }

    /// The group fits: its tasks are in the books and on their way, together.
    fn start_group(&mut self, hand: &mut Hand, group: TaskGroup) {
        let Some(executor) = group.executor.filter(|_| !group.tasks.is_empty()) else { return };
        let is_first = self.start_executor(hand, &executor);
        let mut tasks = Vec::with_capacity(group.tasks.len());
        for proposal in group.tasks {
            if let Proposal::Valid(task) = proposal {
                let task = TaskDescription { executor: Some((*executor).clone()), ..*task };
                tasks.push(self.place(hand, task));
            }
        }
        if let Some(framework) = self.books.frameworks.get(&hand.framework) {
            let (framework, role) = (framework.description.clone(), hand.role.clone());
            let executor = Arc::new(*executor);
            let launch = AgentCommand::LaunchGroup { framework, executor, tasks, role, is_first };
            self.tell_agent(&hand.agent, launch);
        }
    }

    fn check_group(&self, hand: &Hand, group: &TaskGroup) -> Result<(), String> {
        if let Some(problem) = &group.problem {
            return Err(problem.to_string());
        }
        let executor = group.executor.as_ref().ok_or("'launch_group.executor' must be set")?;
        self.check_group_executor(hand, executor)?;
        let key =
            chapada_model::ExecutorKey { framework: hand.framework.clone(), executor: executor.id.clone() };
        let runs = self.books.agents.get(&hand.agent).is_some_and(|agent| agent.executors.contains_key(&key));
        let mut needed = if runs { Resources::EMPTY } else { executor.resources.unallocated() };
        let mut seen = std::collections::BTreeSet::new();
        for proposal in &group.tasks {
            let task = match proposal {
                Proposal::Valid(task) => task,
                Proposal::Malformed(task) => return Err(task.message.to_string()),
            };
            let wrong = |problem: String| format!("Task '{}' is invalid: {problem}", task.id);
            self.check_group_task(hand, executor, task).map_err(wrong)?;
            if !seen.insert(&task.id) {
                return Err(wrong("its ID is there twice".to_owned()));
            }
            // What is shared is there for each of them, and for one task once.
            let own = task.resources.unallocated();
            if !hand.left.contains(&own) {
                return Err(wrong(format!("it needs {own} of what is left, {}", hand.left)));
            }
            let added = needed.add(&own.unshared()).and_then(|()| needed.share(&own));
            added.map_err(|error| wrong(error.to_string()))?;
        }
        match hand.left.contains(&needed) {
            true => Ok(()),
            false => Err(format!(
                "Total resources {} required by the task group and its executor is more than available {}",
                needed.allocated_to(&hand.role),
                hand.left.allocated_to(&hand.role)
            )),
        }
    }

    fn check_group_executor(&self, hand: &Hand, executor: &ExecutorDescription) -> Result<(), String> {
        match executor.kind {
            ExecutorKind::Unknown => {
                return Err("'ExecutorInfo.type' must be set for a task group".to_owned());
            }
            ExecutorKind::Default if executor.has_command => {
                return Err("'ExecutorInfo.command' must not be set for 'DEFAULT' executor".to_owned());
            }
            ExecutorKind::Custom if !executor.has_command => {
                return Err("'ExecutorInfo.command' must be set for 'CUSTOM' executor".to_owned());
            }
            ExecutorKind::Default | ExecutorKind::Custom => {}
        }
        let resources = &executor.resources;
        if resources.cpus() < MIN_CPUS {
            return Err(format!("Executor's cpus {} is less than the minimum {MIN_CPUS}", resources.cpus()));
        }
        if resources.mem() < MIN_MEM {
            return Err(format!("Executor's mem {} is less than the minimum {MIN_MEM} MB", resources.mem()));
        }
        if resources.disk().is_zero() {
            return Err("Executor's disk is not set".to_owned());
        }
        self.check_executor_fits_in(hand, executor)
    }

    fn check_group_task(
        &self,
        hand: &Hand,
        executor: &ExecutorDescription,
        task: &TaskDescription,
    ) -> Result<(), String> {
        if task.executor.as_ref().is_some_and(|own| own.id != executor.id) {
            return Err("all tasks of a task group must have the group's executor".to_owned());
        }
        self.check_plain(hand, task)
    }
}
