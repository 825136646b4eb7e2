//! Watching running tasks: when to probe, what an answer means, what is said of it, and ending those that are ill or have
//! run for too long. Source: Mesos' built-in executors and its checker.

mod plan;
mod watching;

pub use plan::{Answer, Check, CheckKind, CheckStatus, HealthCheck, Purpose, Schedule, Watch};
pub(crate) use watching::Watching;

use std::time::Duration;

use chapada_model::{ContainerId, Now, Reason, TaskKey, TaskState};

use crate::agent::Agent;
use crate::effect::Effect;
use crate::kill::KillCause;
use crate::outcome::Statement;
use crate::phase::TaskPhase;
use crate::timers::Timer;
use watching::{Turn, Verdict};

/// Probes of one check are at least this far apart, whatever the task asks for.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);
/// With so many updates of a task unacknowledged, changes that a check finds are not said; the last of them is, later.
const MOST_WAITING: usize = 16;

const PURPOSES: [Purpose; 2] = [Purpose::Check, Purpose::Health];

impl Agent {
    /// The command runs since so long: from now on it may take the rest of its time.
    pub(crate) fn limit_time(&mut self, now: Now, key: &TaskKey, past: Duration) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let Some(most) = task.record.watch.max_completion else { return };
        let at = now.mono + most.saturating_sub(past);
        task.watching.complete_by = Some(at);
        self.timers.set(at, Timer::Completion(key.clone()));
    }

    pub(crate) fn on_completion_due(&mut self, now: Now, key: &TaskKey) {
        let due = |task: &crate::task::Task| task.watching.complete_by.is_some_and(|at| now.mono >= at);
        if self.tasks.get(key).is_some_and(due) {
            self.kill_for(now, key, Some(Duration::ZERO), KillCause::TooLong);
        }
    }

    /// The command is said to run: its checks begin. Those of a task that ran before the agent restarted begin afresh, with
    /// what was said of it last.
    pub(crate) fn start_checks(&mut self, now: Now, key: &TaskKey) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let (seen, healthy) = task.stream.newest().map_or((None, None), |said| (said.check, said.healthy));
        let grace = task.record.watch.health.as_ref().map_or(Duration::ZERO, |health| health.grace);
        task.watching.resume(now.mono, seen, healthy, grace);
        for purpose in PURPOSES {
            let delay = task.record.watch.schedule(purpose).map(|schedule| schedule.delay);
            if let Some(delay) = delay {
                let at = now.mono + delay;
                *task.watching.turn(purpose) = Some(Turn::Due(at));
                self.timers.set(at, Timer::Probe(key.clone(), purpose));
            }
        }
    }

    pub(crate) fn on_probe_due(&mut self, now: Now, key: &TaskKey, purpose: Purpose) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let TaskPhase::Running { pid } = task.phase else { return };
        let Some(schedule) = task.record.watch.schedule(purpose) else { return };
        let turn = task.watching.turn(purpose);
        if turn.is_some_and(|turn| matches!(turn, Turn::Due(at) if now.mono >= at)) {
            *turn = Some(Turn::Out);
            let task = task.record.clone();
            self.effects.push(Effect::Probe { task, pid, purpose, timeout: schedule.timeout });
        }
    }

    pub(crate) fn on_probed(&mut self, now: Now, container: &ContainerId, purpose: Purpose, answer: &Answer) {
        let Some((key, task)) = self.task_of(container) else { return };
        let Some(schedule) = task.record.watch.schedule(purpose) else { return };
        if *task.watching.turn(purpose) != Some(Turn::Out) {
            return;
        }
        let at = now.mono + schedule.interval.max(SHORTEST_INTERVAL);
        *task.watching.turn(purpose) = Some(Turn::Due(at));
        self.timers.set(at, Timer::Probe(key.clone(), purpose));
        match purpose {
            Purpose::Check => self.on_checked(now, &key, answer),
            Purpose::Health => self.on_health_checked(now, &key, answer),
        }
    }

    fn on_checked(&mut self, now: Now, key: &TaskKey, answer: &Answer) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let Some(status) = task.record.watch.check.map(|check| check.status(answer)) else { return };
        if task.watching.see(status) {
            self.say_checked(now, key, Reason::TaskCheckStatusUpdated, String::new());
        }
    }

    fn on_health_checked(&mut self, now: Now, key: &TaskKey, answer: &Answer) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let Some(plan) = &task.record.watch.health else { return };
        let reason = Reason::TaskHealthCheckStatusUpdated;
        match task.watching.count(now.mono, plan, answer) {
            Verdict::Nothing => {}
            Verdict::Well => self.say_checked(now, key, reason, String::new()),
            Verdict::Ill(why) => self.say_checked(now, key, reason, why),
            Verdict::Dead(why) => {
                self.say_checked(now, key, reason, why);
                self.kill_for(now, key, None, KillCause::Unhealthy);
            }
        }
    }

    /// Says what a check found, unless too much is unacknowledged already.
    fn say_checked(&mut self, now: Now, key: &TaskKey, reason: Reason, message: String) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        if task.stream.waiting() >= MOST_WAITING {
            task.watching.owed = Some(reason);
            return;
        }
        task.watching.owed = None;
        let statement =
            Statement { reason: Some(reason), message, ..Statement::executor(TaskState::Running) };
        self.say(now, key, statement);
    }

    /// Something was acknowledged: a change that had to wait for that is said.
    pub(crate) fn say_owed(&mut self, now: Now, key: &TaskKey) {
        let Some(task) = self.tasks.get(key) else { return };
        if let (Some(reason), TaskPhase::Running { .. }) = (task.watching.owed, &task.phase) {
            self.say_checked(now, key, reason, String::new());
        }
    }

    /// The task is to end, or has: nothing of it is watched any more.
    pub(crate) fn stop_watching(&mut self, key: &TaskKey) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        task.watching.owed = None;
        if let Some(at) = task.watching.complete_by.take() {
            self.timers.clear(at, Timer::Completion(key.clone()));
        }
        let turns = PURPOSES.map(|purpose| (purpose, task.watching.turn(purpose).take()));
        for (purpose, turn) in turns {
            if let Some(Turn::Due(at)) = turn {
                self.timers.clear(at, Timer::Probe(key.clone(), purpose));
            }
        }
        if turns.iter().any(|(_, turn)| turn.is_some()) {
            self.effects.push(Effect::EndProbes { container: task.record.container.clone() });
        }
    }
}

/// How long ago that was by the clocks of two moments, as far as they can be believed.
pub(crate) fn past(now: Now, since: chapada_model::Wall) -> Duration {
    Duration::from_nanos(now.wall.0.saturating_sub(since.0))
}
