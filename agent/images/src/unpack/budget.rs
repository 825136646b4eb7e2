//! What the layers of one image may take together, and whether anybody still wants them.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::digest::{Digest, Sum};

/// Memory for names: an archive of a million entries with short names fits, one of long names does not.
const MAX_NAME_BYTES: u64 = 128 << 20;

/// Shared by the layers of an image, which are unpacked side by side.
#[derive(Debug)]
pub(crate) struct Budget {
    max_bytes: u64,
    max_entries: u64,
    bytes: AtomicU64,
    entries: AtomicU64,
    names: AtomicU64,
    cancelled: AtomicBool,
}

/// Why reading stopped, carried through the readers of archives as an [`io::Error`].
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum Stopped {
    #[error("more than {limit} {what}")]
    TooLarge { what: &'static str, limit: u64 },
    #[error("cancelled")]
    Cancelled,
}

impl Stopped {
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        // Decompressors wrap what their source says once.
        let inner = error.get_ref()?;
        let own = inner.downcast_ref::<Self>().copied();
        own.or_else(|| inner.downcast_ref::<io::Error>().and_then(Self::of))
    }
}

impl Budget {
    pub(crate) fn new(max_bytes: u64, max_entries: u64) -> Self {
        let zero = || AtomicU64::new(0);
        let cancelled = AtomicBool::new(false);
        Self { max_bytes, max_entries, bytes: zero(), entries: zero(), names: zero(), cancelled }
    }

    /// Stops what works on it, at its next read.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn check(&self) -> io::Result<()> {
        let cancelled = self.cancelled.load(Ordering::Relaxed);
        if cancelled { Err(io::Error::other(Stopped::Cancelled)) } else { Ok(()) }
    }

    pub(crate) fn count_entry(&self, name: usize) -> io::Result<()> {
        count(&self.names, name as u64, "bytes of names", MAX_NAME_BYTES)?;
        count(&self.entries, 1, "files", self.max_entries)
    }

    fn count_bytes(&self, bytes: usize) -> io::Result<()> {
        count(&self.bytes, bytes as u64, "bytes", self.max_bytes)
    }
}

fn count(counter: &AtomicU64, more: u64, what: &'static str, limit: u64) -> io::Result<()> {
    let now = counter.fetch_add(more, Ordering::Relaxed).saturating_add(more);
    if now > limit { Err(io::Error::other(Stopped::TooLarge { what, limit })) } else { Ok(()) }
}

/// A reader that counts and sums what goes through it.
pub(crate) struct Metered<'a, R> {
    reader: R,
    sum: Sum,
    budget: &'a Budget,
}

impl<'a, R> Metered<'a, R> {
    pub(crate) fn new(reader: R, sum: Sum, budget: &'a Budget) -> Self {
        Self { reader, sum, budget }
    }

    pub(crate) fn sum(self) -> Digest {
        self.sum.finish()
    }
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.budget.check()?;
        let read = self.reader.read(buffer)?;
        self.budget.count_bytes(read)?;
        self.sum.update(&buffer[..read]);
        Ok(read)
    }
}
