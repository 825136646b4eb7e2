//! Where in the stream of events.

use std::fmt;

/// The place of one event in the streams of all leaders: later ones are greater, and no two leaders give out the same,
/// because no two have one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The epoch of the leadership.
    pub epoch: u64,
    /// How many events it had with this one; 0 is the place before the first.
    pub sequence: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.sequence)
    }
}

/// Why a stream cannot go on where it was cut; the follower needs the state afresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotResumed {
    /// The position is of another leader.
    #[error("the position is of another leader: its epoch is {asked}, this one's {ours}")]
    OtherEpoch {
        /// The epoch of the position.
        asked: u64,
        /// The epoch of this leader.
        ours: u64,
    },
    /// What came after the position is no longer kept.
    #[error("what came after the position is no longer kept: events are kept from {oldest} on")]
    Forgotten {
        /// The oldest event that is kept.
        oldest: u64,
    },
    /// There has been no such event yet.
    #[error("there is no event {asked} yet: the last is {last}")]
    Unknown {
        /// The position.
        asked: u64,
        /// The last event.
        last: u64,
    },
}
