//! Notices that a container ran out of memory.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::sys::eventfd::EventFd;
use serde::{Deserialize, Serialize};

use crate::IsolationError;

use super::pressure_levels::subscribe;

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
pub struct OomWatch(EventFd);

impl OomWatch {
    /// Subscribes to the notices of a v1 memory group.
    ///
    /// # Errors
    /// When the group is gone or the kernel has no `cgroup.event_control`.
    pub fn v1(directory: &Path) -> Result<Self, IsolationError> {
        subscribe(directory, "memory.oom_control", "").map(Self)
    }

    /// Whether a notice has come since the last call. The kernel gives one when the group is removed, too.
    pub fn noticed(&self) -> bool {
        self.0.read().is_ok()
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
