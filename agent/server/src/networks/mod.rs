//! The networks of containers: what descriptions ask for, how containers come to it, and what is said of it.

mod addresses;
mod join;
mod names;
mod ports;
mod wishes;

pub(crate) use addresses::{infos_of, ip_address, is_alone, network_infos, of, shown};
pub(crate) use join::{Joined, Named, join, join_alone, leave, leave_all_but};
pub(crate) use names::NameFiles;
pub(crate) use ports::{Watching, watch};
pub(crate) use wishes::{NetworkWish, Ports, network_of, refuse_ports};

use chapada_network::{Bridge, Networks, Settings};

use crate::config::AgentConfig;
use crate::error::AgentError;
use crate::layout::Layout;

/// Where host-local, the plugin that gives addresses away, keeps them by default: whoever uses the same interface must look
/// at the same place.
const LEASES: &str = "/var/lib/cni/networks";

/// The networks of the agent with this configuration, with what earlier processes joined.
pub(crate) fn open(config: &AgentConfig, layout: &Layout) -> Result<Networks, AgentError> {
    let bridge = Bridge {
        network: config.bridge_network.clone(),
        interface: config.bridge_interface.clone(),
        leases: LEASES.into(),
        subnet: config.bridge_subnet.clone(),
    };
    bridge.list().map_err(|problem| AgentError::flag("bridge-subnet", problem))?;
    let settings = Settings {
        plugins: std::env::split_paths(&config.network_cni_plugins_dir).collect(),
        config_dir: config.network_cni_config_dir.clone(),
        limit: config.network_cni_timeout,
        bridge,
        state_dir: layout.networks(),
    };
    Networks::open(settings).map_err(AgentError::Networks)
}
