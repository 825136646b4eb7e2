//! How executors end: asked to, given up, or by themselves; and what that means for their tasks.

use std::time::Duration;

use chapada_model::{ContainerId, ExecutorKey, Mono, Now, Reason, TaskKey, TaskState};

use crate::agent::Agent;
use crate::effect::{Effect, Signal};
use crate::executor::{ExecutorPhase, GivenUp, ToExecutor};
use crate::exit::{Exit, ExitCause, signal_name};
use crate::kill::KillCause;
use crate::outcome::Statement;
use crate::phase::TaskPhase;
use crate::record::Record;
use crate::timers::Timer;

/// SIGKILL is repeated this often until the container is gone.
const REPEAT_FORCE: Duration = Duration::from_secs(1);

/// An executor that is over, once that is on disk.
#[derive(Clone, Debug)]
pub(crate) struct Gone {
    after: u64,
    key: ExecutorKey,
    container: Option<ContainerId>,
    status: i32,
}

impl Agent {
    /// Asks an executor to end, with all its tasks; SIGKILL follows when it takes longer than its grace period.
    pub(crate) fn end_executor(&mut self, now: Now, key: &ExecutorKey) {
        let Some(executor) = self.executors.get(key) else { return };
        if executor.phase.is_ending() {
            return;
        }
        let (record, phase, stream) = (executor.record.clone(), executor.phase.clone(), executor.stream);
        self.log(Record::ExecutorShutdown(key.clone()));
        match phase {
            ExecutorPhase::Pod { .. } => self.end_pod(now, key),
            ExecutorPhase::Recovering { .. } => {
                self.set_executor_phase(key, ExecutorPhase::Recovering { ending: true });
            }
            ExecutorPhase::Launching { .. } => {
                self.set_executor_phase(key, ExecutorPhase::Launching { ending: true });
                self.signal(&record.container, Signal::Kill);
            }
            ExecutorPhase::Registering { pid, .. }
            | ExecutorPhase::Running { pid }
            | ExecutorPhase::Returning { pid, .. } => {
                let force_at = now.mono + record.shutdown_grace;
                self.set_executor_phase(key, ExecutorPhase::Ending { pid, force_at, why: None });
                match stream {
                    Some(_) => self.tell_executor(key, ToExecutor::Shutdown),
                    // Nobody hears a word, but the program hears a signal.
                    None => self.signal(&record.container, Signal::Terminate),
                }
            }
            ExecutorPhase::Ending { .. } => {}
        }
    }

    /// Ends executors of frameworks that are gone.
    pub(crate) fn abandon_executors(&mut self, now: Now, keys: Vec<ExecutorKey>) {
        for key in keys {
            self.end_executor(now, &key);
        }
    }

    pub(crate) fn give_up(&mut self, now: Now, key: &ExecutorKey, pid: u32, why: GivenUp) {
        self.set_executor_phase(key, ExecutorPhase::Ending { pid, force_at: now.mono, why: Some(why) });
        self.on_executor_due(now, key);
    }

    /// Something is due, unless the executor has gone on since.
    pub(crate) fn on_executor_due(&mut self, now: Now, key: &ExecutorKey) {
        let Some(executor) = self.executors.get(key) else { return };
        let container = executor.record.container.clone();
        match executor.phase {
            ExecutorPhase::Pod { until: Some(until), .. } if now.mono >= until => self.executor_over(key, 0),
            ExecutorPhase::Registering { pid, until } if now.mono >= until => {
                self.give_up(now, key, pid, GivenUp::NotRegistered(self.timeouts.registration));
            }
            ExecutorPhase::Returning { pid, until } if now.mono >= until => {
                self.give_up(now, key, pid, GivenUp::NotReturned(self.timeouts.reregistration));
            }
            ExecutorPhase::Ending { pid, force_at, why } if now.mono >= force_at => {
                let force_at = now.mono + REPEAT_FORCE;
                self.set_executor_phase(key, ExecutorPhase::Ending { pid, force_at, why });
                self.signal(&container, Signal::Kill);
            }
            ExecutorPhase::Pod { .. }
            | ExecutorPhase::Recovering { .. }
            | ExecutorPhase::Launching { .. }
            | ExecutorPhase::Registering { .. }
            | ExecutorPhase::Running { .. }
            | ExecutorPhase::Returning { .. }
            | ExecutorPhase::Ending { .. } => {}
        }
    }

    pub(crate) fn on_executor_started(&mut self, now: Now, key: &ExecutorKey, pid: u32) {
        let Some(executor) = self.executors.get(key) else { return };
        let phase = match (&executor.phase, executor.stream) {
            (ExecutorPhase::Launching { ending: true }, _) => {
                ExecutorPhase::Ending { pid, force_at: now.mono, why: None }
            }
            (ExecutorPhase::Launching { ending: false }, Some(_)) => ExecutorPhase::Running { pid },
            (ExecutorPhase::Launching { ending: false }, None) => {
                ExecutorPhase::Registering { pid, until: now.mono + self.timeouts.registration }
            }
            (
                ExecutorPhase::Pod { .. }
                | ExecutorPhase::Recovering { .. }
                | ExecutorPhase::Registering { .. }
                | ExecutorPhase::Running { .. }
                | ExecutorPhase::Returning { .. }
                | ExecutorPhase::Ending { .. },
                _,
            ) => return,
        };
        self.set_executor_phase(key, phase);
        self.on_executor_due(now, key);
        self.resize(key);
    }

    pub(crate) fn on_executor_not_started(&mut self, now: Now, key: &ExecutorKey, message: String) {
        let statement = Statement::agent(TaskState::Failed, Reason::ContainerLaunchFailed, message);
        self.end_with_tasks(now, key, -1, |_, _| statement.clone());
    }

    pub(crate) fn on_executor_exited(&mut self, now: Now, key: &ExecutorKey, exit: &Exit) {
        let Some(executor) = self.executors.get(key) else { return };
        let (why, ending) = match executor.phase {
            ExecutorPhase::Ending { why, .. } => (why, true),
            _ => (None, executor.phase.is_ending()),
        };
        let limited = self.limitation_of(key);
        let statement = |agent: &Self, task: &TaskKey| match why {
            Some(why) => limited.clone().unwrap_or_else(|| Statement::given_up(why)),
            None if exit.memory.is_some() => Statement::of_exit(exit, None),
            None => {
                let state = if ending { agent.or_lost(task, TaskState::Gone) } else { TaskState::Failed };
                Statement::agent(state, Reason::ExecutorTerminated, how_ended(&exit.cause))
            }
        };
        self.end_with_tasks(now, key, exit.status().unwrap_or(-1), statement);
    }

    /// The executor is over, and its live tasks with it.
    pub(crate) fn end_with_tasks(
        &mut self,
        now: Now,
        key: &ExecutorKey,
        status: i32,
        statement: impl Fn(&Self, &TaskKey) -> Statement,
    ) {
        for task in self.live_tasks(key) {
            let statement = statement(self, &task.key);
            self.end(now, &task.key, statement);
        }
        self.executor_over(key, status);
    }

    /// Lets go of an executor that has no live task.
    pub(crate) fn executor_over(&mut self, key: &ExecutorKey, status: i32) {
        self.clear_executor_timer(key);
        let Some(executor) = self.executors.remove(key) else { return };
        if let Some(stream) = executor.stream {
            self.effects.push(Effect::CloseExecutor { executor: key.clone(), stream });
        }
        // A pod's has no process, and may have a network.
        let container = executor.record.container.clone();
        self.containers.remove(&container);
        self.log(Record::ExecutorForgotten(key.clone()));
        self.say_gone_later(key.clone(), Some(container), status);
        if let Some(framework) = self.frameworks.get_mut(&key.framework) {
            framework.executors = framework.executors.saturating_sub(1);
        }
        self.let_framework_go(&key.framework);
        self.leave_if_empty();
    }

    /// What is said of its tasks goes first, and the container's traces stay until all of it is on disk.
    pub(crate) fn say_gone_later(&mut self, key: ExecutorKey, container: Option<ContainerId>, status: i32) {
        self.gone.push_back(Gone { after: self.appended, key, container, status });
        if self.durable == self.appended {
            self.say_gone();
        }
    }

    fn say_gone(&mut self) {
        while self.gone.front().is_some_and(|gone| gone.after <= self.durable) {
            let Some(Gone { key, container, status, .. }) = self.gone.pop_front() else { return };
            if let Some(container) = container {
                self.effects.push(Effect::Remove { container });
            }
            self.tell_master(Effect::SendExecutorGone { executor: key, status });
        }
    }

    /// More is on disk: executors hear of their updates and get their tasks, and the ends of others are said.
    pub(crate) fn on_executors_logged(&mut self) {
        self.say_gone();
        let waits =
            |executor: &crate::executor::Executor| !executor.unheard.is_empty() || !executor.queue.is_empty();
        let keys: Vec<ExecutorKey> =
            self.executors.iter().filter(|(_, known)| waits(known)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            while let Some(executor) = self.executors.get_mut(&key)
                && executor.unheard.front().is_some_and(|(after, ..)| *after <= self.durable)
            {
                let Some((_, task, uuid)) = executor.unheard.pop_front() else { break };
                self.tell_executor(&key, ToExecutor::Acknowledged { task, uuid });
            }
            self.deliver_tasks(&key);
        }
    }

    /// Ends a task that an executor of a framework's own has in hand, or will get.
    pub(crate) fn kill_delegated(&mut self, now: Now, key: &TaskKey, grace: Option<Duration>) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let own_grace = task.record.kill_grace;
        let Some(executor) = task.record.executor_key() else { return };
        let queued = self.executors.get_mut(&executor).and_then(|known| {
            let at = known.queue.iter().position(|delivery| delivery.tasks.contains(key))?;
            known.queue.remove(at)
        });
        if let Some(delivery) = queued {
            // Tasks of a group start together or not at all.
            for task in delivery.tasks {
                self.end(now, &task, Statement::killed_during_launch());
            }
            return self.resize(&executor);
        }
        if let Some(task) = self.tasks.get_mut(key) {
            task.phase = TaskPhase::Delegated { kill: Some(grace.unwrap_or(own_grace)) };
        }
        let cause = KillCause::Asked;
        self.log(Record::Kill { task: key.clone(), grace: grace.unwrap_or(own_grace), cause });
        self.tell_executor(&executor, ToExecutor::Kill { task: key.task.clone(), grace });
    }

    pub(crate) fn set_executor_phase(&mut self, key: &ExecutorKey, phase: ExecutorPhase) {
        self.clear_executor_timer(key);
        let Some(executor) = self.executors.get_mut(key) else { return };
        let at = due(&phase);
        executor.phase = phase;
        if let Some(at) = at {
            self.timers.set(at, Timer::Executor(key.clone()));
        }
    }

    fn clear_executor_timer(&mut self, key: &ExecutorKey) {
        if let Some(at) = self.executors.get(key).and_then(|executor| due(&executor.phase)) {
            self.timers.clear(at, Timer::Executor(key.clone()));
        }
    }
}

fn due(phase: &ExecutorPhase) -> Option<Mono> {
    match phase {
        ExecutorPhase::Pod { until, .. } => *until,
        ExecutorPhase::Registering { until, .. } | ExecutorPhase::Returning { until, .. } => Some(*until),
        ExecutorPhase::Ending { force_at, .. } => Some(*force_at),
        ExecutorPhase::Recovering { .. }
        | ExecutorPhase::Launching { .. }
        | ExecutorPhase::Running { .. } => None,
    }
}

fn how_ended(cause: &ExitCause) -> String {
    match cause {
        ExitCause::Code(code) => format!("Executor exited with status {code}"),
        ExitCause::Signal(signal) => format!("Executor terminated with signal {}", signal_name(*signal)),
        ExitCause::NotStarted { message } | ExitCause::Unknown { message } => message.clone(),
    }
}
