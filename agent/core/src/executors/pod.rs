//! The rules of task groups under the built-in default executor: they are said to run when all of them do, the end of one
//! that is no success ends the others, and the executor is over when its tasks are. Source: Mesos' default executor.

use std::time::Duration;

use chapada_model::{ExecutorKey, Now, TaskKey};

use crate::agent::Agent;
use crate::executor::ExecutorPhase;
use crate::phase::TaskPhase;
use crate::record::Runner;

/// How long a pod without live tasks waits for their ends to be acknowledged. Source: Mesos' default executor.
const LINGER: Duration = Duration::from_secs(60);

impl Agent {
    /// A task's command runs: that is said of it, or of its whole group when it was the last one.
    pub(crate) fn announce(&mut self, now: Now, key: &TaskKey) {
        let members = self.members(key);
        if members.is_empty() {
            return self.say_running(now, key);
        }
        let is_on_its_way = |key: &TaskKey| {
            self.tasks.get(key).is_some_and(|task| match task.phase {
                TaskPhase::Recovering { .. } | TaskPhase::Launching { .. } => true,
                TaskPhase::Delegated { .. }
                | TaskPhase::Running { .. }
                | TaskPhase::Killing { .. }
                | TaskPhase::Ended(_) => false,
            })
        };
        if members.iter().any(is_on_its_way) {
            return;
        }
        for member in members {
            if self.waits_to_be_announced(&member) {
                self.say_running(now, &member);
            }
        }
    }

    /// A task that ran is said to have run before its end is said, also when others of its group were still on their way.
    pub(crate) fn announce_before_end(&mut self, now: Now, key: &TaskKey) {
        let is_in_pod =
            self.tasks.get(key).is_some_and(|task| matches!(task.record.runner, Runner::Pod { .. }));
        if is_in_pod && self.waits_to_be_announced(key) {
            self.say_running(now, key);
        }
    }

    fn waits_to_be_announced(&self, key: &TaskKey) -> bool {
        let waits =
            |task: &crate::task::Task| matches!(task.phase, TaskPhase::Running { .. }) && !task.has_run();
        self.tasks.get(key).is_some_and(waits)
    }

    /// The tasks of this one's group, itself included, that are held; none when it is in no pod.
    fn members(&self, key: &TaskKey) -> Vec<TaskKey> {
        let Some(task) = self.tasks.get(key) else { return Vec::new() };
        let Runner::Pod { .. } = &task.record.runner else { return Vec::new() };
        let executor = task.record.executor_key().and_then(|executor| self.executors.get(&executor));
        let Some(executor) = executor else { return vec![key.clone()] };
        let is_alike = |other: &&TaskKey| {
            self.tasks.get(*other).is_some_and(|other| other.record.runner == task.record.runner)
        };
        executor.tasks.iter().filter(is_alike).cloned().collect()
    }

    /// A task has ended: a failure ends its group, and a pod without live tasks waits only for acknowledgements.
    pub(crate) fn on_member_ended(&mut self, now: Now, key: &TaskKey, failed: bool) {
        let members = self.members(key);
        if members.is_empty() {
            return;
        }
        for member in members.iter().filter(|member| *member != key) {
            let lives = self.tasks.get(member).is_some_and(|task| task.phase.is_live());
            let is_asked = self.tasks.get(member).is_some_and(|task| task.phase.kill().is_some());
            if failed && lives && !is_asked {
                self.kill(now, member, None);
            }
        }
        if !failed && let Some(member) = members.iter().find(|member| self.waits_to_be_announced(member)) {
            let member = member.clone();
            self.announce(now, &member);
        }
        if let Some(executor) = self.tasks.get(key).and_then(|task| task.record.executor_key()) {
            self.rest_pod(now, &executor);
        }
    }

    /// Nothing of the task is held any more.
    pub(crate) fn on_task_forgotten(&mut self, now: Now, executor: &ExecutorKey, task: &TaskKey) {
        if let Some(known) = self.executors.get_mut(executor) {
            known.tasks.remove(task);
        }
        self.rest_pod(now, executor);
    }

    /// A pod without tasks is over; one without live tasks waits a while.
    pub(crate) fn rest_pod(&mut self, now: Now, key: &ExecutorKey) {
        let Some(executor) = self.executors.get(key) else { return };
        let ExecutorPhase::Pod { until, ending } = executor.phase else { return };
        if executor.tasks.is_empty() {
            return self.executor_over(key, 0);
        }
        if until.is_none() && self.live_tasks(key).is_empty() {
            match ending {
                true => self.executor_over(key, 0),
                false => {
                    let until = Some(now.mono + LINGER);
                    self.set_executor_phase(key, ExecutorPhase::Pod { until, ending });
                }
            }
        }
    }

    /// SHUTDOWN of a pod: its tasks are killed, none of them with more time than the executor itself would have.
    pub(crate) fn end_pod(&mut self, now: Now, key: &ExecutorKey) {
        let Some(executor) = self.executors.get(key) else { return };
        let most = executor.record.shutdown_grace;
        self.set_executor_phase(key, ExecutorPhase::Pod { until: None, ending: true });
        for task in self.live_tasks(key) {
            self.kill(now, &task.key, Some(task.kill_grace.min(most)));
        }
        self.rest_pod(now, key);
    }
}
