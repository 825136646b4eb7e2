//! Those who follow: where each is, and what is on its way to it.

use std::sync::Arc;

use super::{Batch, EventLog, NotResumed, Position};

/// Names one follower; earlier ones are smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FollowerId(u64);

/// One that follows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follower {
    /// The number of the last event it was handed.
    had: u64,
    /// Bytes of all batches up to that event, of which the last may be had in part.
    end: usize,
    /// Bytes on their way to it.
    flight: usize,
    /// When the first of these were handed to it or it last read any, in turns of the log.
    read: u64,
    /// It came back from farther behind than one may be, and has not caught up yet.
    is_catching_up: bool,
}

/// What to do for a follower.
#[derive(Debug)]
pub enum Next<T, E = ()> {
    /// Hand it the events of this batch after that number; they count as handed.
    Batch(Arc<Batch<T, E>>, u64),
    /// Nothing is new.
    Wait,
    /// It was cut: end its connection.
    Gone,
}

/// One that must go, at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Which.
    pub follower: FollowerId,
    /// Why.
    pub reason: CutReason,
}

/// Why a follower is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutReason {
    /// What it has not had is more than it may be behind.
    Behind,
    /// It does not read what it was handed.
    Holding,
    /// All together hold too much, and it has read nothing for the longest time.
    Crowded,
    /// There are too many, and it came first.
    Oldest,
}

impl<T, E: Default> EventLog<T, E> {
    /// One more follower, who has had everything up to the position. The cut are those who make room for it.
    ///
    /// # Errors
    /// [`NotResumed`] when what it has not had is not all there; nothing is changed then.
    pub fn join(&mut self, position: Position) -> Result<(FollowerId, Vec<Cut>), NotResumed> {
        self.check(position)?;
        let mut cut = Vec::new();
        while self.followers.len() >= self.bounds.followers.max(1) {
            let Some((follower, oldest)) = self.followers.pop_first() else { break };
            self.flight -= oldest.flight;
            cut.push(Cut { follower, reason: CutReason::Oldest });
        }
        let at = self.batches.partition_point(|batch| batch.last() <= position.sequence);
        let next = self.batches.get(at);
        let end = next.map_or(self.total, |batch| batch.end.wrapping_sub(batch.bytes));
        let id = FollowerId(self.next_follower);
        self.next_follower += 1;
        let is_catching_up = self.total.wrapping_sub(end) > self.bounds.behind_bytes;
        let follower = Follower { had: position.sequence, end, flight: 0, read: 0, is_catching_up };
        self.followers.insert(id, follower);
        Ok((id, cut))
    }

    /// What a follower is to be handed.
    pub fn next(&mut self, id: FollowerId) -> Next<T, E> {
        let Some(follower) = self.followers.get_mut(&id) else { return Next::Gone };
        let had = follower.had;
        let at = self.batches.partition_point(|batch| batch.last() <= had);
        let Some(batch) = self.batches.get(at) else { return Next::Wait };
        follower.had = batch.last();
        follower.end = batch.end;
        Next::Batch(batch.clone(), had)
    }

    /// So many bytes are on their way to a follower. The cut are those for whom this is too much.
    pub fn handed(&mut self, id: FollowerId, bytes: usize) -> Vec<Cut> {
        self.turn += 1;
        let Some(follower) = self.followers.get_mut(&id) else { return Vec::new() };
        if follower.flight == 0 {
            follower.read = self.turn;
        }
        follower.flight = follower.flight.saturating_add(bytes);
        self.flight = self.flight.saturating_add(bytes);
        let mut cut = Vec::new();
        if follower.flight > self.bounds.flight_of_one {
            self.leave(id);
            cut.push(Cut { follower: id, reason: CutReason::Holding });
        }
        while self.flight > self.bounds.flight_of_all {
            let holding = self.followers.iter().filter(|(_, follower)| follower.flight > 0);
            let Some((&follower, _)) = holding.min_by_key(|(_, follower)| follower.read) else { break };
            self.leave(follower);
            cut.push(Cut { follower, reason: CutReason::Crowded });
        }
        cut
    }

    /// So many bytes have reached a follower's connection. Those of one that is gone count for nobody.
    pub fn written(&mut self, id: FollowerId, bytes: usize) {
        self.turn += 1;
        if let Some(follower) = self.followers.get_mut(&id) {
            let bytes = bytes.min(follower.flight);
            follower.read = self.turn;
            follower.flight -= bytes;
            self.flight -= bytes;
        }
    }

    /// A follower has left.
    pub fn leave(&mut self, id: FollowerId) {
        if let Some(follower) = self.followers.remove(&id) {
            self.flight -= follower.flight;
        }
    }

    /// How many follow.
    pub fn followers(&self) -> usize {
        self.followers.len()
    }

    /// Bytes on their way to all of them.
    pub fn flight(&self) -> usize {
        self.flight
    }

    /// Cuts everyone who is too far behind, or has not had what is forgotten: the events up to that number.
    pub(super) fn cut_behind(&mut self, forgotten: u64) -> Vec<Cut> {
        let (total, most) = (self.total, self.bounds.behind_bytes);
        let mut over = Vec::new();
        for (id, follower) in &mut self.followers {
            let is_far = total.wrapping_sub(follower.end) > most;
            follower.is_catching_up &= is_far;
            if follower.had < forgotten || (is_far && !follower.is_catching_up) {
                over.push(*id);
            }
        }
        over.iter().for_each(|follower| self.leave(*follower));
        over.into_iter().map(|follower| Cut { follower, reason: CutReason::Behind }).collect()
    }
}
