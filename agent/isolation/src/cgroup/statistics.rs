//! What a container has used.

use serde::{Deserialize, Serialize};

/// Read from the container's cgroup. What a machine does not count is zero or `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Statistics {
    /// Processor time used, in nanoseconds.
    pub cpu_usage_ns: u64,
    /// Of that, in user mode (v1 counts in hundredths of a second).
    pub cpu_user_ns: u64,
    /// Of that, in the kernel.
    pub cpu_system_ns: u64,
    /// The hard limit, in thousandths of a processor.
    pub cpu_quota_milli: Option<u64>,
    /// Enforcement periods so far.
    pub cpu_periods: u64,
    /// Of those, periods in which the container was held back.
    pub cpu_throttled_periods: u64,
    /// For how long it was held back, in nanoseconds.
    pub cpu_throttled_ns: u64,
    /// Memory charged, page cache included, in bytes.
    pub memory_total_bytes: u64,
    /// Anonymous memory, in bytes: what Mesos calls rss.
    pub memory_rss_bytes: u64,
    /// Page cache, in bytes.
    pub memory_cache_bytes: u64,
    /// Of that, what is mapped.
    pub memory_mapped_bytes: u64,
    /// Memory that cannot be taken back, in bytes.
    pub memory_unevictable_bytes: u64,
    /// What of it is in swap, in bytes.
    pub memory_swap_bytes: u64,
    /// What the kernel uses on its behalf, in bytes.
    pub memory_kernel_bytes: u64,
    /// What is in the buffers of its TCP connections (on v2: of all its sockets), in bytes.
    pub memory_sockets_bytes: u64,
    /// The highest charge so far, in bytes; `None` before Linux 5.19 on v2. Of [`super::Group::last_statistics`] only.
    pub memory_peak_bytes: Option<u64>,
    /// The memory limit, in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// How often the kernel killed a process of this container for want of memory. Of [`super::Group::last_statistics`] only.
    pub oom_kills: u64,
    /// Processes now.
    pub processes: u64,
    /// Their threads.
    pub threads: u64,
    /// Bytes read from disks. On v1 disks are counted only for a container with limits on them.
    pub io_read_bytes: u64,
    /// Bytes written to disks.
    pub io_written_bytes: u64,
    /// Reads from disks.
    pub io_reads: u64,
    /// Writes to disks.
    pub io_writes: u64,
}
