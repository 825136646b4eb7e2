//! Where this machine may be sent to by a URI: a name is looked up once, what it stands for is judged, and exactly that is
//! connected to, so that a name cannot mean one thing when it is looked at and another when it is used.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use chapada_isolation::addresses::is_own;
use serde::{Deserialize, Serialize};
use tokio::net::lookup_host;
use tokio::time::timeout;
use url::{Host, Url};

use crate::error::FetchError;

/// A range of addresses, as `169.254.0.0/16` or one address alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange {
    first: IpAddr,
    prefix: u8,
}

/// A text that is no range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("name an address, or a range of them as 10.0.0.0/8 or fe80::/10")]
pub struct InvalidRange;

impl AddressRange {
    /// The addresses of one link, where clouds keep the secrets of a machine.
    pub const LINK_LOCAL: [Self; 2] = [
        Self { first: IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), prefix: 16 },
        Self { first: IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), prefix: 10 },
    ];

    /// Whether this address is in it, also when it is written as one of the other family that leads to the same.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, plain(address)) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let rest = 32u32.saturating_sub(self.prefix.into());
                (first.to_bits() ^ address.to_bits()).checked_shr(rest).unwrap_or(0) == 0
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let rest = 128u32.saturating_sub(self.prefix.into());
                (first.to_bits() ^ address.to_bits()).checked_shr(rest).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for AddressRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let (first, prefix) = match text.split_once('/') {
            Some((first, prefix)) => (first, Some(prefix.parse().map_err(|_| InvalidRange)?)),
            None => (text, None),
        };
        let first: IpAddr = first.parse().map_err(|_| InvalidRange)?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(most);
        if prefix > most { Err(InvalidRange) } else { Ok(Self { first, prefix }) }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl TryFrom<String> for AddressRange {
    type Error = InvalidRange;

    fn try_from(text: String) -> Result<Self, InvalidRange> {
        text.parse()
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> Self {
        range.to_string()
    }
}

/// What is not connected to, whatever a URI or a server says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denied {
    /// Addresses.
    pub ranges: Vec<AddressRange>,
    /// The agent's own port, at all addresses of this machine.
    pub agent_port: Option<u16>,
}

impl Denied {
    /// Why this is not connected to, if so.
    fn reason(&self, address: SocketAddr) -> Option<&'static str> {
        if self.ranges.iter().any(|range| range.contains(address.ip())) {
            return Some("which the agent's operator does not allow");
        }
        let at = SocketAddr::new(plain(address.ip()), address.port());
        // What cannot be told might be.
        let is_agent = self.agent_port == Some(at.port()) && is_own(at).unwrap_or(true);
        is_agent.then_some("which is the agent itself")
    }
}

/// Where a URL leads, and nothing else.
#[derive(Debug)]
pub(crate) struct Destination {
    /// The name that was looked up; `None` where the URL has an address.
    pub(crate) name: Option<String>,
    /// What may be connected to; never empty.
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Destination {
    /// Looks up the host of a URL, and leaves out what is denied.
    pub(crate) async fn of(url: &Url, denied: &Denied, patience: Duration) -> Result<Self, FetchError> {
        let port = url.port_or_known_default().unwrap_or(80);
        let (name, found) = match url.host() {
            Some(Host::Ipv4(ip)) => (None, vec![SocketAddr::from((ip, port))]),
            Some(Host::Ipv6(ip)) => (None, vec![SocketAddr::from((ip, port))]),
            Some(Host::Domain(name)) => {
                let looked = timeout(patience, lookup_host((name, port))).await;
                let looked = looked.map_err(|_| FetchError::Stalled(patience.as_secs()))?;
                let looked =
                    looked.map_err(|error| FetchError::Network(format!("cannot find {name}: {error}")))?;
                (Some(name.to_owned()), looked.collect())
            }
            None => return Err(FetchError::Network("its URL names no host".to_owned())),
        };
        let mut why = None;
        let mut addresses = found;
        addresses.retain(|address| match denied.reason(*address) {
            Some(reason) => {
                why.get_or_insert(format!("it leads to {}, {reason}", address.ip()));
                false
            }
            None => true,
        });
        match (addresses.is_empty(), why) {
            (false, _) => Ok(Self { name, addresses }),
            (true, Some(why)) => Err(FetchError::Network(why)),
            (true, None) => Err(FetchError::Network("its host has no address".to_owned())),
        }
    }

    /// Whether any of it is this machine itself, or what answers this machine alone.
    pub(crate) fn is_near(&self) -> bool {
        self.addresses.iter().any(|address| match plain(address.ip()) {
            IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
            IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified(),
        })
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped, or behind the known prefix of translators (RFC 6052).
fn plain(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) if ip.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] => {
            let [.., a, b, c, d] = ip.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> AddressRange {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_are_read_and_hold_what_leads_there() {
        let links = AddressRange::LINK_LOCAL;
        assert_eq!([range("169.254.0.0/16"), range("fe80::/10")], links);
        for text in ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "febf::", "64:ff9b::a9fe:a9fe"] {
            assert!(links.iter().any(|range| range.contains(text.parse().unwrap())), "{text}");
        }
        for text in ["169.255.0.0", "127.0.0.1", "fec0::", "::1", "64:ff9b::a00:1"] {
            assert!(!links.iter().any(|range| range.contains(text.parse().unwrap())), "{text}");
        }
        assert!(range("10.1.2.3").contains("10.1.2.3".parse().unwrap()));
        assert!(!range("10.1.2.3").contains("10.1.2.2".parse().unwrap()));
        assert!(range("0.0.0.0/0").contains("255.0.0.1".parse().unwrap()));
        assert!(range("::/0").contains("fd00::".parse().unwrap()));
        for bad in ["", "10.0.0.0/33", "fe80::/129", "10.0.0.0/", "name", "10.0.0/8", "10.0.0.0/-1"] {
            assert_eq!(bad.parse::<AddressRange>(), Err(InvalidRange), "{bad}");
        }
        assert_eq!(serde_json::to_string(&range("10.0.0.0/8")).unwrap(), "\"10.0.0.0/8\"");
    }

    async fn of(url: &str, denied: &[AddressRange]) -> Result<Destination, FetchError> {
        let denied = Denied { ranges: denied.to_vec(), agent_port: Some(5051) };
        Destination::of(&Url::parse(url).unwrap(), &denied, Duration::from_secs(20)).await
    }

    #[tokio::test]
    async fn the_agent_itself_is_not_connected_to_at_any_address() {
        for url in
            ["http://127.0.0.1:5051/", "http://localhost:5051/", "https://127.9.8.7:5051/", "http://0:5051/"]
        {
            let error = of(url, &[]).await.unwrap_err().to_string();
            assert!(error.contains("which is the agent itself"), "{url}: {error}");
        }
        for url in ["http://[::ffff:7f00:1]:5051/", "http://[64:ff9b::7f00:1]:5051/"] {
            assert!(of(url, &[]).await.is_err(), "{url}");
        }
        of("http://127.0.0.1:5052/", &[]).await.unwrap();
        of("http://198.51.100.7:5051/", &[]).await.unwrap();
    }

    #[tokio::test]
    async fn addresses_of_the_machine_are_told_apart_however_they_are_written() {
        for url in [
            "http://127.0.0.1/",
            "http://localhost:5050",
            "http://169.254.169.254/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://2130706433/",
            "http://0/",
        ] {
            assert!(of(url, &[]).await.unwrap().is_near(), "{url}");
        }
        assert!(!of("http://10.0.0.1/", &[]).await.unwrap().is_near());
    }

    #[tokio::test]
    async fn what_is_denied_is_not_connected_to_by_any_name() {
        let denied = [range("127.0.0.0/8"), range("::1"), range("169.254.0.0/16")];
        for url in
            ["http://localhost/", "http://127.1/", "https://[::ffff:7f00:1]/", "http://169.254.169.254/"]
        {
            let error = of(url, &denied).await.unwrap_err().to_string();
            assert!(error.contains("does not allow"), "{url}: {error}");
        }
        let found = of("http://localhost:81/", &[range("::1")]).await.unwrap();
        assert_eq!(found.name.as_deref(), Some("localhost"));
        assert!(found.addresses.iter().all(|address| address.is_ipv4() && address.port() == 81));
    }
}
