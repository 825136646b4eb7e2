//! What the shim notes about a running container, so that a restarted agent adopts the right process.

use serde::{Deserialize, Serialize};

/// The file `container.json` of the runtime directory, written when process 1 exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerState {
    /// [`crate::PROTOCOL_VERSION`] of the shim.
    pub version: u32,
    /// Process 1 of the container, as the host numbers it.
    pub pid: i32,
    /// Its start time in clock ticks since boot.
    pub start_time: u64,
    /// The shim itself.
    pub shim_pid: i32,
    /// The boot in which these numbers mean something (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
}
