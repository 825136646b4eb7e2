//! What the tests of coordination share.
#![expect(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file takes what it needs, and tests may unwrap"
)]

pub(crate) mod between;

use std::future::Future;
use std::net::Ipv4Addr;
use std::time::Duration;

use chapada_coordination::{Coordination, Detector, LeaderInfo, Leadership, Schema, ZkAddress, ZkOptions};
use chapada_harness::zookeeper::Ensemble;
use zookeeper_client::Client;

pub(crate) const SCHEMA: Schema = Schema { name: "a-test", version: 1, grouped: &[] };
/// Nothing takes longer, on a machine under load.
const PATIENCE: Duration = Duration::from_secs(60);
/// Outlasts whatever a machine under load does to those that are not to lose their sessions.
pub(crate) const STEADY: Duration = Duration::from_secs(30);
/// Short, for tests of expiry, and longer than a busy machine stands still; the harness' servers grant it.
pub(crate) const SESSION: Duration = Duration::from_secs(5);

pub(crate) fn info(id: &str) -> LeaderInfo {
    LeaderInfo {
        id: id.to_owned(),
        hostname: "localhost".to_owned(),
        ip: Ipv4Addr::LOCALHOST.into(),
        port: 5050,
        version: "0.1.0".to_owned(),
        capabilities: vec!["AGENT_UPDATE".to_owned()],
    }
}

pub(crate) fn zk_address(ensemble: &Ensemble, path: &str) -> ZkAddress {
    format!("{}{path}", ensemble.address()).parse().unwrap()
}

pub(crate) fn coordination(ensemble: &Ensemble, path: &str) -> Coordination {
    Coordination::zookeeper(zk_address(ensemble, path), ZkOptions { session_timeout: STEADY })
}

pub(crate) async fn plain_client(ensemble: &Ensemble) -> Client {
    Client::connect(&ensemble.connect_string()).await.unwrap()
}

pub(crate) async fn leader_is(detector: &mut Detector, id: &str) {
    soon(&format!("{id} to be detected"), async {
        while detector.leader().is_none_or(|leader| leader.id != id) {
            detector.changed().await;
        }
    })
    .await;
}

/// Fails loudly instead of hanging.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} for: {what}"),
    }
}

pub(crate) async fn until(
    what: &str,
    campaign: &mut chapada_coordination::Campaign,
    wanted: impl Fn(&Leadership) -> bool,
) -> Leadership {
    soon(what, async {
        loop {
            let state = campaign.state();
            if wanted(&state) {
                return state;
            }
            campaign.changed().await;
        }
    })
    .await
}

/// The first so many keys that share a page with the first one.
pub(crate) fn keys_of_one_page(count: usize) -> Vec<String> {
    let bucket = |key: &String| {
        let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        (hash ^ (hash >> 32)) % 4096
    };
    let first = bucket(&"m-S0".to_owned());
    (0..).map(|number| format!("m-S{number}")).filter(|key| bucket(key) == first).take(count).collect()
}

/// A build that knows up to this version.
pub(crate) fn build(version: u32) -> Schema {
    Schema { version, ..SCHEMA }
}

/// What is written as of a version keeps out the builds that do not know it, by name, and nothing else does.
pub(crate) async fn check_versions(term: &chapada_coordination::Term) {
    term.open_registry(build(1)).await.expect("it begins as version 1");
    let newer = term.open_registry(build(3)).await.expect("read by a newer build");
    newer.registry.put("agents", "a", b"1").await.expect("written");
    let older = term.open_registry(build(1)).await.expect("a newer build has led, and written nothing new");
    assert_eq!((older.version, older.records.len()), (1, 1));
    let newer = term.open_registry(build(3)).await.expect("read");
    newer
        .registry
        .write_as(2, vec![chapada_coordination::Change::put("agents", "b", b"1")])
        .await
        .expect("written");
    let error = term.open_registry(build(1)).await.expect_err("it would misread it").to_string();
    assert!(error.contains("in version 2, this build knows up to 1: run a newer chapada"), "{error}");
    let same = term.open_registry(build(2)).await.expect("this one knows it");
    assert_eq!((same.version, same.records.len()), (2, 2));
    // Nothing but the version, and never back.
    same.registry.write_as(1, Vec::new()).await.expect("written");
    assert_eq!(term.open_registry(build(3)).await.expect("read").version, 2);
    let newest = term.open_registry(build(3)).await.expect("read").registry;
    newest.write_as(3, Vec::new()).await.expect("written");
    assert!(term.open_registry(build(2)).await.is_err());
    newest.put("agents", "c", b"1").await.expect("written after it");
}
