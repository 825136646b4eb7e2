//! What the layers of one image may take together, and whether anybody still wants them.

use std::io::{self, Read};
use std::sync::Arc;
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
}

/// Stops work on another thread when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct StopWhenDropped(Arc<AtomicBool>);

impl StopWhenDropped {
    /// What the work looks at.
    pub(crate) fn watch(&self) -> Watch {
        Watch(self.0.clone())
    }
}

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Tells whether work is still wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch(Arc<AtomicBool>);

impl Watch {
    /// # Errors
    /// When nobody wants it any more.
    pub(crate) fn check(&self) -> io::Result<()> {
        let stopped = self.0.load(Ordering::Relaxed);
        if stopped { Err(io::Error::other(Stopped::Cancelled)) } else { Ok(()) }
    }
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
        Self { max_bytes, max_entries, bytes: zero(), entries: zero(), names: zero() }
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
    watch: &'a Watch,
}

impl<'a, R> Metered<'a, R> {
    pub(crate) fn new(reader: R, sum: Sum, budget: &'a Budget, watch: &'a Watch) -> Self {
        Self { reader, sum, budget, watch }
    }

    pub(crate) fn sum(self) -> Digest {
        self.sum.finish()
    }
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.watch.check()?;
        let read = self.reader.read(buffer)?;
        self.budget.count_bytes(read)?;
        self.sum.update(&buffer[..read]);
        Ok(read)
    }
}
