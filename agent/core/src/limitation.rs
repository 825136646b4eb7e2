//! Containers that took more of something than they may: they end at once, and their tasks fail with the figure.

use chapada_model::{ContainerId, ExecutorKey, Milli, Now, Reason, Resource, Resources, TaskKey};

use crate::agent::{Agent, Tenant};
use crate::effect::Signal;
use crate::executor::{ExecutorPhase, GivenUp};
use crate::exit::{Exit, ExitCause, MemoryExceeded};
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

const MIB: u64 = 1024 * 1024;

impl Limitation {
    /// One that the kernel enforced.
    pub fn of_memory(memory: MemoryExceeded) -> Self {
        let message = format!(
            "Memory limit exceeded: Requested: {}MB Maximum Used: {}MB",
            memory.limit_bytes / MIB,
            memory.peak_bytes.div_ceil(MIB)
        );
        let used = Milli(memory.peak_bytes.saturating_mul(1000) / MIB);
        let resources = Resources::from(vec![Resource::scalar("mem", used)]);
        Self { reason: Reason::ContainerLimitationMemory, message, resources }
    }
}

impl Agent {
    /// What a container with this end had too much of, if that is what ended it: what the updates of its tasks say, too.
    /// To be asked before the end is applied.
    pub fn limitation_at_end(&self, container: &ContainerId, exit: &Exit) -> Option<Limitation> {
        if exit.cause == ExitCause::Code(0) {
            return None;
        }
        let (limitation, is_killed) = match self.containers.get(container)? {
            Tenant::Task(key) => {
                let task = self.tasks.get(key)?;
                (task.limitation.clone(), task.killed().is_some())
            }
            Tenant::Executor(key) => (self.executors.get(key)?.limitation.clone(), false),
        };
        limitation.or_else(|| exit.memory.filter(|_| !is_killed).map(Limitation::of_memory))
    }

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
