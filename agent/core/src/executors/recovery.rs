//! What a restart of the agent makes of executors and of tasks in their hands.

use std::collections::BTreeSet;
use std::sync::Arc;

use chapada_model::{ExecutorKey, Now, Reason, TaskKey, TaskState};

use crate::agent::Agent;
use crate::effect::Signal;
use crate::executor::{Delivery, Executor, ExecutorPhase};
use crate::outcome::Statement;
use crate::phase::TaskPhase;
use crate::record::{ExecutorRecord, Runner};
use crate::recovery::FoundState;

impl Agent {
    pub(crate) fn restore_executor(&mut self, record: Arc<ExecutorRecord>) {
        let phase = match record.is_pod() {
            true => ExecutorPhase::Pod { until: None, ending: false },
            false => ExecutorPhase::Recovering { ending: false },
        };
        self.hold_executor(Executor::new(record, phase));
    }

    pub(crate) fn restore_executor_shutdown(&mut self, key: &ExecutorKey) {
        let Some(executor) = self.executors.get_mut(key) else { return };
        executor.phase = match executor.record.is_pod() {
            true => ExecutorPhase::Pod { until: None, ending: true },
            false => ExecutorPhase::Recovering { ending: true },
        };
    }

    pub(crate) fn restore_executor_forgotten(&mut self, key: &ExecutorKey) {
        let Some(executor) = self.executors.remove(key) else { return };
        self.containers.remove(&executor.record.container);
        if let Some(framework) = self.frameworks.get_mut(&key.framework) {
            framework.executors = framework.executors.saturating_sub(1);
        }
    }

    /// Tasks of pods in groups of which nothing was ever said: not all of their records may have made it to the disk.
    pub(crate) fn torn_groups(&self) -> BTreeSet<TaskKey> {
        let is_in_pod = |runner: &&Runner| matches!(runner, Runner::Pod { .. });
        let told = self.tasks.values().filter(|task| task.stream.newest().is_some());
        let told: Vec<&Runner> = told.map(|task| &task.record.runner).filter(is_in_pod).collect();
        let all = self.tasks.iter().filter(|(_, task)| is_in_pod(&&task.record.runner));
        all.filter(|(_, task)| !told.contains(&&task.record.runner)).map(|(key, _)| key.clone()).collect()
    }

    /// Nothing of a torn group runs on; its container is removed when this is on disk.
    pub(crate) fn drop_torn(&mut self, now: Now, key: &TaskKey) {
        let state = self.or_lost(key, TaskState::Dropped);
        let message = "the agent restarted before the task's group was started".to_owned();
        self.conclude(now, key, Statement::agent(state, Reason::AgentRestarted, message));
    }

    /// A task in the hands of a framework's own executor is as it was; what becomes of it is the executor's to say.
    pub(crate) fn recover_delegated(&mut self, now: Now, key: &TaskKey) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let TaskPhase::Recovering { kill } = task.phase else {
            if self.is_shut_down(&key.framework)
                || self.tasks.get(key).is_some_and(|task| task.stream.is_over())
            {
                self.forget(now, key);
            }
            return;
        };
        task.phase = TaskPhase::Delegated { kill };
        let executor = task.record.executor_key();
        if executor.is_none_or(|executor| !self.executors.contains_key(&executor)) {
            let state = self.or_lost(key, TaskState::Dropped);
            let message = "the agent restarted before the task was started".to_owned();
            self.end(now, key, Statement::agent(state, Reason::AgentRestarted, message));
        }
    }

    pub(crate) fn recover_executor(
        &mut self,
        now: Now,
        key: &ExecutorKey,
        found: Option<FoundState>,
        rebooted: bool,
    ) {
        let Some(executor) = self.executors.get(key) else { return };
        let ending = match executor.phase {
            ExecutorPhase::Pod { .. } => return self.rest_pod(now, key),
            _ => executor.phase.is_ending(),
        };
        match found {
            Some(FoundState::Exited(exit)) => self.on_executor_exited(now, key, &exit),
            Some(FoundState::Running { pid }) if !rebooted => self.adopt_executor(now, key, pid, ending),
            Some(FoundState::Starting) if !rebooted => {
                self.set_executor_phase(key, ExecutorPhase::Launching { ending });
                self.queue_again(now, key);
            }
            Some(FoundState::Running { .. } | FoundState::Starting | FoundState::Dead) | None => {
                let say = |agent: &Self, task: &TaskKey| match rebooted {
                    true => {
                        let message = "the agent's machine was rebooted".to_owned();
                        let state = agent.or_lost(task, TaskState::Gone);
                        Statement::agent(state, Reason::AgentRestarted, message)
                    }
                    false => {
                        let message = "its executor was gone when the agent came back".to_owned();
                        Statement::agent(TaskState::Failed, Reason::ExecutorTerminated, message)
                    }
                };
                self.end_with_tasks(now, key, -1, say);
            }
        }
    }

    /// Its program runs on, and is to come back.
    fn adopt_executor(&mut self, now: Now, key: &ExecutorKey, pid: u32, ending: bool) {
        let Some(executor) = self.executors.get(key) else { return };
        let record = executor.record.clone();
        let phase = match (ending || self.is_shut_down(&key.framework), executor.subscribed) {
            (true, _) => {
                self.signal(&record.container, Signal::Terminate);
                ExecutorPhase::Ending { pid, force_at: now.mono + record.shutdown_grace, why: None }
            }
            (false, true) => ExecutorPhase::Returning { pid, until: now.mono + self.timeouts.reregistration },
            (false, false) => {
                ExecutorPhase::Registering { pid, until: now.mono + self.timeouts.registration }
            }
        };
        self.set_executor_phase(key, phase);
        self.queue_again(now, key);
    }

    /// Tasks of an executor that never subscribed were never sent. Those of groups are not started late: some of the group
    /// may not have made it to the disk.
    fn queue_again(&mut self, now: Now, key: &ExecutorKey) {
        if self.executors.get(key).is_none_or(|executor| executor.subscribed) {
            return;
        }
        for task in self.live_tasks(key) {
            if let Runner::Custom { group: Some(_), .. } = task.runner {
                self.drop_torn(now, &task.key);
            } else if let Some(executor) = self.executors.get_mut(key) {
                let tasks = vec![task.key.clone()];
                executor.queue.push_back(Delivery { after: 0, tasks, is_group: false });
            }
        }
    }
}
