//! What a container is given, in units that do not depend on the kernel interface.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// No container gets less memory than this: a shell does not start in less.
///
/// Source: Mesos' `MIN_MEMORY` (32 MiB).
pub const MIN_MEMORY_BYTES: u64 = 32 << 20;

/// Enough for any build or server, and far too few for a fork bomb to take the machine down.
const DEFAULT_PROCESSES: u64 = 4096;

/// What a container may use. The default has no cpu or memory limit, and 4,096 processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Share of the processors.
    pub cpu: CpuLimits,
    /// The processors it may run on, as the kernel lists them: `0-3,8`. `None`: all.
    #[serde(default)]
    pub processors: Option<String>,
    /// Bytes of memory, page cache included; raised to [`MIN_MEMORY_BYTES`], and to what processes that run already have and
    /// cannot be taken from them. `None`: no limit.
    pub memory_bytes: Option<u64>,
    /// What is taken from it last when the machine is short of memory. `None`: nothing is spared.
    #[serde(default)]
    pub memory_soft_bytes: Option<u64>,
    /// Swap on top of memory; `u64::MAX`: as much as there is. `None`: none if memory is limited, where the kernel can.
    #[serde(default)]
    pub swap_bytes: Option<u64>,
    /// Processes and threads. `None`: no limit.
    pub processes: Option<u64>,
    /// Share and speed of disks.
    #[serde(default)]
    pub io: IoLimits,
    /// Bytes of huge pages by page size, as the kernel writes it: `2MB`, `1GB`. A size that is not here has no limit.
    #[serde(default)]
    pub huge_pages: BTreeMap<String, u64>,
    /// The class of its packets for `tc` (`major << 16 | minor`), where the machine has v1 `net_cls`.
    #[serde(default)]
    pub network_class: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu: CpuLimits::default(),
            processors: None,
            memory_bytes: None,
            memory_soft_bytes: None,
            swap_bytes: None,
            processes: Some(DEFAULT_PROCESSES),
            io: IoLimits::default(),
            huge_pages: BTreeMap::new(),
            network_class: None,
        }
    }
}

impl Limits {
    /// Whether it asks for something of a v1 hierarchy that few containers need.
    pub(super) fn needs(&self, controller: &str) -> bool {
        match controller {
            "blkio" => self.io != IoLimits::default(),
            "cpuset" => self.processors.is_some(),
            "hugetlb" => !self.huge_pages.is_empty(),
            "net_cls" => self.network_class.is_some(),
            _ => true,
        }
    }
}

/// Cpu in thousandths of a processor: 1500 is one and a half.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuLimits {
    /// The share under contention (v1 `cpu.shares`, v2 `cpu.weight`). `None`: the kernel's default, as one processor.
    pub share_milli: Option<u64>,
    /// The hard limit (CFS quota). `None`: whatever is idle may be used.
    pub quota_milli: Option<u64>,
}

/// Disks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IoLimits {
    /// The share under contention, 1 to 10,000, 100 being everybody's; only some schedulers of the kernel heed it.
    pub weight: Option<u16>,
    /// Limits of single disks.
    pub disks: Vec<DiskLimit>,
}

/// The speed of one disk. `None`: as fast as it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskLimit {
    /// Number of the driver.
    pub major: u32,
    /// Number of the disk; not of a partition.
    pub minor: u32,
    /// Bytes read in a second.
    pub read_bytes: Option<u64>,
    /// Bytes written in a second.
    pub write_bytes: Option<u64>,
    /// Reads in a second.
    pub reads: Option<u64>,
    /// Writes in a second.
    pub writes: Option<u64>,
}
