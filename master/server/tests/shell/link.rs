//! The agent link: who is taken, who is refused, and what happens when one goes away.

use chapada_wire::link::{FromAgent, refused::Reason, to_agent};

use crate::support::agent::{ScriptedAgent, dial, hello, holding_nothing};
use crate::support::{DEADLINE, TestMaster, http};

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_protocol_is_refused_by_name() {
    let master = TestMaster::start().await;
    let refused = refusal(&master, vec![hello(2), holding_nothing()]).await;
    assert_eq!(refused.reason(), Reason::Version);
    assert!(refused.message.contains("version 2"), "{}", refused.message);
    let newer = FromAgent { seen_epoch: 1_000, ..hello(1) };
    let refused = refusal(&master, vec![newer, holding_nothing()]).await;
    assert_eq!(refused.reason(), Reason::NotLeading, "{}", refused.message);
    let refused = refusal(&master, vec![holding_nothing()]).await;
    assert_eq!(refused.reason(), Reason::Invalid, "{}", refused.message);
    master.end().await;
}

pub(crate) async fn refusal(master: &TestMaster, first: Vec<FromAgent>) -> chapada_wire::link::Refused {
    let (_sender, mut answers) = dial(master.at, first).await;
    let answer =
        tokio::time::timeout(DEADLINE, answers.message()).await.expect("in time").expect("an answer");
    let Some(to_agent::Message::Refused(refused)) = answer.and_then(|answer| answer.message) else {
        panic!("not refused")
    };
    let end = tokio::time::timeout(DEADLINE, answers.message()).await.expect("in time").expect("a clean end");
    assert!(end.is_none(), "the master closes after a refusal");
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_leaves_is_disconnected() {
    let master = TestMaster::start().await;
    let agent = ScriptedAgent::connect(master.at).await;
    assert!(agent.epoch >= 1);
    let state = |state: &'static str| async move {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let agents = http::get(master.at, "/query/v1/agents").await.json();
            if agents["items"][0]["state"] == state {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "not {state}: {agents}");
        }
    };
    state("active").await;
    agent.disconnect();
    state("disconnected").await;
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_agents_are_heard_out_at_once_and_the_next_waits_for_room() {
    const MOST: usize = 256;
    let master = TestMaster::start().await;
    // They say who they are, and not what they hold.
    let mut slow: Vec<_> = (0..MOST).map(|_| tokio::spawn(dial(master.at, vec![hello(1)]))).collect();
    until_metric(&master, "master/agent_handshakes", MOST).await;
    let next = tokio::spawn(ScriptedAgent::connect(master.at));
    until_metric(&master, "master/agent_handshakes_waiting", 1).await;
    assert!(!next.is_finished());
    slow.pop().expect("one of them").abort();
    tokio::time::timeout(DEADLINE, next).await.expect("there is room").expect("it is welcome");
    until_metric(&master, "master/agent_handshakes", MOST - 1).await;
    slow.iter().for_each(tokio::task::JoinHandle::abort);
    until_metric(&master, "master/agent_handshakes", 0).await;
    master.end().await;
}

async fn until_metric(master: &TestMaster, name: &str, wanted: usize) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let metrics = http::get(master.at, "/metrics/snapshot").await.json();
        if metrics[name].as_f64() == Some(wanted as f64) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{name} is {}, not {wanted}", metrics[name]);
    }
}
