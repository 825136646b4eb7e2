//! How long a thing that keeps failing waits before its next launch.

use std::time::Duration;

use chapada_model::Mono;

/// How delays grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DelayRule {
    /// The first wait.
    pub first: Duration,
    /// What each further failure multiplies it by.
    pub factor: f64,
    /// The longest wait; a wait that was over for as long is forgotten.
    pub most: Duration,
}

/// The wait of one thing. It grows with each failure and is forgotten after a quiet time. Unlike [`Backoff`](crate::Backoff) it
/// is exact, so that it can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    length: Duration,
    until: Mono,
}

impl Delay {
    /// The wait after one more failure at `now`.
    pub fn after_failure(previous: Option<Self>, rule: &DelayRule, now: Mono) -> Self {
        let length = match previous.filter(|delay| now <= delay.until() + rule.most) {
            None => rule.first,
            Some(delay) => {
                let grown = delay.length.as_secs_f64() * rule.factor;
                Duration::try_from_secs_f64(grown).unwrap_or(rule.most)
            }
        };
        let length = length.min(rule.most);
        Self { length, until: now + length }
    }

    /// A wait of `length` that began before this process did: so much is left of it.
    pub fn resumed(length: Duration, left: Duration, now: Mono) -> Self {
        Self { length, until: now + left.min(length) }
    }

    /// How long it is in all.
    pub fn length(self) -> Duration {
        self.length
    }

    /// When the wait is over.
    pub fn until(self) -> Mono {
        self.until
    }

    /// What is left of the wait.
    pub fn left(self, now: Mono) -> Duration {
        self.until().since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn grows_to_the_longest_and_is_forgotten_after_a_quiet_time() {
        let rule = DelayRule { first: SECOND, factor: 2.0, most: 5 * SECOND };
        let now = Mono(0);
        let mut delay = None;
        let mut lengths = Vec::new();
        for _ in 0..5 {
            let next = Delay::after_failure(delay, &rule, now);
            lengths.push(next.left(now).as_secs());
            delay = Some(next);
        }
        assert_eq!(lengths, [1, 2, 4, 5, 5]);
        let still = now + 10 * SECOND;
        assert_eq!(Delay::after_failure(delay, &rule, still).left(still), 5 * SECOND);
        let quiet = still + Duration::from_millis(1);
        assert_eq!(Delay::after_failure(delay, &rule, quiet).left(quiet), SECOND);
    }

    #[test]
    fn goes_on_where_another_process_left_it() {
        let rule = DelayRule { first: SECOND, factor: 2.0, most: 60 * SECOND };
        let now = Mono(5);
        let resumed = Delay::resumed(8 * SECOND, 3 * SECOND, now);
        assert_eq!((resumed.left(now), resumed.length()), (3 * SECOND, 8 * SECOND));
        assert_eq!(Delay::after_failure(Some(resumed), &rule, now).length(), 16 * SECOND);
        assert_eq!(Delay::resumed(SECOND, 9 * SECOND, now).left(now), SECOND, "never longer than it is");
    }
}
