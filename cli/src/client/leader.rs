//! Where the leading master is.

use std::str::FromStr;
use std::time::Duration;

use chapada_coordination::{Detector, MasterAddress, ZkOptions};
use chapada_tls::Dialer;

/// `host:port` as it stands; of several, the one that they say leads; the leader of a `zk://` address as ZooKeeper names it.
pub(super) async fn find(master: &str, dialer: &Dialer, within: Duration) -> Result<String, String> {
    let master = without_scheme(master, dialer)?;
    let address = MasterAddress::from_str(master).map_err(|error| error.to_string())?;
    if let MasterAddress::Hosts(hosts) = &address
        && let [only] = hosts.as_slice()
    {
        return Ok(only.to_string());
    }
    let mut detector = Detector::start_with(&address, ZkOptions::default(), dialer.clone());
    match tokio::time::timeout(within, detector.wait_for_leader()).await {
        Ok(leader) => Ok(leader.authority()),
        Err(_) => Err(match detector.problem() {
            Some(problem) => problem.to_string(),
            None => format!("no master leads, for {} s now", within.as_secs()),
        }),
    }
}

/// The address as masters are named, when what it begins with is what is spoken.
fn without_scheme<'a>(master: &'a str, dialer: &Dialer) -> Result<&'a str, String> {
    let (scheme, rest) = match master.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest.trim_end_matches('/')),
        _ => return Ok(master),
    };
    match (scheme, dialer.is_tls()) {
        ("https", false) => {
            Err("https:// needs the authorities of the cluster: name them with --tls-ca or CHAPADA_TLS_CA"
                .to_owned())
        }
        ("http", true) => {
            Err("http:// is without TLS, and --tls-ca is with it: leave out one of them".to_owned())
        }
        _ => Ok(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_a_scheme_is_one_where_that_is_spoken() {
        let plain = Dialer::plain();
        assert_eq!(without_scheme("http://m1:5050/", &plain), Ok("m1:5050"));
        assert_eq!(without_scheme("m1:5050,m2:5050", &plain), Ok("m1:5050,m2:5050"));
        assert_eq!(without_scheme("zk://z1/chapada", &plain), Ok("zk://z1/chapada"));
        let why = without_scheme("https://m1:5050", &plain).expect_err("nothing says whom to believe");
        assert!(why.contains("--tls-ca"), "{why}");
    }
}
