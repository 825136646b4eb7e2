//! How long a leader may take for granted that nobody else leads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The ensemble gives a place away one session timeout after it last heard of its holder. Whoever was sure of the place when
/// it asked is so until that long after. The clock goes on while the process is frozen, so one that wakes up knows before
/// anybody can tell it. Clones are the same lease.
#[derive(Clone, Debug)]
pub struct Lease {
    until: Option<Arc<Until>>,
}

#[derive(Debug)]
struct Until {
    begin: Instant,
    /// Nanoseconds after the beginning.
    nanos: AtomicU64,
}

impl Lease {
    /// For one whose place nobody can take.
    pub(crate) fn for_ever() -> Self {
        Self { until: None }
    }

    /// Over, until it is renewed.
    pub fn over() -> Self {
        Self { until: Some(Arc::new(Until { begin: Instant::now(), nanos: AtomicU64::new(0) })) }
    }

    /// The place was this leader's when it asked, and asking counts for so long. Only for whoever asks.
    pub fn renew(&self, asked: Instant, lasts: Duration) {
        let Some(until) = &self.until else { return };
        let end = asked.saturating_duration_since(until.begin) + lasts;
        until.nanos.fetch_max(u64::try_from(end.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether nobody else can lead at this moment.
    pub fn holds(&self) -> bool {
        let Some(until) = &self.until else { return true };
        let now = u64::try_from(until.begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        now < until.nanos.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_from_the_question_on_and_not_from_the_answer() {
        let lease = Lease::over();
        assert!(!lease.holds());
        let (hour, begin) = (Duration::from_secs(3600), Instant::now());
        lease.renew(begin, hour);
        assert!(lease.holds());
        let frozen = Lease::over();
        // Asked, frozen for longer than the session lasts, answered.
        if let Some(long_ago) = begin.checked_sub(hour) {
            frozen.renew(long_ago, Duration::from_nanos(1));
            assert!(!frozen.holds());
        }
        assert!(Lease::for_ever().holds());
    }
}
