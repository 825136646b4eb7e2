//! What a container is given, in units that do not depend on the kernel interface.

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
    /// Bytes of memory, page cache included; raised to [`MIN_MEMORY_BYTES`]. Swap is off where the kernel can. `None`: no limit.
    pub memory_bytes: Option<u64>,
    /// Processes and threads. `None`: no limit.
    pub processes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cpu: CpuLimits::default(), memory_bytes: None, processes: Some(DEFAULT_PROCESSES) }
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
