//! How often the kernel found memory short in a v1 group. It counts for those who asked, from then on.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::{Context, IsolationError};

use super::file;

/// Counters of one group. The kernel keeps them as long as this is there.
#[derive(Debug)]
pub struct PressureLevels([Counter; 3]);

/// How often memory was that short or shorter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PressureCounts {
    /// Memory was taken back for new allocations.
    pub low: u64,
    /// So much that it hurt: swapping, or pages of active files.
    pub medium: u64,
    /// The group was about to run out.
    pub critical: u64,
}

#[derive(Debug)]
struct Counter {
    notices: EventFd,
    taken: AtomicU64,
}

impl PressureLevels {
    pub(super) fn v1(directory: &Path) -> Result<Self, IsolationError> {
        let counter = |level: &str| {
            let notices = subscribe(directory, "memory.pressure_level", level)?;
            Ok(Counter { notices, taken: AtomicU64::new(0) })
        };
        Ok(Self([counter("low")?, counter("medium")?, counter("critical")?]))
    }

    /// Since this was made.
    pub fn counts(&self) -> PressureCounts {
        let [low, medium, critical] = self.0.each_ref().map(Counter::count);
        PressureCounts { low, medium, critical }
    }
}

impl Counter {
    fn count(&self) -> u64 {
        // Reading takes away what was counted; there is nothing to read if nothing was.
        let new = self.notices.read().unwrap_or(0);
        self.taken.fetch_add(new, Ordering::Relaxed) + new
    }
}

/// Has the kernel add one for each notice of `file`, until the result is dropped; it gives one when the group is removed, too.
pub(super) fn subscribe(directory: &Path, name: &str, argument: &str) -> Result<EventFd, IsolationError> {
    let notices = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
        .context("create an event for", directory.display())?;
    let path = directory.join(name);
    // The kernel takes the file's name from it, and nothing else.
    let subject = File::open(&path).context("open", path.display())?;
    let line = format!("{} {} {argument}", notices.as_raw_fd(), subject.as_raw_fd());
    file::write(directory, "cgroup.event_control", line.trim_end())?;
    Ok(notices)
}
