//! What an operator allows containers beyond what is safe. All of it is off by default, and what is refused for want of it
//! names the flag.

mod capabilities;
mod devices;
mod paths;
mod profiles;

pub(crate) use capabilities::{Asked, Capabilities};
pub use devices::AllowedDevice;
pub(crate) use paths::{HostPath, HostPaths};
pub(crate) use profiles::Profiles;

use std::path::PathBuf;

use crate::config::AgentConfig;
use crate::error::AgentError;

/// What an operator allows.
#[derive(Debug)]
pub(crate) struct Policy {
    /// Containers may run as root of this machine.
    pub(crate) host_root: bool,
    /// Containers may have all capabilities and all system calls.
    pub(crate) privileged: bool,
    /// The root of a container with an image is nobody on this machine.
    pub(crate) user_namespaces: bool,
    /// Executors of frameworks' own reach the agent from any network.
    pub(crate) executor_networks: bool,
    /// What of this machine may show in containers.
    pub(crate) paths: HostPaths,
    devices: Vec<AllowedDevice>,
    pub(crate) capabilities: Capabilities,
    pub(crate) profiles: Profiles,
}

impl Policy {
    /// `protected` is what no container may see although it is below a path that is allowed: the agent's own.
    ///
    /// # Errors
    /// Names the flag that makes no sense.
    pub(crate) fn new(config: &AgentConfig, protected: Vec<PathBuf>) -> Result<Self, AgentError> {
        let capabilities = Capabilities::new(
            config.bounding_capabilities.as_deref(),
            config.effective_capabilities.as_deref(),
        )?;
        let profiles =
            Profiles::open(config.seccomp_config_dir.as_deref(), config.seccomp_profile_name.as_deref())?;
        Ok(Self {
            host_root: config.allow_host_root,
            privileged: config.allow_privileged,
            user_namespaces: config.user_namespaces,
            executor_networks: config.http_executor_domain_sockets,
            paths: HostPaths::new(&config.allowed_host_paths, protected)?,
            devices: config.allowed_devices.clone(),
            capabilities,
            profiles,
        })
    }

    /// Whether a container may use this device of the machine, and write to it.
    pub(crate) fn allows_device(&self, path: &str, write: bool) -> bool {
        self.devices.iter().any(|device| device.allows(path, write))
    }
}

#[cfg(test)]
impl Policy {
    /// What a configuration gives that differs in this from the default.
    pub(crate) fn with(change: impl FnOnce(&mut AgentConfig)) -> Self {
        let mut config = AgentConfig::default();
        change(&mut config);
        Self::new(&config, vec!["/var/lib/chapada/agent".into()]).unwrap()
    }
}
