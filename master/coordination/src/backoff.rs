//! Waiting before trying again: doubling, capped, with full jitter so that a crowd does not return at once.

use std::time::Duration;

use tokio::time::Instant;

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

/// How fast what fails while the session stands, or is undone by somebody else, is tried again: the first time at once, then ever
/// slower until it stood for a while. Much shorter than a session, so that nobody's place is lost by waiting.
#[derive(Debug, Default)]
pub(crate) struct Pace(Option<(Backoff, Instant)>);

impl Pace {
    const FIRST: Duration = Duration::from_millis(100);
    const MOST: Duration = Duration::from_secs(1);
    /// What is not tried for so long is done.
    const DONE_AFTER: Duration = Duration::from_secs(10);

    /// Returns when it may be tried.
    pub(crate) async fn wait(&mut self) {
        match &mut self.0 {
            Some((backoff, last)) if last.elapsed() < Self::DONE_AFTER => {
                tokio::time::sleep(backoff.next_wait()).await;
                *last = Instant::now();
            }
            first => *first = Some((Backoff::new(Self::FIRST, Self::MOST), Instant::now())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_try_is_made_at_once_and_others_ever_slower_until_there_was_none_for_a_while() {
        let (mut pace, begin) = (Pace::default(), Instant::now());
        pace.wait().await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
        for _ in 0..1_000 {
            let before = Instant::now();
            pace.wait().await;
            assert!(before.elapsed() <= Pace::MOST);
        }
        assert!(begin.elapsed() > 300 * Pace::MOST, "half of it each time: {:?}", begin.elapsed());
        tokio::time::advance(Pace::DONE_AFTER).await;
        let before = Instant::now();
        pace.wait().await;
        assert_eq!(before.elapsed(), Duration::ZERO);
    }
}
