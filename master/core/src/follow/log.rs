//! The ring of events.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::followers::{Cut, Follower, FollowerId};
use super::{NotResumed, Position};

/// How much is kept, and how much may be on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowBounds {
    /// Events in one batch at most.
    pub batch_events: usize,
    /// Bytes in one batch at most; one event that is larger is a batch by itself.
    pub batch_bytes: usize,
    /// Bytes of all batches that are kept.
    pub kept_bytes: usize,
    /// Bytes that a follower may not have had yet; at least a batch. Less than what is kept, so that one who is cut has
    /// time to come back and go on; one who comes back may be farther behind until it has caught up.
    pub behind_bytes: usize,
    /// Bytes on their way to one follower.
    pub flight_of_one: usize,
    /// Bytes on their way to all followers.
    pub flight_of_all: usize,
    /// Followers at once. One more cuts the one that came first. Source: Mesos does so above 1,000.
    pub followers: usize,
}

/// Some events in a row, made available together.
#[derive(Debug)]
pub struct Batch<T, E = ()> {
    /// The number of the first.
    pub first: u64,
    /// The events; never none.
    pub events: Vec<T>,
    /// Room for what the shell makes of all of them once, for everyone.
    pub made: E,
    pub(super) bytes: usize,
    /// Bytes of all batches up to this one.
    pub(super) end: usize,
}

impl<T, E> Batch<T, E> {
    /// The number of the last.
    pub fn last(&self) -> u64 {
        self.first + self.events.len() as u64 - 1
    }

    /// The events after that number, with the number of the first of them.
    pub fn after(&self, sequence: u64) -> (u64, &[T]) {
        let skip = usize::try_from((sequence + 1).saturating_sub(self.first)).unwrap_or(usize::MAX);
        (self.first.max(sequence + 1), self.events.get(skip..).unwrap_or_default())
    }
}

/// The events of one leadership that are kept, and those who follow them.
#[derive(Debug)]
pub struct EventLog<T, E = ()> {
    pub(super) epoch: u64,
    pub(super) bounds: FollowBounds,
    /// What is closed, oldest first.
    pub(super) batches: VecDeque<Arc<Batch<T, E>>>,
    kept: usize,
    /// Bytes of all batches there ever were.
    pub(super) total: usize,
    /// What came since, which nobody may have yet.
    open: Vec<T>,
    open_bytes: usize,
    /// The number of the last event.
    pub(super) last: u64,
    pub(super) followers: BTreeMap<FollowerId, Follower>,
    pub(super) next_follower: u64,
    pub(super) flight: usize,
    /// Grows whenever something is handed to a follower or read by one.
    pub(super) turn: u64,
}

impl<T, E: Default> EventLog<T, E> {
    /// An empty log of a new leadership.
    pub fn new(epoch: u64, bounds: FollowBounds) -> Self {
        let bounds = FollowBounds { behind_bytes: bounds.behind_bytes.min(bounds.kept_bytes), ..bounds };
        Self {
            epoch,
            bounds,
            batches: VecDeque::new(),
            kept: 0,
            total: 0,
            open: Vec::new(),
            open_bytes: 0,
            last: 0,
            followers: BTreeMap::new(),
            next_follower: 0,
            flight: 0,
            turn: 0,
        }
    }

    /// Adds an event that takes so many bytes. It is not available before the next [`close`](Self::close), except that
    /// what would not fit into the open batch closes it. The cut are those that are too far behind now.
    pub fn push(&mut self, event: T, bytes: usize) -> Vec<Cut> {
        let full = self.open.len() >= self.bounds.batch_events
            || self.open_bytes.saturating_add(bytes) > self.bounds.batch_bytes;
        let cut = if full { self.close() } else { Vec::new() };
        self.open.push(event);
        self.open_bytes = self.open_bytes.saturating_add(bytes);
        self.last += 1;
        cut
    }

    /// Makes available what came since the last time, and forgets the oldest when too much is kept. The cut are those who
    /// are too far behind.
    pub fn close(&mut self) -> Vec<Cut> {
        if self.open.is_empty() {
            return Vec::new();
        }
        let events = std::mem::take(&mut self.open);
        let bytes = std::mem::take(&mut self.open_bytes);
        let first = self.last + 1 - events.len() as u64;
        self.total = self.total.wrapping_add(bytes);
        self.kept = self.kept.saturating_add(bytes);
        self.batches.push_back(Arc::new(Batch { first, events, made: E::default(), bytes, end: self.total }));
        let mut forgotten = 0;
        // The newest is kept though it may alone be larger than the bound.
        while self.kept > self.bounds.kept_bytes && self.batches.len() > 1 {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.kept -= oldest.bytes;
            forgotten = oldest.last();
        }
        self.cut_behind(forgotten)
    }

    /// Whether something waits to be made available.
    pub fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Where the last event is, available or not.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, sequence: self.last }
    }

    /// The number of the oldest event that is kept, or of the next one when none is.
    pub fn oldest(&self) -> u64 {
        let unclosed = self.last + 1 - self.open.len() as u64;
        self.batches.front().map_or(unclosed, |batch| batch.first)
    }

    /// Bytes of the batches that are kept.
    pub fn kept_bytes(&self) -> usize {
        self.kept
    }

    /// Whether everything after the position can still be sent.
    ///
    /// # Errors
    /// [`NotResumed`] says why not.
    pub fn check(&self, position: Position) -> Result<(), NotResumed> {
        let (oldest, last, asked) = (self.oldest(), self.last, position.sequence);
        match position.epoch == self.epoch {
            false => Err(NotResumed::OtherEpoch { asked: position.epoch, ours: self.epoch }),
            true if asked > last => Err(NotResumed::Unknown { asked, last }),
            true if asked + 1 < oldest => Err(NotResumed::Forgotten { oldest }),
            true => Ok(()),
        }
    }
}
