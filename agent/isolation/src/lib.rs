//! One file per kernel feature that confines a container. Knows nothing of tasks, frameworks or the network.
//!
//! The shim puts the features together (`agent/shim`); the agent reads statistics and cleans up with them.
//! Start at [`cgroup`] for resources, [`clone3`] and [`mounts`] for namespaces, [`privileges`] for who a process is.

pub mod addresses;
pub mod beneath;
pub mod capabilities;
pub mod cgroup;
pub mod clone3;
pub mod descriptors;
pub mod devices;
pub mod disk_usage;
mod error;
pub mod hand_over;
pub mod idle;
pub mod ids;
pub mod landlock;
pub mod layers;
pub mod links;
pub mod listeners;
pub mod loopback;
pub mod mountinfo;
pub mod mounts;
pub mod namespaces;
pub mod networks;
pub mod places;
pub mod privileges;
pub mod process;
pub mod project_quota;
pub mod rlimits;
pub mod root;
pub mod sealed;
pub mod seccomp;
pub mod terminals;
pub mod trees;
pub mod user;
mod walk;

pub use error::{Context, IsolationError};
