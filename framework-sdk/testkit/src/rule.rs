//! What every scheduler owes to its master and to itself.

use std::fmt;

/// A rule that a scheduler can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// An offer is accepted or declined once, and only an offer that was made.
    AnswerAnOfferOnce,
    /// No offer is kept for long: what is not used is declined.
    DeclineWhatIsNotUsed,
    /// Tasks need no more than the offers that they are launched on hold.
    StayWithinTheOffer,
    /// No two launches have one task id.
    UseATaskIdOnce,
    /// A launch is durable before it is sent: a scheduler put together from the store as it is at that moment knows the task.
    IntentBeforeLaunch,
    /// An update is acknowledged once it was handled, and nothing else is.
    AcknowledgeEveryUpdate,
    /// Not two tasks for one thing at the same time.
    NoDuplicate,
    /// As many tasks run in the end as there should be.
    NoLoss,
    /// A task that runs is known to the scheduler, or is killed.
    KnowWhatRuns,
    /// After a restart the framework comes back under the id it had.
    KeepTheFrameworkId,
    /// A scheduler whose place another has taken calls nothing any more once it has heard, and launches nothing before.
    StopWhenDeposed,
    /// Calls and their answers do not go back and forth without end.
    ComeToRest,
    /// No event makes the scheduler fail.
    StayUp,
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub rule: Rule,
    /// When, in virtual time since the start.
    pub at: std::time::Duration,
    /// By what.
    pub what: String,
}

impl Rule {
    /// The rule in one sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::AnswerAnOfferOnce => "answer an offer once",
            Self::DeclineWhatIsNotUsed => "decline what is not used",
            Self::StayWithinTheOffer => "stay within the offer",
            Self::UseATaskIdOnce => "use a task id once",
            Self::IntentBeforeLaunch => "store the intent before the launch",
            Self::AcknowledgeEveryUpdate => "acknowledge every update",
            Self::NoDuplicate => "no duplicate",
            Self::NoLoss => "no loss",
            Self::KnowWhatRuns => "know what runs, or kill it",
            Self::KeepTheFrameworkId => "keep the framework's id",
            Self::StopWhenDeposed => "stop when deposed",
            Self::ComeToRest => "come to rest",
            Self::StayUp => "stay up",
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "at {:.3} s: {}: {}", self.at.as_secs_f64(), self.rule.sentence(), self.what)
    }
}
