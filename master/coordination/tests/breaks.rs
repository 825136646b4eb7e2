//! Connections to ZooKeeper that break while the registry is opened: the session lives, and so does the term.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chapada_coordination::{Change, Coordination, Schema, ZkOptions};
use chapada_harness::zookeeper::Ensemble;
use support::{STEADY, info, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Stands between a client and its server, and can break the connection at an answer.
struct Breaker {
    address: SocketAddr,
    /// How many answers still pass before one is lost with its connection. Below zero all do.
    left: Arc<AtomicI64>,
}

impl Breaker {
    async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound socket has an address");
        let left = Arc::new(AtomicI64::new(-1));
        let shared = left.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(server).await else { continue };
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                let left = shared.clone();
                tokio::spawn(async move {
                    // Whoever ends first ends both.
                    tokio::select! {
                        () = pass(from_client, to_server) => {}
                        () = pass_answers(from_server, to_client, &left) => {}
                    }
                });
            }
        });
        Self { address, left }
    }

    fn break_after(&self, answers: i64) {
        self.left.store(answers, Ordering::SeqCst);
    }

    fn has_broken(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    // A connection that breaks is what this is for.
    drop(tokio::io::copy(&mut from, &mut to).await);
}

/// Each answer is its length and so many bytes.
async fn pass_answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, left: &AtomicI64) {
    while let Ok(length) = from.read_u32().await {
        let mut answer = vec![0; length as usize];
        if from.read_exact(&mut answer).await.is_err() {
            return;
        }
        let is_last = left.load(Ordering::SeqCst) >= 0 && left.fetch_sub(1, Ordering::SeqCst) == 0;
        let frame = [&length.to_be_bytes()[..], &answer].concat();
        if is_last || to.write_all(&frame).await.is_err() {
            return;
        }
    }
}

const SCHEMA: Schema = Schema { name: "a-test", version: 1, grouped: &["grouped"] };
const RECORDS: [(&str, &str); 4] = [("alone", "a"), ("alone", "b"), ("grouped", "g.1"), ("grouped", "h.1")];

/// Opens what is at the path that goes with each number of answers, breaking the connection after so many, until it is open before.
/// Tells how many answers that takes.
async fn opened_in_spite_of_a_break(breaker: &Breaker, records: usize, path: impl Fn(i64) -> String) -> i64 {
    for answers in 0.. {
        let address = format!("zk://{}{}", breaker.address, path(answers)).parse().expect("an address");
        let here = Coordination::zookeeper(address, ZkOptions { session_timeout: STEADY });
        let mut campaign = here.campaign(info("only"));
        let term = soon("leads", campaign.wait_until_leading()).await.expect("it is alone");
        breaker.break_after(answers);
        let opened = soon("open", term.open_registry(SCHEMA)).await;
        let opened = opened.unwrap_or_else(|error| panic!("after {answers} answers: {error:?}"));
        assert_eq!(opened.records.len(), records, "after {answers} answers: {:?}", opened.records);
        if !breaker.has_broken() {
            breaker.break_after(-1);
            return answers;
        }
        campaign.resign().await;
    }
    unreachable!("it is open after some number of answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_at_any_answer_does_not_keep_the_registry_from_being_opened() {
    let mut ensemble = Ensemble::single();
    let breaker = Breaker::before(ensemble.server(0).address()).await;
    let made = opened_in_spite_of_a_break(&breaker, 0, |answers| format!("/new-{answers}")).await;
    let address = format!("{}/full", ensemble.address()).parse().unwrap();
    let mut campaign =
        Coordination::zookeeper(address, ZkOptions { session_timeout: STEADY }).campaign(info("first"));
    let term = soon("leads", campaign.wait_until_leading()).await.unwrap();
    let registry = term.open_registry(SCHEMA).await.unwrap().registry;
    let put = RECORDS.map(|(kind, key)| Change::put(kind, key, b"x"));
    registry.write(put.to_vec()).await.unwrap();
    campaign.resign().await;
    let read = opened_in_spite_of_a_break(&breaker, RECORDS.len(), |_| "/full".to_owned()).await;
    assert!(made > 5 && read > 10, "{made} and {read} answers");
}
