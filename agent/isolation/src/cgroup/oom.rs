//! Notices that a container ran out of memory.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use nix::sys::eventfd::{EfdFlags, EventFd};
use serde::{Deserialize, Serialize};

use crate::{Context, IsolationError};

/// Why a container was killed for want of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OomReport {
    /// The limit it ran into, in bytes. `None`: the machine itself was out of memory.
    pub limit_bytes: Option<u64>,
    /// The highest charge the kernel saw, in bytes.
    pub peak_bytes: Option<u64>,
    /// How many processes the kernel killed.
    pub kills: u64,
}

/// Readable once the kernel begins to kill in a v1 memory group. v2 needs none: there the kernel kills the group as one.
#[derive(Debug)]
pub struct OomWatch {
    notice: EventFd,
    /// Closing it would end the subscription.
    _control: File,
}

impl OomWatch {
    /// Subscribes to the notices of a v1 memory group.
    ///
    /// # Errors
    /// When the group is gone or the kernel has no `cgroup.event_control`.
    pub fn v1(directory: &Path) -> Result<Self, IsolationError> {
        let notice = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .context("create an event for", directory.display())?;
        let path = directory.join("memory.oom_control");
        let control = File::open(&path).context("open", path.display())?;
        let line = format!("{} {}", notice.as_fd().as_raw_fd(), control.as_raw_fd());
        let path = directory.join("cgroup.event_control");
        OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .context("subscribe at", path.display())?;
        Ok(Self { notice, _control: control })
    }

    /// Whether a notice has come since the last call. The kernel gives one when the group is removed, too.
    pub fn noticed(&self) -> bool {
        self.notice.read().is_ok()
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notice.as_fd()
    }
}
