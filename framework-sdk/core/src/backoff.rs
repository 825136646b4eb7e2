//! How long to wait before trying again: doubling, capped, with full jitter.

use std::time::Duration;

/// Waits between zero and a ceiling that doubles with each attempt.
///
/// Source: "full jitter" keeps a crowd that was cut off together from returning together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Ceiling of the first wait.
    pub first: Duration,
    /// Largest ceiling.
    pub most: Duration,
}

impl Backoff {
    /// Ceiling of the wait before the attempt after `failures` failed ones.
    pub fn ceiling(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.most)
    }

    /// The wait itself; `random` is spread evenly over all of `u64`.
    pub fn wait(&self, failures: u32, random: u64) -> Duration {
        let share = (random >> 11) as f64 / (1_u64 << 53) as f64;
        self.ceiling(failures).mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_cap_and_never_waits_longer() {
        let backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(5) };
        let ceilings: Vec<u128> = (0..8).map(|failures| backoff.ceiling(failures).as_millis()).collect();
        assert_eq!(ceilings, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff.wait(9, 0), Duration::ZERO);
        assert!(backoff.wait(9, u64::MAX) <= Duration::from_secs(5));
        assert!(backoff.wait(9, u64::MAX) > Duration::from_millis(4_999));
        assert_eq!(backoff.ceiling(u32::MAX), Duration::from_secs(5));
    }

    #[test]
    fn ticket_9147_a_wait_does_not_overflow_and_begin_anew() {
        let extreme = [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(1), Duration::MAX];
        for (first, most) in extreme.iter().flat_map(|first| extreme.iter().map(move |most| (*first, *most)))
        {
            let backoff = Backoff { first, most };
            let ceilings: Vec<Duration> = (0..200).chain([u32::MAX]).map(|n| backoff.ceiling(n)).collect();
            assert!(ceilings.is_sorted(), "{backoff:?}: {ceilings:?}");
            assert!(ceilings.iter().all(|ceiling| *ceiling <= most));
        }
    }
}
