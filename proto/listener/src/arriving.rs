//! What request bodies take while they come in: bounded altogether and for each party; and the less is free, the faster they must be.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::shares::{Party, Share, Shares};

/// How many bytes of bodies that are still coming in one listener holds at once. A body that is whole is its handler's to bound.
const ARRIVING_BYTES: usize = 256 * 1024 * 1024;
/// The part of it that one party may hold is one of so many.
const PARTIES: usize = 4;

/// How fast a body must come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// How long its sender may pause.
    pub(crate) pause: Duration,
    /// What the whole body must bring a second, on average, beyond the first pause: a sender of single bytes would otherwise keep
    /// its request for days.
    pub(crate) rate: u64,
}

/// While there is room for all: slow lines and busy senders get through.
pub(crate) const STEADY: Pace = Pace { pause: Duration::from_secs(30), rate: 16 * 1024 };
/// While less than half of the room is free: who is slow would keep those out who are not, and leaves first. A line of 10 Mbit/s
/// is fast enough, and the largest body that daemons take by default is whole within 13 s or given up.
pub(crate) const PRESSED: Pace = Pace { pause: Duration::from_secs(5), rate: 1024 * 1024 };

impl Pace {
    /// When the next piece of a body must be there that began then, has brought so much, and brought the last of it then.
    pub(crate) fn deadline(self, begin: Instant, length: usize, last: Instant) -> Instant {
        let paid = Duration::from_millis(length as u64 * 1000 / self.rate);
        (begin + self.pause + paid).min(last + self.pause)
    }
}

/// What the bodies that are coming in at one listener may still take.
#[derive(Clone, Debug)]
pub(crate) struct Arriving {
    bytes: usize,
    free: Arc<Semaphore>,
    shares: Shares<Party>,
}

/// What one body holds; given back when it is dropped.
pub(crate) struct Held<'a> {
    arriving: &'a Arriving,
    share: Share<Party>,
    room: Option<SemaphorePermit<'a>>,
}

impl Arriving {
    /// For bodies of at most so many bytes each; one of that size always fits when nothing else is coming in.
    pub(crate) fn new(largest: u64) -> Self {
        Self::of(ARRIVING_BYTES, largest)
    }

    pub(crate) fn of(bytes: usize, largest: u64) -> Self {
        let largest = usize::try_from(largest).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let bytes = bytes.max(largest);
        let shares = Shares::new((bytes / PARTIES).max(largest));
        Self { bytes, free: Arc::new(Semaphore::new(bytes)), shares }
    }

    /// What a body of this party holds that has brought nothing yet.
    pub(crate) fn held_by(&self, party: Party) -> Held<'_> {
        Held { arriving: self, share: self.shares.begin(party), room: None }
    }

    /// How fast bodies must come at this moment.
    pub(crate) fn pace(&self) -> Pace {
        if self.free.available_permits() < self.bytes / 2 { PRESSED } else { STEADY }
    }
}

impl Held<'_> {
    /// Whether there was room for so much more, which it then holds.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let Ok(permits) = u32::try_from(bytes) else { return false };
        let Ok(more) = self.arriving.free.try_acquire_many(permits) else { return false };
        if !self.share.take_more(bytes) {
            return false;
        }
        match &mut self.room {
            Some(room) => room.merge(more),
            None => self.room = Some(more),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_party_takes_more_than_its_part_and_there_is_always_room_for_one_whole_body() {
        let arriving = Arriving::of(400, 10);
        let mut one = arriving.held_by(Party::User(1));
        let mut same = arriving.held_by(Party::User(1));
        assert!(one.take(60) && same.take(40));
        assert!(!one.take(1) && !same.take(1), "a quarter is taken");
        let mut others: Vec<_> = (2..5).map(|user| arriving.held_by(Party::User(user))).collect();
        assert!(others.iter_mut().all(|other| other.take(100)));
        assert!(!arriving.held_by(Party::User(5)).take(1), "all is taken");
        drop(one);
        assert!(arriving.held_by(Party::User(5)).take(60), "what was refused took nothing");
        drop((same, others));
        assert_eq!(arriving.free.available_permits(), 400);
        assert!(Arriving::of(400, 150).held_by(Party::User(1)).take(150));
        assert!(Arriving::of(400, 1_000).held_by(Party::User(1)).take(1_000));
        Arriving::of(400, u64::MAX);
    }

    #[test]
    fn bodies_must_be_faster_while_less_than_half_is_free() {
        let arriving = Arriving::of(400, 400);
        let mut held = arriving.held_by(Party::User(1));
        assert!(held.take(200));
        assert_eq!(arriving.pace(), STEADY);
        assert!(held.take(1));
        assert_eq!(arriving.pace(), PRESSED);
        drop(held);
        assert_eq!(arriving.pace(), STEADY);
    }

    #[test]
    fn single_bytes_buy_no_time_and_a_steady_sender_has_all_it_needs() {
        for pace in [STEADY, PRESSED] {
            let now = Instant::now();
            let long_ago = now.checked_sub(Duration::from_secs(100)).unwrap();
            assert!(pace.deadline(long_ago, 100, now) < now, "a byte a second");
            let steady = pace.deadline(long_ago, 200 * pace.rate as usize, now);
            assert_eq!(steady, now + pace.pause, "twice the least rate");
        }
    }
}
