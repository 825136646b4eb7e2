//! Where the checks of one running task are.

use std::time::Duration;

use chapada_model::{Mono, Reason};

use super::plan::{Answer, CheckStatus, HealthCheck, Purpose};

/// Where one check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The next probe is due then.
    Due(Mono),
    /// A probe is out.
    Out,
}

/// What is known of a task that is watched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watching {
    check: Option<Turn>,
    health: Option<Turn>,
    /// When it has run for too long.
    pub(crate) complete_by: Option<Mono>,
    /// The last result of its check.
    pub(crate) seen: Option<CheckStatus>,
    /// What its health check says; absent until that succeeds or fails for the first time.
    pub(crate) healthy: Option<bool>,
    /// Failures of the health check in a row.
    failures: u32,
    /// Until then failures do not count, unless there was a success.
    grace_ends: Mono,
    /// A change that is not said yet, for too many are unacknowledged.
    pub(crate) owed: Option<Reason>,
}

/// What an answer to a health check means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing that has to be said.
    Nothing,
    /// It is well for the first time, or again.
    Well,
    /// It is not, for this reason.
    Ill(String),
    /// It is not, and was not for too often.
    Dead(String),
}

impl Watching {
    /// Starts with what was said of the task before.
    pub(crate) fn resume(
        &mut self,
        now: Mono,
        seen: Option<CheckStatus>,
        healthy: Option<bool>,
        grace: Duration,
    ) {
        self.seen = seen;
        self.healthy = healthy;
        self.failures = 0;
        self.grace_ends = now + grace;
    }

    pub(crate) fn turn(&mut self, purpose: Purpose) -> &mut Option<Turn> {
        match purpose {
            Purpose::Check => &mut self.check,
            Purpose::Health => &mut self.health,
        }
    }

    /// A new result of the check; `false` when it is the old one.
    pub(crate) fn see(&mut self, status: CheckStatus) -> bool {
        self.seen.replace(status) != Some(status)
    }

    /// Counts an answer to the health check. The first success is told, the first after a failure, and every failure.
    pub(crate) fn count(&mut self, now: Mono, plan: &HealthCheck, answer: &Answer) -> Verdict {
        match plan.judge(answer) {
            Ok(()) => {
                self.failures = 0;
                if self.healthy.replace(true) == Some(true) { Verdict::Nothing } else { Verdict::Well }
            }
            Err(_) if self.healthy.is_none() && now <= self.grace_ends => Verdict::Nothing,
            Err(why) => {
                self.healthy = Some(false);
                self.failures = self.failures.saturating_add(1);
                let said = format!("health check failed {} times in a row: {why}", self.failures);
                if self.failures >= plan.failures { Verdict::Dead(said) } else { Verdict::Ill(said) }
            }
        }
    }
}
