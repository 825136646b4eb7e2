//! Where the leading master is.

use std::str::FromStr;
use std::time::Duration;

use chapada_coordination::{Detector, MasterAddress, ZkOptions};

/// `host:port` as it stands; of several, the one that they say leads; the leader of a `zk://` address as ZooKeeper names it.
pub(super) async fn find(master: &str, within: Duration) -> Result<String, String> {
    let address = MasterAddress::from_str(master).map_err(|error| error.to_string())?;
    if let MasterAddress::Hosts(hosts) = &address
        && let [only] = hosts.as_slice()
    {
        return Ok(only.to_string());
    }
    let mut detector = Detector::start(&address, ZkOptions::default());
    match tokio::time::timeout(within, detector.wait_for_leader()).await {
        Ok(leader) => Ok(leader.authority()),
        Err(_) => Err(match detector.problem() {
            Some(problem) => problem.to_string(),
            None => format!("no master leads, for {} s now", within.as_secs()),
        }),
    }
}
