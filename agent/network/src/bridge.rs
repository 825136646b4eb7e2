//! The network that containers of type DOCKER have by default, where no configuration of its name is given: a bridge of the
//! machine with a private subnet, its addresses hidden behind the machine's, ports mapped.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde_json::json;

use crate::list::NetworkList;

/// How the network is made, when it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Its name.
    pub network: String,
    /// The machine's interface, which stays when the last container has left it.
    pub interface: String,
    /// Where it is written down which addresses are taken; the same for all who use this interface.
    pub leases: PathBuf,
    /// Addresses of containers, `10.0.0.0/16`; the first is the machine's own.
    pub subnet: String,
}

impl Bridge {
    /// Its configuration.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn list(&self) -> Result<NetworkList, String> {
        check_interface(&self.interface)?;
        check_subnet(&self.subnet)?;
        let text = json!({
            "cniVersion": "0.4.0",
            "name": self.network,
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": self.interface,
                    "isGateway": true,
                    "ipMasq": true,
                    "hairpinMode": true,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": self.leases,
                        "ranges": [[{ "subnet": self.subnet }]],
                        "routes": [{ "dst": "0.0.0.0/0" }],
                    },
                },
                { "type": "portmap", "capabilities": { "portMappings": true } },
            ],
        });
        NetworkList::parse(&text.to_string())
    }
}

/// Source: IFNAMSIZ of the kernel, which counts the zero at the end.
fn check_interface(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if (1..=15).contains(&name.len()) && !name.starts_with('.') && name.chars().all(plain) {
        return Ok(());
    }
    Err(format!("the interface {name:?} must have 1 to 15 letters, digits, '_', '.' or '-'"))
}

fn check_subnet(subnet: &str) -> Result<(), String> {
    let problem =
        || format!("the subnet {subnet:?} must be an IPv4 network as 10.0.0.0/16, with 8 to 29 bits");
    let (address, bits) = subnet.split_once('/').ok_or_else(problem)?;
    let (address, bits): (Ipv4Addr, u32) =
        (address.parse().map_err(|_| problem())?, bits.parse().map_err(|_| problem())?);
    let own = u32::from(address).checked_shl(bits).unwrap_or_default();
    if (8..=29).contains(&bits) && own == 0 { Ok(()) } else { Err(problem()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge(interface: &str, subnet: &str) -> Result<NetworkList, String> {
        let (network, leases) = ("n".into(), "/leases".into());
        Bridge { network, interface: interface.into(), leases, subnet: subnet.into() }.list()
    }

    #[test]
    fn it_is_a_network_that_maps_ports() {
        let list = bridge("chapada0", "10.0.0.0/16").unwrap();
        assert_eq!((list.name.as_str(), list.plugins.len(), list.maps_ports()), ("n", 2, true));
    }

    #[test]
    fn what_is_no_interface_and_no_subnet_is_refused() {
        for interface in ["", "a/b", ".", "a-name-that-is-long"] {
            assert!(bridge(interface, "10.0.0.0/16").unwrap_err().starts_with("the interface"));
        }
        for subnet in ["10.0.0.0", "10.0.0.1/16", "10.0.0.0/31", "10.0.0.0/4", "fd00::/64", "10.0.0.0/x"] {
            assert!(bridge("b0", subnet).unwrap_err().starts_with("the subnet"), "{subnet}");
        }
    }
}
