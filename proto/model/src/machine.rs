//! A machine by its names, and when it will be away.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use crate::{Text, Wall};

/// The longest hostname. Source: DNS.
const MAX_HOSTNAME_BYTES: usize = 253;

/// A machine by its hostname, its address, or both. The hostname is kept in small letters: DNS knows no others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineId {
    hostname: Option<Text>,
    ip: Option<IpAddr>,
}

/// Why there is no such machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMachine {
    /// It has no name.
    #[error("Both 'hostname' and 'ip' for a machine are empty: say at least one")]
    Nameless,
    /// The address is none.
    #[error("'ip' of a machine is '{0}', which is no address: write it as 10.0.0.1 or fd00::1")]
    Ip(String),
    /// The hostname is none.
    #[error(
        "'hostname' of a machine is '{0}', which is no hostname: up to 253 letters, digits, '-', '_' and '.'"
    )]
    Hostname(String),
}

impl MachineId {
    /// Empty texts are as none.
    ///
    /// # Errors
    /// [`InvalidMachine`] says which rule is broken.
    pub fn new(hostname: &str, ip: &str) -> Result<Self, InvalidMachine> {
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if hostname.len() > MAX_HOSTNAME_BYTES || !hostname.bytes().all(is_of_name) {
            return Err(InvalidMachine::Hostname(hostname.chars().take(MAX_HOSTNAME_BYTES).collect()));
        }
        let hostname = (!hostname.is_empty()).then(|| hostname.to_ascii_lowercase().into());
        let wrong = |_| InvalidMachine::Ip(ip.chars().take(MAX_HOSTNAME_BYTES).collect());
        let ip = if ip.is_empty() { None } else { Some(ip.parse().map_err(wrong)?) };
        match (&hostname, &ip) {
            (None, None) => Err(InvalidMachine::Nameless),
            _ => Ok(Self { hostname, ip }),
        }
    }

    /// Its hostname, in small letters.
    pub fn hostname(&self) -> Option<&Text> {
        self.hostname.as_ref()
    }

    /// Its address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    /// The names under which a machine with this hostname and address may be known, the fullest first.
    pub fn names_of(hostname: &str, ip: Option<IpAddr>) -> impl Iterator<Item = Self> {
        let hostname: Option<Text> = (!hostname.is_empty()).then(|| hostname.to_ascii_lowercase().into());
        let full = Self { hostname: hostname.clone(), ip };
        let (named, addressed) = (Self { hostname, ip: None }, Self { hostname: None, ip });
        let is_short = |short: &Self| short.hostname.is_some() || short.ip.is_some();
        let others: Vec<Self> = [named, addressed].into_iter().filter(is_short).collect();
        let others = others.into_iter().filter({
            let full = full.clone();
            move |other| *other != full
        });
        is_short(&full).then_some(full).into_iter().chain(others)
    }
}

/// `hostname/ip`, either side possibly empty.
impl fmt::Display for MachineId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/", self.hostname.as_deref().unwrap_or_default())?;
        self.ip.map_or(Ok(()), |ip| write!(out, "{ip}"))
    }
}

impl FromStr for MachineId {
    type Err = InvalidMachine;

    fn from_str(text: &str) -> Result<Self, InvalidMachine> {
        let (hostname, ip) = text.split_once('/').unwrap_or((text, ""));
        Self::new(hostname, ip)
    }
}

impl TryFrom<String> for MachineId {
    type Error = InvalidMachine;

    fn try_from(text: String) -> Result<Self, InvalidMachine> {
        text.parse()
    }
}

impl From<MachineId> for String {
    fn from(machine: MachineId) -> Self {
        machine.to_string()
    }
}

/// When a machine will be away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Unavailability {
    /// From when.
    pub start: Wall,
    /// For how long; until further notice when absent.
    pub duration: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_its_names_without_regard_to_case() {
        let machine = MachineId::new("M1.Example", "10.0.0.1").expect("a machine");
        assert_eq!(machine, MachineId::new("m1.example", "10.0.0.1").expect("the same"));
        for (text, shown) in [("m1/10.0.0.1", "m1/10.0.0.1"), ("/fd00:0::1", "/fd00::1"), ("M1", "m1/")] {
            assert_eq!(text.parse::<MachineId>().expect("a machine").to_string(), shown);
        }
        assert_eq!(MachineId::new("", ""), Err(InvalidMachine::Nameless));
        assert!(matches!(MachineId::new("a", "b"), Err(InvalidMachine::Ip(_))));
        for bad in ["a/b", "a b", "a\n", &"a".repeat(254)] {
            assert!(matches!(MachineId::new(bad, ""), Err(InvalidMachine::Hostname(_))), "{bad}");
        }
        let names = |hostname, ip: Option<&str>| -> Vec<String> {
            let ip = ip.map(|ip| ip.parse().expect("an address"));
            MachineId::names_of(hostname, ip).map(|name| name.to_string()).collect()
        };
        assert_eq!(names("H", Some("10.0.0.1")), ["h/10.0.0.1", "h/", "/10.0.0.1"]);
        assert_eq!(names("h", None), ["h/"]);
        assert_eq!(names("", Some("::1")), ["/::1"]);
        assert!(names("", None).is_empty());
    }
}
