//! Connections to ZooKeeper that break while the registry is opened: the session lives, and so does the term.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chapada_coordination::{Change, Coordination, Schema, ZkOptions};
use chapada_harness::zookeeper::Ensemble;
use support::between::{Of, between};
use support::{STEADY, info, plain_client, soon};
use zookeeper_client::Client;

/// Breaks the connection between a client and its server at a message of either; with whose message goes whether it can be told what
/// was carried out.
struct Breaker {
    address: SocketAddr,
    /// How many messages of each still pass before one is lost with its connection. Below zero all do.
    left: [Arc<AtomicI64>; 2],
}

impl Breaker {
    async fn before(server: SocketAddr) -> Self {
        let left = [Of::Client, Of::Server].map(|_| Arc::new(AtomicI64::new(-1)));
        let shared = left.clone();
        let allow = move |of| {
            let left = &shared[of as usize];
            let is_last = left.load(Ordering::SeqCst) >= 0 && left.fetch_sub(1, Ordering::SeqCst) == 0;
            std::future::ready(!is_last)
        };
        Self { address: between(server, allow).await, left }
    }

    fn break_after(&self, lost: Of, count: i64) {
        self.left[lost as usize].store(count, Ordering::SeqCst);
    }

    fn has_broken(&self, lost: Of) -> bool {
        self.left[lost as usize].load(Ordering::SeqCst) < 0
    }
}

const SCHEMA: Schema = Schema { name: "a-test", version: 1, grouped: &["grouped"] };
const RECORDS: [(&str, &str); 4] = [("alone", "a"), ("alone", "b"), ("grouped", "g.1"), ("grouped", "h.1")];

/// Opens what is at the path that goes with each number of messages of either, breaking the connection after so many, until it is
/// open before. Tells how many that takes. Whoever opens it leaves its epoch in the election's znode, too, as `client` sees.
async fn opened_in_spite_of_a_break(
    (breaker, lost): (&Breaker, Of),
    client: &Client,
    records: usize,
    path: impl Fn(i64) -> String,
) -> i64 {
    for count in 0.. {
        let path = path(count);
        let address = format!("zk://{}{path}", breaker.address).parse().expect("an address");
        let here = Coordination::zookeeper(address, ZkOptions { session_timeout: STEADY });
        let mut campaign = here.campaign(info("only"));
        let term = soon("leads", campaign.wait_until_leading()).await.expect("it is alone");
        breaker.break_after(lost, count);
        let opened = soon("open", term.open_registry(SCHEMA)).await;
        let opened = opened.unwrap_or_else(|error| panic!("{lost:?} after {count}: {error:?}"));
        assert_eq!(opened.records.len(), records, "{lost:?} after {count}: {:?}", opened.records);
        let (mark, _) = client.get_data(&path).await.expect("it is there");
        let expected = format!("{{\"epoch\":{}}}", opened.epoch);
        assert_eq!(String::from_utf8_lossy(&mark), expected, "{lost:?} after {count}");
        if !breaker.has_broken(lost) {
            breaker.break_after(lost, -1);
            return count;
        }
        campaign.resign().await;
    }
    unreachable!("it is open after some number of them")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_at_any_request_or_answer_does_not_keep_the_registry_from_being_opened() {
    let mut ensemble = Ensemble::single();
    let breaker = Breaker::before(ensemble.server(0).address()).await;
    let client = plain_client(&ensemble).await;
    let address = format!("{}/full", ensemble.address()).parse().unwrap();
    let mut campaign =
        Coordination::zookeeper(address, ZkOptions { session_timeout: STEADY }).campaign(info("first"));
    let term = soon("leads", campaign.wait_until_leading()).await.unwrap();
    let registry = term.open_registry(SCHEMA).await.unwrap().registry;
    let put = RECORDS.map(|(kind, key)| Change::put(kind, key, b"x"));
    registry.write(put.to_vec()).await.unwrap();
    campaign.resign().await;
    for lost in [Of::Client, Of::Server] {
        let new = |count| format!("/new-{lost:?}-{count}");
        let made = opened_in_spite_of_a_break((&breaker, lost), &client, 0, new).await;
        let full = |_| "/full".to_owned();
        let read = opened_in_spite_of_a_break((&breaker, lost), &client, RECORDS.len(), full).await;
        assert!(made > 5 && read > 10, "{lost:?}: {made} and {read}");
    }
}
