//! A ZooKeeper that takes its time for every answer, and one whose answers stay away for longer than a session.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use chapada_coordination::{Change, Coordination, Leadership, LostReason, WriteError, ZkOptions};
use chapada_harness::zookeeper::Ensemble;
use support::between::{Of, between};
use support::{SCHEMA, SESSION, STEADY, coordination, info, soon, until};
use tokio::sync::watch;

/// Hands each answer of a server on after so long; while there is no time, none.
struct Brake {
    address: SocketAddr,
    pause: watch::Sender<Option<Duration>>,
}

impl Brake {
    async fn before(server: SocketAddr) -> Self {
        let (pause, paused) = watch::channel(Some(Duration::ZERO));
        let allow = move |of| {
            let mut paused = paused.clone();
            async move {
                if of == Of::Client {
                    return true;
                }
                let Ok(pause) = paused.wait_for(Option::is_some).await.map(|pause| *pause) else {
                    return false;
                };
                tokio::time::sleep(pause.unwrap_or_default()).await;
                true
            }
        };
        Self { address: between(server, allow).await, pause }
    }
}

fn behind(brake: &Brake, session_timeout: Duration) -> Coordination {
    let address = format!("zk://{}/slow", brake.address).parse().expect("an address");
    Coordination::zookeeper(address, ZkOptions { session_timeout })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_slow_zookeeper_all_is_done_as_with_a_fast_one() {
    let mut ensemble = Ensemble::single();
    let brake = Brake::before(ensemble.server(0).address()).await;
    brake.pause.send_replace(Some(Duration::from_millis(100)));
    let mut campaign = behind(&brake, STEADY).campaign(info("slow"));
    let term = soon("leads", campaign.wait_until_leading()).await.expect("it is alone");
    let registry = soon("opens", term.open_registry(SCHEMA)).await.expect("it is empty").registry;
    for number in 0..5 {
        let put = vec![Change::put("kind", &number.to_string(), b"x")];
        soon("is written", registry.write(put)).await.expect("it leads");
    }
    campaign.resign().await;
    let mut next = coordination(&ensemble, "/slow").campaign(info("fast"));
    let term = soon("leads", next.wait_until_leading()).await.expect("it is alone");
    let records = soon("opens", term.open_registry(SCHEMA)).await.expect("it is whole").records;
    assert_eq!(records.len(), 5, "{records:?}");
    next.resign().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_hears_nothing_for_a_session_leads_no_more_and_says_nothing_is_written() {
    let mut ensemble = Ensemble::single();
    let brake = Brake::before(ensemble.server(0).address()).await;
    let mut campaign = behind(&brake, SESSION).campaign(info("deaf"));
    let term = soon("leads", campaign.wait_until_leading()).await.expect("it is alone");
    let registry = soon("opens", term.open_registry(SCHEMA)).await.expect("it is empty").registry;
    brake.pause.send_replace(None);
    let write = registry.write(vec![Change::put("kind", "lost", b"x")]);
    let outcome = soon("the write is given up", write).await;
    assert!(matches!(outcome, Err(WriteError::OutcomeUnknown | WriteError::Deposed)), "{outcome:?}");
    let mut next = coordination(&ensemble, "/slow").campaign(info("next"));
    let term = soon("another leads", next.wait_until_leading()).await.expect("the session is over");
    soon("opens", term.open_registry(SCHEMA)).await.expect("whatever became of the write");
    let lost = until("gives up", &mut campaign, |state| matches!(state, Leadership::Lost(_))).await;
    assert!(matches!(lost, Leadership::Lost(LostReason::SessionExpired)), "{lost:?}");
    next.resign().await;
}
