//! The one place where this daemon reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chapada_model::{Mono, Now, Wall};

/// Reads both clocks; the monotonic one counts from when this was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono: Mono::default() + self.running(), wall: self.wall() }
    }

    /// How long ago it was made: no jump of the wall clock changes that.
    pub(crate) fn running(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn wall(&self) -> Wall {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Wall(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The moment of the runtime's clock at which `mono` is reached.
    pub(crate) fn instant(&self, mono: Mono) -> tokio::time::Instant {
        let at = self.start.checked_add(Duration::from_nanos(mono.0));
        at.unwrap_or_else(|| self.start + Duration::from_secs(u64::from(u32::MAX))).into()
    }
}
