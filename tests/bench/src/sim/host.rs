//! A host with one core: what arrives while it is at work waits.

use std::time::Duration;

use chapada_model::Mono;

/// The core of a host.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Host {
    busy_until: Mono,
    /// The CPU it has used.
    pub(crate) used: Duration,
}

impl Host {
    /// When something that is there at this moment can be begun.
    pub(crate) fn free_at(&self, at: Mono) -> Mono {
        self.busy_until.max(at)
    }

    /// Charges work that began as soon as it could after `at`; when it was done.
    pub(crate) fn work(&mut self, at: Mono, spent: Duration) -> Mono {
        self.busy_until = self.free_at(at) + spent;
        self.used += spent;
        self.busy_until
    }
}
