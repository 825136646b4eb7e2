//! What a run met with, so that a test can say that each kind of trouble occurs.

use std::collections::BTreeMap;

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Met {
    /// A message took more than half a second.
    SlowMessage,
    /// A link broke with something on its way.
    LostOnTheWay,
    /// An end of a broken link learned of it later than the moment it broke.
    LearnedLate,
    /// A call arrived before one that was made earlier.
    CallsSwapped,
    /// A call arrived twice.
    CallRepeated,
    /// Nothing got through one way.
    PartitionOneWay,
    /// Nothing got through either way.
    PartitionBothWays,
    /// A sync took more than half a second.
    SlowSync,
    /// A sync had to wait for space.
    DiskFull,
    /// An agent's process ended with some of its last records on disk, and others lost.
    TornTail,
    /// A master's wall clock jumped.
    MasterClock,
    /// An agent's wall clock jumped.
    AgentClock,
    /// A framework's wall clock jumped.
    FrameworkClock,
    /// A leader ended.
    LeaderEnded,
    /// A leader was deposed and went on without knowing it.
    LeaderDeposed,
    /// A deposed leader tried to write.
    DeposedWrote,
    /// The registry's answer was lost, with the change made or not.
    AnswerLost,
    /// An agent's process ended.
    AgentEnded,
    /// A machine was switched off and on.
    Rebooted,
    /// An agent came back with other resources.
    Reconfigured,
    /// A framework's process ended.
    FrameworkEnded,
    /// A framework could not store what it meant to.
    StoreFailed,
    /// A container could not be made.
    NotMade,
    /// A container ran out of memory.
    OutOfMemory,
    /// A container did not end on SIGTERM.
    Stubborn,
    /// A stream of an executor broke.
    ExecutorCut,
    /// The program of an executor ended with tasks in hand.
    ExecutorEnded,
    /// A group was started, on the built-in executor or one of a framework's own.
    GroupStarted,
    /// A container of a pod of the services framework was started.
    ContainerStarted,
    /// An operator's call about roles was taken.
    RolesChanged,
    /// An operator's call about reservations or volumes was taken.
    ResourcesChanged,
    /// An operator removed a framework.
    TornDown,
    /// An operator had an agent drained.
    AgentDrained,
    /// An operator had many agents drained, some at once.
    ManyDrained,
    /// An operator had an agent deactivated or offered again, ended a drain, or said something of the brake.
    DutyChanged,
    /// Most agents fell silent at once.
    SwitchBroken,
    /// An agent was given up.
    GivenUp,
    /// An agent was not given up because others were, or because the leader was new.
    HeldByBrake,
    /// A master's process ended and its session outlived it.
    SessionOutlived,
    /// A session expired.
    SessionExpired,
    /// A master did not reach the ensemble.
    CutFromEnsemble,
    /// A leader was suspended.
    Suspended,
    /// A master's process was stopped and went on later.
    ProcessStopped,
    /// The ensemble had no quorum.
    QuorumLost,
    /// A write's connection broke before its answer came.
    OutcomeUnknown,
    /// The registry had no space.
    RegistryFull,
}

impl Met {
    /// All of them.
    pub const ALL: [Self; 46] = [
        Self::SlowMessage,
        Self::LostOnTheWay,
        Self::LearnedLate,
        Self::CallsSwapped,
        Self::CallRepeated,
        Self::PartitionOneWay,
        Self::PartitionBothWays,
        Self::SlowSync,
        Self::DiskFull,
        Self::TornTail,
        Self::MasterClock,
        Self::AgentClock,
        Self::FrameworkClock,
        Self::LeaderEnded,
        Self::LeaderDeposed,
        Self::DeposedWrote,
        Self::AnswerLost,
        Self::AgentEnded,
        Self::Rebooted,
        Self::Reconfigured,
        Self::FrameworkEnded,
        Self::StoreFailed,
        Self::NotMade,
        Self::OutOfMemory,
        Self::Stubborn,
        Self::ExecutorCut,
        Self::ExecutorEnded,
        Self::GroupStarted,
        Self::ContainerStarted,
        Self::RolesChanged,
        Self::ResourcesChanged,
        Self::TornDown,
        Self::AgentDrained,
        Self::ManyDrained,
        Self::DutyChanged,
        Self::SwitchBroken,
        Self::GivenUp,
        Self::HeldByBrake,
        Self::SessionOutlived,
        Self::SessionExpired,
        Self::CutFromEnsemble,
        Self::Suspended,
        Self::ProcessStopped,
        Self::QuorumLost,
        Self::OutcomeUnknown,
        Self::RegistryFull,
    ];
}

/// How often a run met with what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<Met, u64>);

impl Tally {
    pub(crate) fn met(&mut self, what: Met) {
        *self.0.entry(what).or_default() += 1;
    }

    /// How often.
    pub fn of(&self, what: Met) -> u64 {
        self.0.get(&what).copied().unwrap_or_default()
    }

    /// Adds what another run met with.
    pub fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            *self.0.entry(*what).or_default() += times;
        }
    }
}
