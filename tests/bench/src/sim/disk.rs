//! An agent's disk: what is written while a sync is under way is made durable by the next one.

use std::time::Duration;

use chapada_model::Mono;

/// How long a sync takes: a good solid-state disk.
const SYNC: Duration = Duration::from_millis(1);

/// When the last sync that is under way or about to begin ends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Disk(Mono);

impl Disk {
    /// When a record that is written now is durable.
    pub(crate) fn write(&mut self, now: Mono) -> Mono {
        let begins = Mono(self.0.0.saturating_sub(SYNC.as_nanos() as u64));
        if now >= self.0 {
            self.0 = now + SYNC;
        } else if now >= begins {
            self.0 = self.0 + SYNC;
        }
        self.0
    }
}
