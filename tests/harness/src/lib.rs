//! Real processes for tests: daemons, ZooKeeper, network namespaces, and waiting for conditions.
//!
//! Everything ends with the value that started it, also when a test panics. Start at [`Cluster`].

#![forbid(unsafe_code)]

mod certificates;
mod cluster;
mod daemon;
mod eventually;
mod http;
mod leftovers;
mod netns;
mod ports;
pub mod zookeeper;

pub use certificates::{Authority, Certificate, Tls};
pub use cluster::{Cluster, ClusterBuilder};
pub use daemon::{Daemon, binary, other_build};
pub use eventually::eventually;
pub use http::Http;
pub use leftovers::{container_cgroups, processes_of, unmount_below};
pub use netns::{Cut, Hub, Namespace};
pub use ports::free_port;
