//! What a task asks to be watched for, and what a probe can answer. Source: Mesos' CheckInfo, HealthCheck and
//! `TaskInfo.max_completion_time`.

use std::time::Duration;

use chapada_model::TaskState;

/// What the agent watches a task for while its command runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// A task that runs longer is killed without grace and has failed.
    pub max_completion: Option<Duration>,
    /// What is found is told, and nothing is done about it.
    pub check: Option<Check>,
    /// A task that fails it too often is killed.
    pub health: Option<HealthCheck>,
}

/// A check whose result is told to the framework.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// What its results look like.
    pub kind: CheckKind,
    /// When it is made.
    pub schedule: Schedule,
}

/// A check that kills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// When it is made.
    pub schedule: Schedule,
    /// Failures this soon after the start and before the first success do not count.
    pub grace: Duration,
    /// So many in a row kill the task; 0 counts as 1.
    pub failures: u32,
    /// The HTTP statuses that are a success; 200 to 399 when there are none.
    pub statuses: Vec<u32>,
}

/// When a check is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// From the start of the command to the first probe.
    pub delay: Duration,
    /// From the end of a probe to the next.
    pub interval: Duration,
    /// How long a probe may take; it may take for ever when this is absent.
    pub timeout: Option<Duration>,
}

/// How a check asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// Runs a command in the task's container.
    Command,
    /// Sends a GET.
    Http,
    /// Opens a connection.
    Tcp,
}

/// The last result of a check; empty until there is one, and when the last probe got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckStatus {
    /// The status the command exited with.
    Command(Option<i32>),
    /// The status of the HTTP response.
    Http(Option<u32>),
    /// Whether a connection was accepted.
    Tcp(Option<bool>),
}

/// Which of a task's two checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The one that is told.
    Check,
    /// The one that kills.
    Health,
}

/// What came of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The command exited with this status, or 128 and the number of the signal that ended it.
    Exit(i32),
    /// The response had this status.
    Status(u32),
    /// The connection was accepted, or refused.
    Connected(bool),
    /// There was none, for this reason.
    Nothing(String),
}

impl CheckKind {
    /// What is said before there is a result.
    pub fn unknown(self) -> CheckStatus {
        match self {
            Self::Command => CheckStatus::Command(None),
            Self::Http => CheckStatus::Http(None),
            Self::Tcp => CheckStatus::Tcp(None),
        }
    }
}

impl Check {
    /// What this answer says; nothing for one of another kind.
    pub(crate) fn status(&self, answer: &Answer) -> CheckStatus {
        match (self.kind, answer) {
            (CheckKind::Command, Answer::Exit(code)) => CheckStatus::Command(Some(*code)),
            (CheckKind::Http, Answer::Status(status)) => CheckStatus::Http(Some(*status)),
            (CheckKind::Tcp, Answer::Connected(accepted)) => CheckStatus::Tcp(Some(*accepted)),
            (kind, _) => kind.unknown(),
        }
    }
}

impl HealthCheck {
    /// Whether this answer is a success.
    ///
    /// # Errors
    /// Says what failed.
    pub(crate) fn judge(&self, answer: &Answer) -> Result<(), String> {
        match answer {
            Answer::Exit(0) | Answer::Connected(true) => Ok(()),
            Answer::Status(status) if self.statuses.contains(status) => Ok(()),
            Answer::Status(200..=399) if self.statuses.is_empty() => Ok(()),
            Answer::Exit(code) => Err(format!("the command exited with status {code}")),
            Answer::Status(status) => Err(format!("the answer has status {status}")),
            Answer::Connected(false) => Err("the connection was refused".to_owned()),
            Answer::Nothing(why) => Err(why.clone()),
        }
    }
}

impl Watch {
    /// What is said of the check in a status of this state: the last result while the task runs, and nothing but its kind
    /// before and after.
    pub(crate) fn shown(&self, state: TaskState, seen: Option<CheckStatus>) -> Option<CheckStatus> {
        let kind = self.check?.kind;
        Some(seen.filter(|_| state == TaskState::Running).unwrap_or_else(|| kind.unknown()))
    }

    pub(crate) fn schedule(&self, purpose: Purpose) -> Option<Schedule> {
        match purpose {
            Purpose::Check => self.check.as_ref().map(|check| check.schedule),
            Purpose::Health => self.health.as_ref().map(|health| health.schedule),
        }
    }
}
