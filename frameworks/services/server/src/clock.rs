//! The only clock of this crate; the core is told the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use chapada_model::{Mono, Now, Wall};

/// Reads both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: Mono::default() + self.start.elapsed(), wall: Wall::default() + wall }
    }

    /// When `mono` is, for timers.
    pub(crate) fn instant(&self, mono: Mono) -> tokio::time::Instant {
        (self.start + mono.since(Mono::default())).into()
    }
}
