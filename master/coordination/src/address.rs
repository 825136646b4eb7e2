//! Where the masters are: one or more `host:port`, or a `zk://` address.

use std::fmt;
use std::str::FromStr;

/// ZooKeeper's usual client port.
const DEFAULT_ZK_PORT: u16 = 2181;

/// Where to look for the leading master.
///
/// Written `host:port`, `host:port,host:port`, or `zk://[user:password@]h1:2181,h2:2181/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterAddress {
    /// One master that always leads, or several of which each is asked who leads.
    Hosts(Vec<HostPort>),
    /// The leader's znode says it.
    ZooKeeper(ZkAddress),
}

/// A host name or IP address, and a port. An IPv6 address is written in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port, never 0.
    pub port: u16,
}

/// A ZooKeeper ensemble, credentials for it, and the path below which candidates announce themselves.
#[derive(Clone, PartialEq, Eq)]
pub struct ZkAddress {
    /// The servers, at least one.
    pub servers: Vec<HostPort>,
    /// `user:password` of the digest scheme.
    pub credentials: Option<(String, String)>,
    /// Absolute, without a slash at the end, never only `/`.
    pub path: String,
}

/// Why a master address was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing given.
    #[error("the master address is empty: write host:port or zk://host:port/path")]
    Empty,
    /// Not `host:port`.
    #[error("{0:?} is not host:port: write for example 10.0.0.1:5050")]
    NotHostPort(String),
    /// A scheme that is not spoken here.
    #[error("the master address begins with {0:?}: only zk:// and plain host:port are understood")]
    UnknownScheme(String),
    /// Without a path, candidates of different clusters would meet in the root.
    #[error("the zk:// address has no path: write zk://{0}/chapada")]
    NoPath(String),
    /// The path has an empty or a dotted part.
    #[error(
        "{0:?} is not a ZooKeeper path: parts are separated by single slashes and are neither empty, . nor .."
    )]
    BadPath(String),
    /// Text before `@` that is not `user:password`.
    #[error("the part before @ in the zk:// address must be user:password")]
    BadCredentials,
}

impl FromStr for MasterAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.starts_with("zk://") {
            return text.parse().map(Self::ZooKeeper);
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(AddressError::UnknownScheme(format!("{scheme}://")));
        }
        let hosts = text.split(',').map(|part| HostPort::parse(part, None)).collect::<Result<_, _>>()?;
        Ok(Self::Hosts(hosts))
    }
}

impl FromStr for ZkAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let rest = text.strip_prefix("zk://").ok_or_else(|| AddressError::UnknownScheme(text.to_owned()))?;
        let (authority, path) = rest.split_once('/').ok_or_else(|| AddressError::NoPath(shown(rest)))?;
        let (credentials, servers) = match authority.rsplit_once('@') {
            Some((user, servers)) => (Some(parse_credentials(user)?), servers),
            None => (None, authority),
        };
        let path = path.trim_end_matches('/');
        if path.is_empty() {
            return Err(AddressError::NoPath(servers.to_owned()));
        }
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) || path.contains('\0') {
            return Err(AddressError::BadPath(format!("/{path}")));
        }
        let servers = servers
            .split(',')
            .map(|part| HostPort::parse(part, Some(DEFAULT_ZK_PORT)))
            .collect::<Result<_, _>>()?;
        Ok(Self { servers, credentials, path: format!("/{path}") })
    }
}

fn shown(authority: &str) -> String {
    authority.rsplit_once('@').map_or(authority, |(_, servers)| servers).to_owned()
}

fn parse_credentials(text: &str) -> Result<(String, String), AddressError> {
    match text.split_once(':') {
        Some((user, password)) if !user.is_empty() => Ok((user.to_owned(), password.to_owned())),
        Some(_) | None => Err(AddressError::BadCredentials),
    }
}

impl HostPort {
    fn parse(text: &str, default_port: Option<u16>) -> Result<Self, AddressError> {
        let bad = || AddressError::NotHostPort(text.to_owned());
        let text = text.trim();
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(bad)?,
            None => default_port.ok_or_else(bad)?,
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if host.is_empty() || !host.chars().all(legal) {
            return Err(bad());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl FromStr for HostPort {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text, None)
    }
}

impl ZkAddress {
    /// The servers as ZooKeeper's connect string, without path.
    pub(crate) fn connect_string(&self) -> String {
        self.servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// The same ensemble and credentials with another path, which must be absolute.
    pub fn with_path(&self, path: impl Into<String>) -> Self {
        Self { path: path.into(), ..self.clone() }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(out, "[{}]:{}", self.host, self.port)
        } else {
            write!(out, "{}:{}", self.host, self.port)
        }
    }
}

/// Without the credentials.
impl fmt::Display for ZkAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "zk://{}{}", self.connect_string(), self.path)
    }
}

/// Without the credentials.
impl fmt::Debug for ZkAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl fmt::Display for MasterAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hosts(hosts) => {
                out.write_str(&hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
            }
            Self::ZooKeeper(zk) => zk.fmt(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_shown_without_the_password() {
        for (given, shown) in [
            ("10.0.0.1:5050", "10.0.0.1:5050"),
            ("[::1]:5050", "[::1]:5050"),
            ("a:1,b:2", "a:1,b:2"),
            ("zk://a,b:99/chapada", "zk://a:2181,b:99/chapada"),
            ("zk://me:se@cret@a/x/y/", "zk://a:2181/x/y"),
        ] {
            assert_eq!(
                given.parse::<MasterAddress>().map(|a| a.to_string()),
                Ok(shown.to_owned()),
                "{given}"
            );
        }
        let zk: ZkAddress = "zk://me:se@cret@a/x".parse().unwrap();
        assert_eq!(zk.credentials, Some(("me".to_owned(), "se@cret".to_owned())));
        assert!(!format!("{zk:?}").contains("cret"));
    }

    #[test]
    fn bad_addresses_are_refused_with_a_remedy() {
        for (given, part) in [
            ("", "empty"),
            ("host", "host:port"),
            ("host:0", "host:port"),
            ("http://a:1", "http://"),
            ("zk://a", "zk://a/chapada"),
            ("zk://a/", "no path"),
            ("zk://a/x//y", "single slashes"),
            ("zk://me@a/x", "user:password"),
            ("a b:1", "host:port"),
        ] {
            let error = given.parse::<MasterAddress>().unwrap_err().to_string();
            assert!(error.contains(part), "{given:?}: {error}");
        }
    }
}
