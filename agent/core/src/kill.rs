//! Ending tasks: SIGTERM, then SIGKILL once the grace period is over; and what an exit means.

use std::time::Duration;

use chapada_model::{ContainerId, ExecutorId, ExecutorKey, FrameworkId, Now, Reason, TaskKey, TaskState};

use crate::agent::{Agent, Tenant};
use crate::effect::{Effect, Signal};
use crate::exit::{Exit, ExitCause};
use crate::outcome::Statement;
use crate::phase::{Ending, TaskPhase};
use crate::record::Record;
use crate::timers::Timer;

/// SIGKILL is repeated this often until the container is gone: a process forked in the moment of the last one may
/// have escaped it.
const REPEAT_FORCE: Duration = Duration::from_secs(1);

/// Why a task is ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KillCause {
    /// Somebody asked for it, or its executor or group ends.
    #[default]
    Asked,
    /// Its health check failed too often.
    Unhealthy,
    /// It ran for longer than it was to.
    TooLong,
}

impl Agent {
    pub(crate) fn kill(&mut self, now: Now, key: &TaskKey, grace: Option<Duration>) {
        self.kill_for(now, key, grace, KillCause::Asked);
    }

    /// The cause of the first kill is the one that counts.
    pub(crate) fn kill_for(&mut self, now: Now, key: &TaskKey, grace: Option<Duration>, cause: KillCause) {
        let Some(task) = self.tasks.get(key) else {
            let message = "Cannot find executor: the agent holds no such task".to_owned();
            return self.say_dropped(now, key, Reason::ExecutorTerminated, message);
        };
        if !task.phase.is_live() {
            return;
        }
        if task.record.is_delegated() {
            return self.kill_delegated(now, key, grace);
        }
        let grace = grace.unwrap_or(task.record.kill_grace);
        let first = task.phase.kill().is_none();
        let cause = if first { cause } else { task.cause };
        self.log(Record::Kill { task: key.clone(), grace, cause });
        if let Some(task) = self.tasks.get_mut(key) {
            task.cause = cause;
        }
        if first
            && self.frameworks.get(&key.framework).is_some_and(|f| f.record.knows_killing && !f.shut_down)
        {
            self.say(now, key, Statement::executor(TaskState::Killing));
        }
        self.start_kill(now, key, grace);
    }

    /// Moves a live task towards its end; a second time can only bring SIGKILL forward.
    pub(crate) fn start_kill(&mut self, now: Now, key: &TaskKey, grace: Duration) {
        self.stop_watching(key);
        let Some(task) = self.tasks.get_mut(key) else { return };
        let container = task.record.container.clone();
        let asked = now.mono + grace;
        match &mut task.phase {
            TaskPhase::Recovering { kill } | TaskPhase::Delegated { kill } => *kill = Some(grace),
            TaskPhase::Launching { kill } => {
                *kill = Some(grace);
                self.signal(&container, Signal::Kill);
            }
            TaskPhase::Running { pid } => {
                let pid = *pid;
                task.phase = TaskPhase::Killing { pid, grace, force_at: asked, forced: false };
                self.timers.set(asked, Timer::Force(key.clone()));
                self.signal(&container, Signal::Terminate);
            }
            TaskPhase::Killing { force_at, forced: false, grace: given, .. } if asked < *force_at => {
                let earlier = std::mem::replace(force_at, asked);
                *given = grace;
                self.timers.clear(earlier, Timer::Force(key.clone()));
                self.timers.set(asked, Timer::Force(key.clone()));
            }
            TaskPhase::Killing { .. } | TaskPhase::Ended(_) => {}
        }
    }

    /// Ends a task that never got to its command, without waiting.
    pub(crate) fn force(&mut self, now: Now, key: &TaskKey) {
        self.start_kill(now, key, Duration::ZERO);
        self.on_force_due(now, key);
    }

    pub(crate) fn on_force_due(&mut self, now: Now, key: &TaskKey) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let container = task.record.container.clone();
        match &mut task.phase {
            TaskPhase::Killing { force_at, forced, .. } if now.mono >= *force_at => {
                let earlier = std::mem::replace(force_at, now.mono + REPEAT_FORCE);
                let again = *force_at;
                *forced = true;
                self.timers.clear(earlier, Timer::Force(key.clone()));
                self.timers.set(again, Timer::Force(key.clone()));
                self.signal(&container, Signal::Kill);
            }
            TaskPhase::Recovering { .. }
            | TaskPhase::Delegated { .. }
            | TaskPhase::Launching { .. }
            | TaskPhase::Running { .. }
            | TaskPhase::Killing { .. }
            | TaskPhase::Ended(_) => {}
        }
    }

    pub(crate) fn on_exited(&mut self, now: Now, container: &ContainerId, exit: &Exit) {
        if let Some(Tenant::Executor(key)) = self.containers.get(container) {
            let key = key.clone();
            return self.on_executor_exited(now, &key, exit);
        }
        let Some((key, task)) = self.task_of(container) else {
            return self.effects.push(Effect::Destroy { container: container.clone() });
        };
        if !task.phase.is_live() {
            return;
        }
        self.announce_before_end(now, &key);
        let Some(task) = self.tasks.get(&key) else { return };
        let killed = task.killed();
        let limitation = task.limitation.clone().filter(|_| exit.cause != ExitCause::Code(0));
        let statement = if let Some(limitation) = limitation {
            Statement::limited(limitation)
        } else if killed.is_some() && !task.has_run() {
            Statement::killed_during_launch()
        } else {
            Statement::of_exit(exit, killed)
        };
        self.end(now, &key, statement);
    }

    pub(crate) fn shutdown_executor(
        &mut self,
        now: Now,
        sequence: u64,
        framework: &FrameworkId,
        executor: &ExecutorId,
    ) {
        let task = executor.as_str().parse().ok();
        let key = task.map(|task| TaskKey { framework: framework.clone(), task });
        let own = ExecutorKey { framework: framework.clone(), executor: executor.clone() };
        if self.executors.contains_key(&own) {
            return self.end_executor(now, &own);
        }
        let is_its_own =
            |key: &TaskKey| self.tasks.get(key).is_some_and(|task| task.record.executor().is_none());
        match key.filter(is_its_own) {
            Some(key) => self.kill(now, &key, None),
            None => {
                let reason = format!("framework {framework} has no executor {executor} here");
                self.effects.push(Effect::Refuse { sequence, reason });
            }
        }
    }

    pub(crate) fn shutdown_framework(&mut self, now: Now, id: &FrameworkId) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        if !std::mem::replace(&mut framework.shut_down, true) {
            self.log(Record::FrameworkShutdown(id.clone()));
        }
        let keys: Vec<TaskKey> = self.tasks.keys().filter(|key| key.framework == *id).cloned().collect();
        let executors: Vec<ExecutorKey> =
            self.executors.keys().filter(|key| key.framework == *id).cloned().collect();
        self.abandon(now, keys);
        self.abandon_executors(now, executors);
    }

    /// Ends these tasks, and lets go of those that have ended already. Those of frameworks' own executors end with them.
    pub(crate) fn abandon(&mut self, now: Now, keys: Vec<TaskKey>) {
        for key in keys {
            match self.tasks.get(&key).map(|task| task.phase.is_live()) {
                Some(true) if self.tasks.get(&key).is_some_and(|task| task.record.is_delegated()) => {}
                Some(true) => self.kill(now, &key, None),
                Some(false) => {
                    self.say_unlogged_end(&key);
                    self.forget(now, &key);
                }
                None => {}
            }
        }
    }

    /// The end of a task that is let go before it is on disk, and so was not said, is said now.
    fn say_unlogged_end(&mut self, key: &TaskKey) {
        let unsaid = |task: &&crate::task::Task| task.phase == TaskPhase::Ended(Ending::Unlogged);
        let end = self.tasks.get(key).filter(unsaid).and_then(|task| task.stream.newest()).cloned();
        if let Some(update) = end {
            let latest = update.state;
            self.tell_master(Effect::SendUpdate { task: key.clone(), executor: None, update, latest });
        }
    }

    pub(crate) fn clear_timers(&mut self, key: &TaskKey) {
        self.stop_watching(key);
        let Some(task) = self.tasks.get_mut(key) else { return };
        if let TaskPhase::Killing { force_at, .. } = task.phase {
            self.timers.clear(force_at, Timer::Force(key.clone()));
        }
        if let Some(at) = task.stream.unschedule() {
            self.timers.clear(at, Timer::Repeat(key.clone()));
        }
    }
}
