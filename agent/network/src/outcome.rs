//! What a plugin says on its output: a result of ADD in any of the forms that the specification had, or an error.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::list::VERSIONS;

/// More of any list in a result is a mistake.
const MOST: usize = 64;

/// What came of a plugin's ADD.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    /// Interfaces on the machine's side, by name.
    pub(crate) on_host: Vec<String>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) dns: Dns,
}

/// An address of a container, with the bits that it shares with its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// The bits.
    pub prefix: u8,
}

/// By whom a container knows names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Dns {
    /// Servers to ask.
    #[serde(default)]
    pub nameservers: Vec<IpAddr>,
    /// What is added to short names.
    #[serde(default)]
    pub domain: Option<String>,
    /// The same, several.
    #[serde(default)]
    pub search: Vec<String>,
    /// As `resolv.conf` has them.
    #[serde(default)]
    pub options: Vec<String>,
}

impl Dns {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Version 0.3.0 and later.
#[derive(Deserialize)]
struct Result3 {
    #[serde(default)]
    interfaces: Vec<Link>,
    #[serde(default)]
    ips: Vec<Ip>,
    #[serde(default)]
    dns: Dns,
}

#[derive(Deserialize)]
struct Link {
    name: String,
    #[serde(default)]
    sandbox: String,
}

#[derive(Deserialize)]
struct Ip {
    address: String,
    #[serde(default)]
    interface: Option<i64>,
}

/// Before version 0.3.0.
#[derive(Deserialize)]
struct Result2 {
    #[serde(default)]
    ip4: Option<Ip2>,
    #[serde(default)]
    ip6: Option<Ip2>,
    #[serde(default)]
    dns: Dns,
}

#[derive(Deserialize)]
struct Ip2 {
    ip: String,
}

/// What a plugin says when it fails. Source: the specification.
#[derive(Deserialize)]
struct Complaint {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    msg: String,
    #[serde(default)]
    details: String,
}

/// Reads the result of ADD that came with this configuration's version.
///
/// # Errors
/// Names the field that makes no sense.
pub(crate) fn parse(result: &Map<String, Value>, version: &str) -> Result<Outcome, String> {
    let said = result.get("cniVersion").map_or(Some(version), Value::as_str);
    let said = said.filter(|said| VERSIONS.contains(said)).ok_or_else(|| {
        let said = result.get("cniVersion").cloned().unwrap_or_default();
        format!("its result has the cniVersion {said}, which is not spoken here")
    })?;
    let value = Value::Object(result.clone());
    let wrong = |error: serde_json::Error| format!("its result is not understood: {error}");
    let outcome = if said.starts_with("0.1.") || said.starts_with("0.2.") {
        let old: Result2 = serde_json::from_value(value).map_err(wrong)?;
        let addresses = [old.ip4, old.ip6].into_iter().flatten().map(|ip| address(&ip.ip));
        Outcome { on_host: Vec::new(), addresses: addresses.collect::<Result<_, _>>()?, dns: old.dns }
    } else {
        let new: Result3 = serde_json::from_value(value).map_err(wrong)?;
        let is_inside = |ip: &&Ip| {
            let index = ip.interface.and_then(|index| usize::try_from(index).ok());
            // An address of nothing in the list is the container's.
            index.and_then(|index| new.interfaces.get(index)).is_none_or(|link| !link.sandbox.is_empty())
        };
        let addresses = new.ips.iter().filter(is_inside).map(|ip| address(&ip.address));
        let addresses = addresses.collect::<Result<_, _>>()?;
        let on_host = new.interfaces.iter().filter(|link| link.sandbox.is_empty());
        Outcome { addresses, on_host: on_host.map(|link| link.name.clone()).collect(), dns: new.dns }
    };
    check(&outcome)?;
    Ok(outcome)
}

/// What a failed plugin says of why.
pub(crate) fn complaint(output: &[u8]) -> Option<String> {
    let said: Complaint = serde_json::from_slice(output).ok()?;
    let text = [said.msg.trim(), said.details.trim()].into_iter().filter(|part| !part.is_empty());
    let text = text.collect::<Vec<_>>().join(": ");
    Some(if text.is_empty() { format!("error code {}", said.code) } else { text })
}

fn address(text: &str) -> Result<Address, String> {
    let wrong = || format!("its result has the address {text:?}, which is none as 10.0.0.2/16");
    let (ip, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
    let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    if prefix <= most { Ok(Address { ip, prefix }) } else { Err(wrong()) }
}

/// What becomes lines of `resolv.conf` must be words.
fn check(outcome: &Outcome) -> Result<(), String> {
    let Outcome { on_host, addresses, dns } = outcome;
    let words = dns.search.iter().chain(&dns.options).chain(&dns.domain);
    let is_word = |word: &str| {
        !word.is_empty() && word.len() <= 255 && !word.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    if let Some(word) = words.map(String::as_str).find(|word| !is_word(word)) {
        return Err(format!("its result has {word:?} among dns, which is no word"));
    }
    let longest =
        [on_host.len(), addresses.len(), dns.nameservers.len(), dns.search.len(), dns.options.len()];
    if longest.into_iter().max().is_some_and(|most| most > MOST) {
        return Err(format!("its result has a list of more than {MOST}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(result: Value, version: &str) -> Result<Outcome, String> {
        let Value::Object(result) = result else { panic!("an object") };
        parse(&result, version)
    }

    #[test]
    fn every_version_is_understood() {
        let address = |ip: &str, prefix| Address { ip: ip.parse().unwrap(), prefix };
        let old = json!({"ip4": {"ip": "10.0.0.2/16"}, "ip6": {"ip": "fd00::2/64"}, "dns": {"nameservers": ["10.0.0.1"]}});
        let old = parsed(old, "0.2.0").unwrap();
        assert_eq!(old.addresses, [address("10.0.0.2", 16), address("fd00::2", 64)]);
        assert_eq!(old.dns.nameservers, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        for version in ["0.3.0", "0.3.1", "0.4.0", "1.0.0"] {
            let new = json!({
                "cniVersion": version,
                "interfaces": [{"name": "br0", "mac": "x"}, {"name": "veth1"}, {"name": "eth0", "sandbox": "/n"}],
                "ips": [
                    {"version": "4", "address": "10.0.0.2/16", "gateway": "10.0.0.1", "interface": 2},
                    {"address": "10.9.9.9/16", "interface": 0},
                    {"address": "10.0.0.3/32"},
                ],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dns": {"domain": "d", "search": ["a", "b"], "options": ["ndots:2"]},
            });
            let new = parsed(new, "0.3.0").unwrap();
            assert_eq!(new.addresses, [address("10.0.0.2", 16), address("10.0.0.3", 32)], "{version}");
            assert_eq!(new.on_host, ["br0", "veth1"]);
            assert_eq!((new.dns.domain.as_deref(), new.dns.search.len()), (Some("d"), 2));
        }
        assert_eq!(parsed(json!({}), "1.0.0").unwrap(), Outcome::default());
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let cases = [
            (json!({"cniVersion": "9.0.0"}), "its result has the cniVersion \"9.0.0\""),
            (json!({"cniVersion": 1}), "its result has the cniVersion 1"),
            (json!({"ips": 7}), "its result is not understood"),
            (json!({"ips": [{"address": "10.0.0.2"}]}), "its result has the address"),
            (json!({"ips": [{"address": "10.0.0.2/33"}]}), "its result has the address"),
            (json!({"dns": {"nameservers": ["x\nnameserver 1.1.1.1"]}}), "its result is not understood"),
            (json!({"dns": {"search": ["a\nnameserver 1.1.1.1"]}}), "its result has \"a\\nnameserver"),
            (json!({"dns": {"options": vec!["o"; 65]}}), "its result has a list of more"),
        ];
        for (result, problem) in cases {
            let said = parsed(result, "1.0.0").unwrap_err();
            assert!(said.starts_with(problem), "{said}");
        }
    }

    #[test]
    fn a_failure_says_why() {
        assert_eq!(complaint(br#"{"code": 7, "msg": "no", "details": "way"}"#).as_deref(), Some("no: way"));
        assert_eq!(complaint(br#"{"code": 7}"#).as_deref(), Some("error code 7"));
        assert_eq!(complaint(b"panic"), None);
    }
}
