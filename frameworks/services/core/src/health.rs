//! What is known of a task's health, check by check.

use std::time::Duration;

use chapada_model::{Mono, TaskId};

use crate::definition::HealthCheck;
use crate::timestamp::Timestamp;

/// When a check is asked that is the agent's to make.
pub(crate) const NEVER: Mono = Mono(u64::MAX);

/// What one check of one task has found since this process began to ask.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CheckState {
    /// The first time it was well.
    pub first_success: Option<Timestamp>,
    /// The last time.
    pub last_success: Option<Timestamp>,
    /// The last time it was not.
    pub last_failure: Option<Timestamp>,
    /// What was wrong then.
    pub last_failure_cause: Option<String>,
    /// Failures since it was last well, those within the grace period left out.
    pub consecutive_failures: u32,
    /// What it said last; unknown before the first answer that counts.
    pub alive: Option<bool>,
    /// How long the task ran before this process heard of it: so much of its grace period is over.
    pub(crate) ran_before: Duration,
    /// Whether the task counts for others only once this process has an answer. What agents ask they tell with every status.
    pub(crate) awaited: bool,
    /// Whether it is first asked when its turn comes: its task was well when it was read back, and nobody has waited for it so far.
    pub(crate) patient: bool,
    /// When to ask next. While an answer is awaited: when not to wait for it any more.
    pub due: Mono,
}

/// A question to a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// Whom to ask about.
    pub task: TaskId,
    /// Which of its checks, from 0.
    pub check: usize,
    /// The agent's host name.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What to ask and how long to wait.
    pub how: HealthCheck,
}

impl CheckState {
    /// Of checks of a task that is about to start: those of agents are never asked from here.
    pub(crate) fn begin(checks: &[HealthCheck]) -> Vec<Self> {
        let begun = |check: &HealthCheck| match check.protocol.is_of_agent() {
            true => Self { due: NEVER, ..Self::default() },
            false => Self { awaited: true, ..Self::default() },
        };
        checks.iter().map(begun).collect()
    }

    /// Takes note of what the agent says.
    pub(crate) fn note_agent(&mut self, healthy: bool, cause: &str, at: Timestamp) {
        if self.alive != Some(healthy) {
            self.note(if healthy { Ok(()) } else { Err(cause.to_owned()) }, at, false);
        }
    }

    /// Takes note of an answer. `in_grace` is whether failures do not count yet, unless it was well before.
    pub(crate) fn note(&mut self, result: Result<(), String>, at: Timestamp, in_grace: bool) {
        self.patient = false;
        match result {
            Ok(()) => {
                self.first_success = self.first_success.or(Some(at));
                self.last_success = Some(at);
                self.consecutive_failures = 0;
                self.alive = Some(true);
            }
            Err(cause) => {
                self.last_failure = Some(at);
                self.last_failure_cause = Some(cause);
                if self.first_success.is_some() || !in_grace {
                    self.consecutive_failures = self.consecutive_failures.saturating_add(1);
                    self.alive = Some(false);
                }
            }
        }
    }
}

/// The first moment from `from` on at which a task that is well is asked. It comes again after each interval, at a place in it
/// that the task's id draws, so that many tasks which began together are not asked together for ever.
pub(crate) fn turn(task: &TaskId, interval: Duration, from: Mono) -> Mono {
    let length = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
    // FNV-1a, and its upper half mixed in: ids differ in few places.
    let hash = task.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let place = (hash ^ (hash >> 32)) % length;
    let wait = (place + (length - from.0 % length)) % length;
    from + Duration::from_nanos(wait)
}

/// Whether a task with these checks is well: all of them were answered well, or one of them was not.
pub(crate) fn verdict(checks: &[CheckState]) -> Option<bool> {
    if checks.iter().any(|check| check.alive == Some(false)) {
        return Some(false);
    }
    (!checks.is_empty() && checks.iter().all(|check| check.alive == Some(true))).then_some(true)
}
