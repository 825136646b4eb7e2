//! Coming back: the records are applied in order, then each container is adopted, reported or destroyed.

use std::collections::BTreeMap;
use std::sync::Arc;

use chapada_model::{ContainerId, ExecutorKey, FrameworkId, Now, Reason, TaskKey, TaskState, UpdateUuid};

use crate::agent::Agent;
use crate::checks::past;
use crate::effect::Effect;
use crate::exit::Exit;
use crate::kill::KillCause;
use crate::outcome::Statement;
use crate::phase::{Ending, TaskPhase};
use crate::record::{Record, Update};
use crate::task::{Framework, Task};

/// A container that left a trace on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundContainer {
    /// Its name.
    pub container: ContainerId,
    /// What its shim says, or wrote down.
    pub state: FoundState,
}

/// What became of a container while nobody looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundState {
    /// Its shim answers and is still making it; what comes of it comes as an event.
    Starting,
    /// Its shim answers, and its first process runs.
    Running {
        /// That process, as the host numbers it.
        pid: u32,
    },
    /// It has ended, and how is on disk.
    Exited(Exit),
    /// There is neither a shim nor a record of the end: it was never started, or its shim was killed, and it with it.
    Dead,
}

impl Agent {
    /// Applies one record that was read back, oldest first. Records that contradict what came before are those of
    /// tasks already forgotten, and change nothing.
    pub fn restore(&mut self, record: Record) {
        match record {
            Record::Boot { boot_id } => self.boot_id = Some(boot_id),
            Record::Epoch(epoch) => self.epoch = self.epoch.max(epoch),
            Record::Agent(id) => self.id = id,
            Record::Framework(record) => self.note_framework(record),
            Record::FrameworkShutdown(id) => {
                if let Some(framework) = self.frameworks.get_mut(&id) {
                    framework.shut_down = true;
                }
            }
            Record::FrameworkForgotten(id) => self.restore_framework_forgotten(&id),
            Record::Executor(record) => self.restore_executor(record),
            Record::ExecutorSubscribed(key) => {
                if let Some(executor) = self.executors.get_mut(&key) {
                    executor.subscribed = true;
                }
            }
            Record::ExecutorShutdown(key) => self.restore_executor_shutdown(&key),
            Record::ExecutorForgotten(key) => self.restore_executor_forgotten(&key),
            Record::Task(record) => self.hold(Task::new(record, TaskPhase::Recovering { kill: None })),
            Record::Kill { task, grace, cause } => {
                if let Some(task) = self.tasks.get_mut(&task)
                    && let TaskPhase::Recovering { kill } = &mut task.phase
                {
                    *kill = Some(grace);
                    task.cause = cause;
                }
            }
            Record::Update { task, update } => self.restore_update(&task, update),
            Record::Acknowledged { task, uuid } => self.restore_acknowledged(&task, uuid),
            Record::TaskForgotten(key) => self.restore_forgotten(&key),
            Record::Made(made) => self.operations.restore_made(made),
            Record::Operation { made, status } => self.operations.restore(made, status),
            Record::OperationAcknowledged(key) => self.operations.restore_acknowledged(&key),
        }
    }

    fn restore_framework_forgotten(&mut self, id: &FrameworkId) {
        if self.frameworks.get(id).is_some_and(Framework::is_empty) {
            self.frameworks.remove(id);
        }
    }

    fn restore_update(&mut self, key: &TaskKey, update: Arc<Update>) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        if update.state.is_terminal() {
            task.phase = TaskPhase::Ended(Ending::Logged);
        }
        task.stream.push(update, 0);
    }

    fn restore_acknowledged(&mut self, key: &TaskKey, uuid: UpdateUuid) {
        if let Some(task) = self.tasks.get_mut(key) {
            task.stream.acknowledge(uuid);
        }
    }

    fn restore_forgotten(&mut self, key: &TaskKey) {
        let Some(task) = self.tasks.remove(key) else { return };
        if !task.record.is_delegated() {
            self.containers.remove(&task.record.container);
        }
        if let Some(executor) = task.record.executor_key().and_then(|key| self.executors.get_mut(&key)) {
            executor.tasks.remove(key);
        }
        if let Some(framework) = self.frameworks.get_mut(&key.framework) {
            framework.tasks = framework.tasks.saturating_sub(1);
        }
    }

    pub(crate) fn recover(&mut self, now: Now, found: Vec<FoundContainer>, boot_id: String) {
        let rebooted = self.boot_id.as_ref().is_some_and(|known| *known != boot_id);
        if self.boot_id.as_ref() != Some(&boot_id) {
            self.log(Record::Boot { boot_id: boot_id.clone() });
            self.boot_id = Some(boot_id);
        }
        let mut found: BTreeMap<ContainerId, FoundState> =
            found.into_iter().map(|found| (found.container, found.state)).collect();
        let keys: Vec<TaskKey> = self.tasks.keys().cloned().collect();
        let torn = self.torn_groups();
        for key in keys {
            let Some(task) = self.tasks.get(&key) else { continue };
            if task.record.is_delegated() {
                self.recover_delegated(now, &key);
                continue;
            }
            if torn.contains(&key) {
                found.remove(&task.record.container);
                self.drop_torn(now, &key);
                continue;
            }
            let state = found.remove(&task.record.container);
            self.recover_task(now, &key, state, rebooted);
        }
        let keys: Vec<ExecutorKey> = self.executors.keys().cloned().collect();
        for key in keys {
            let Some(executor) = self.executors.get(&key) else { continue };
            let state = found.remove(&executor.record.container);
            self.recover_executor(now, &key, state, rebooted);
        }
        for container in found.into_keys() {
            self.effects.push(Effect::Destroy { container });
        }
        self.forget_empty_frameworks();
        self.keep_volumes();
    }

    fn recover_task(&mut self, now: Now, key: &TaskKey, found: Option<FoundState>, rebooted: bool) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let (container, task_cause) = (task.record.container.clone(), task.cause);
        let TaskPhase::Recovering { kill } = task.phase else {
            if found.is_some() {
                self.effects.push(Effect::Remove { container });
            }
            if self.is_shut_down(&key.framework)
                || self.tasks.get(key).is_some_and(|task| task.stream.is_over())
            {
                self.forget(now, key);
            }
            return;
        };
        match found {
            Some(FoundState::Exited(exit)) => self.on_exited(now, &container, &exit),
            Some(FoundState::Running { pid }) if !rebooted => self.adopt(now, key, pid),
            Some(FoundState::Starting) if !rebooted => task.phase = TaskPhase::Launching { kill },
            Some(FoundState::Running { .. } | FoundState::Starting | FoundState::Dead) | None => {
                let statement = self.vanished(key, rebooted, kill.map(|_| task_cause));
                self.end(now, key, statement);
            }
        }
    }

    /// The container runs on as if nothing had happened.
    fn adopt(&mut self, now: Now, key: &TaskKey, pid: u32) {
        let shut_down = self.is_shut_down(&key.framework);
        let Some(task) = self.tasks.get_mut(key) else { return };
        let kill = task.phase.kill().or(shut_down.then_some(task.record.kill_grace));
        task.phase = TaskPhase::Running { pid };
        let (reported, launched) = (task.has_run(), task.record.launched);
        if let Some(grace) = kill {
            return self.start_kill(now, key, grace);
        }
        self.limit_time(now, key, past(now, launched));
        match reported {
            true => self.start_checks(now, key),
            false => self.announce(now, key),
        }
    }

    /// What to say of a task whose container is not there.
    fn vanished(&self, key: &TaskKey, rebooted: bool, killed: Option<KillCause>) -> Statement {
        let has_run = self.tasks.get(key).is_some_and(Task::has_run);
        if let Some(cause) = killed {
            let message = "its container was gone when the agent came back".to_owned();
            let gone = Statement::agent(TaskState::Killed, Reason::ExecutorTerminated, message);
            return gone.for_cause(cause);
        }
        let (state, message) = match (rebooted, has_run) {
            (true, _) => (self.or_lost(key, TaskState::Gone), "the agent's machine was rebooted"),
            (false, false) => {
                (self.or_lost(key, TaskState::Dropped), "the agent restarted before the task was started")
            }
            (false, true) => {
                let message = "its container and the record of its end were gone when the agent came back";
                return Statement::agent(TaskState::Failed, Reason::ExecutorTerminated, message.to_owned());
            }
        };
        Statement::agent(state, Reason::AgentRestarted, message.to_owned())
    }

    fn forget_empty_frameworks(&mut self) {
        let empty = self.frameworks.iter().filter(|(_, framework)| framework.is_empty());
        let ids: Vec<FrameworkId> = empty.map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.frameworks.remove(&id);
            self.log(Record::FrameworkForgotten(id));
        }
    }
}
