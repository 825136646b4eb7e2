//! What a container may use: cpu, memory, processes, disks, devices; on cgroup v1, v2, and both side by side.
//!
//! [`Hierarchies`] says what the machine has, [`Cgroups`] is our place in it, [`Group`] is one container.
//! A controller is one file, with a v1 and a v2 form behind the [`Controller`] trait.

mod cgroups;
mod controller;
mod cpu;
mod cpuset;
mod device_program;
mod devices;
mod disk_traffic;
mod file;
mod freeze;
mod group;
mod hierarchy;
mod hugetlb;
mod io;
mod kill;
mod limits;
mod memory;
mod net_cls;
mod oom;
mod pids;
mod pressure;
mod pressure_levels;
mod remove;
mod statistics;

pub use cgroups::{Cgroups, SHIMS};
pub use controller::{Controller, Target};
pub use cpu::{CpuV1, CpuV2, Quota};
pub use cpuset::Cpuset;
pub use devices::{DeviceKind, DeviceRule};
pub use disk_traffic::DiskTraffic;
pub use group::{Group, SubGroup};
pub use hierarchy::{Hierarchies, Unified};
pub use hugetlb::HugePages;
pub use io::{IoV1, IoV2};
pub use limits::{CpuLimits, DiskLimit, IoLimits, Limits, MIN_MEMORY_BYTES};
pub use memory::{MemoryV1, MemoryV2};
pub use net_cls::NetworkClass;
pub use oom::{OomReport, OomWatch};
pub use pids::Pids;
pub use pressure::{Pressure, Stall, Waiting, of_machine as pressure_of_machine};
pub use pressure_levels::{PressureCounts, PressureLevels};
pub use statistics::Statistics;
