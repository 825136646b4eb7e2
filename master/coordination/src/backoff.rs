//! Waiting before trying again: doubling, capped, with full jitter so that a crowd does not return at once.

use std::time::Duration;

/// How long the next wait may be.
#[derive(Debug)]
pub(crate) struct Backoff {
    ceiling: Duration,
    first: Duration,
    most: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self { ceiling: first, first, most }
    }

    /// A random wait up to the ceiling, which doubles.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        let share = (random >> 40) as f64 / f64::from(1 << 24);
        let wait = self.ceiling.mul_f64(share);
        self.ceiling = (self.ceiling * 2).min(self.most);
        wait
    }

    pub(crate) fn reset(&mut self) {
        self.ceiling = self.first;
    }
}

/// Between attempts at a ZooKeeper session.
pub(crate) fn session_backoff() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(5))
}
