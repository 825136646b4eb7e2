//! The one place that reads clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chapada_model::{Mono, Now, Wall};

/// Both clocks of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono: Mono(nanos(self.started.elapsed())), wall: wall() }
    }

    /// The moment at which this process reads `mono`.
    pub(crate) fn instant(&self, mono: Mono) -> tokio::time::Instant {
        (self.started + Duration::from_nanos(mono.0)).into()
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Time of day.
pub(crate) fn wall() -> Wall {
    Wall(nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
