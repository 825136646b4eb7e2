//! The agent's shell: it carries out what `chapada-agent-core` decides. It dials the leading master, keeps the log,
//! starts containers through shims, and serves the agent's own API. Start at [`run`], then `shell.rs`;
//! [`edge`] is what it reads from outside, without a connection or a file.
#![forbid(unsafe_code)]

mod attach;
mod bytes;
mod checks;
mod clock;
mod config;
mod containers;
mod disk_quota;
mod disks;
pub mod edge;
mod error;
mod executors;
mod fetch;
mod files;
mod gpus;
mod history;
mod http;
mod images;
mod layout;
mod leases;
mod link;
mod machine;
mod metrics;
mod network_class;
mod networks;
mod outward;
mod overhead;
mod policy;
mod reconfiguration;
mod relay;
mod resources;
mod run;
mod secrets;
mod shell;
mod statistics;
mod sweep;
mod volumes;
mod waiting;

pub use bytes::Bytes;
pub use chapada_agent_log::LogError;
pub use config::{AgentConfig, DEFAULT_PORT};
pub use error::AgentError;
pub use policy::AllowedDevice;
pub use reconfiguration::ReconfigurationPolicy;
pub use run::{run, run_with_log};

/// Fetches what its standard input says, if this process was started by an agent for that; `false` otherwise, at once. The
/// process is of no other use afterwards.
pub fn fetch_if_asked() -> bool {
    fetch::child()
}
