//! What a container may use: cpu, memory, processes; on cgroup v1, v2, and both side by side.
//!
//! [`Hierarchies`] says what the machine has, [`Cgroups`] is our place in it, [`Group`] is one container.
//! A controller is one file, with a v1 and a v2 form behind the [`Controller`] trait.

mod cgroups;
mod controller;
mod cpu;
mod file;
mod group;
mod hierarchy;
mod kill;
mod limits;
mod memory;
mod oom;
mod pids;
mod remove;
mod statistics;

pub use cgroups::{Cgroups, SHIMS};
pub use controller::Controller;
pub use cpu::{CpuV1, CpuV2};
pub use group::Group;
pub use hierarchy::{Hierarchies, Unified};
pub use limits::{CpuLimits, Limits, MIN_MEMORY_BYTES};
pub use memory::{MemoryV1, MemoryV2};
pub use oom::{OomReport, OomWatch};
pub use pids::Pids;
pub use statistics::Statistics;
