//! Containers that took more of something than they may: they end at once, and their tasks fail with the figure.

use chapada_model::{ContainerId, ExecutorKey, Now, Reason, Resources, TaskKey};

use crate::agent::{Agent, Tenant};
use crate::effect::Signal;
use crate::executor::{ExecutorPhase, GivenUp};
use crate::outcome::Statement;
use crate::phase::TaskPhase;

/// What a container took too much of.
#[derive(Clone, Debug, PartialEq)]
pub struct Limitation {
    /// One of `REASON_CONTAINER_LIMITATION…`.
    pub reason: Reason,
    /// Names what it took and what it may take, for people.
    pub message: String,
    /// What it took, as a resource.
    pub resources: Resources,
}

impl Agent {
    /// Ends a container, or all of a pod, for what it took. A second limit, and a container that is over, change nothing.
    pub(crate) fn on_limited(&mut self, now: Now, container: &ContainerId, limitation: &Limitation) {
        match self.containers.get(container).cloned() {
            Some(Tenant::Task(key)) => self.limit_task(now, &key, limitation),
            Some(Tenant::Executor(key)) => self.limit_executor(now, &key, limitation),
            None => self.limit_pod(now, container, limitation),
        }
    }

    fn limit_task(&mut self, now: Now, key: &TaskKey, limitation: &Limitation) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        match task.phase {
            TaskPhase::Running { .. } | TaskPhase::Launching { kill: None } => {
                task.limitation.get_or_insert_with(|| limitation.clone());
            }
            // Somebody has asked for its end already, and that is what is said.
            TaskPhase::Killing { .. } | TaskPhase::Launching { kill: Some(_) } => {}
            TaskPhase::Recovering { .. } | TaskPhase::Delegated { .. } | TaskPhase::Ended(_) => return,
        }
        self.force(now, key);
    }

    fn limit_executor(&mut self, now: Now, key: &ExecutorKey, limitation: &Limitation) {
        let Some(executor) = self.executors.get_mut(key) else { return };
        let container = executor.record.container.clone();
        match executor.phase {
            ExecutorPhase::Registering { pid, .. }
            | ExecutorPhase::Running { pid }
            | ExecutorPhase::Returning { pid, .. } => {
                executor.limitation.get_or_insert_with(|| limitation.clone());
                self.give_up(now, key, pid, GivenUp::Limited);
            }
            ExecutorPhase::Ending { .. } => self.signal(&container, Signal::Kill),
            ExecutorPhase::Pod { .. }
            | ExecutorPhase::Recovering { .. }
            | ExecutorPhase::Launching { .. } => {}
        }
    }

    /// The built-in executor of a pod has no process: its tasks have what is shared among them, and all of them fail.
    fn limit_pod(&mut self, now: Now, container: &ContainerId, limitation: &Limitation) {
        let pods = self.executors.iter().filter(|(_, executor)| executor.record.is_pod());
        let found = pods.into_iter().find(|(_, executor)| executor.record.container == *container);
        let Some(key) = found.map(|(key, _)| key.clone()) else { return };
        for task in self.live_tasks(&key) {
            self.limit_task(now, &task.key, limitation);
        }
    }

    /// What is said of the tasks of an executor that was limited.
    pub(crate) fn limitation_of(&self, key: &ExecutorKey) -> Option<Statement> {
        Some(Statement::limited(self.executors.get(key)?.limitation.clone()?))
    }
}
