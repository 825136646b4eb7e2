//! The agent link: who is taken, who is refused, and what happens when one goes away.

use std::net::Ipv4Addr;

use chapada_wire::link::{FromAgent, refused::Reason, to_agent};
use chapada_wire::v1;
use serde_json::json;

use crate::support::agent::{ScriptedAgent, agent_info, dial, dial_from, hello, hello_of, holding_nothing};
use crate::support::stream::{Subscription, call, subscribe_body};
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
    refusal_from(Ipv4Addr::LOCALHOST, master, first).await
}

async fn refusal_from(
    from: Ipv4Addr,
    master: &TestMaster,
    first: Vec<FromAgent>,
) -> chapada_wire::link::Refused {
    let (_sender, mut answers) = dial_from(from, master.at, first).await;
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
    until_agent_is(&master, "active").await;
    agent.disconnect();
    until_agent_is(&master, "disconnected").await;
    master.end().await;
}

async fn until_agent_is(master: &TestMaster, state: &str) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let agents = http::get(master.at, "/query/v1/agents").await.json();
        if agents["items"][0]["state"] == state {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "not {state}: {agents}");
    }
}

/// Its hostname is the agent's, and it runs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn another_machine_does_not_get_the_id_of_a_connected_agent_whose_task_runs_on() {
    let master = TestMaster::start().await;
    let agent = ScriptedAgent::connect(master.at).await;
    let (mut events, mut seen) =
        (Subscription::open(master.at, &subscribe_body("test", None)).await, Vec::new());
    let framework = events.wait_for("SUBSCRIBED", &mut seen).await["subscribed"]["framework_id"].clone();
    let offer = events.wait_for("OFFERS", &mut seen).await["offers"]["offers"][0].clone();
    let task = json!({"name": "t", "task_id": {"value": "t"}, "agent_id": offer["agent_id"],
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}}],
        "command": {"value": "sleep 1000"}});
    let accept = json!({"framework_id": framework, "type": "ACCEPT", "accept": {"offer_ids": [offer["id"]],
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": [task]}}]}});
    assert_eq!(call(master.at, &events.id(), &accept.to_string()).await.status, 202);
    for state in ["TASK_STARTING", "TASK_RUNNING"] {
        assert_eq!(events.wait_for("UPDATE", &mut seen).await["update"]["status"]["state"], state);
    }
    let info = v1::AgentInfo { id: Some(v1::AgentId { value: Some(agent.id.clone()) }), ..agent_info() };
    let (claim, other) = (vec![hello_of(1, info), holding_nothing()], Ipv4Addr::new(127, 0, 0, 2));
    let refused = refusal_from(other, &master, claim.clone()).await;
    assert_eq!(refused.reason(), Reason::IdInUse, "{}", refused.message);
    for address in ["127.0.0.1", "127.0.0.2"] {
        assert!(refused.message.contains(address), "{}", refused.message);
    }
    // The link stands, and nothing was said of the task but what its agent says.
    let kill = json!({"framework_id": framework, "type": "KILL", "kill": {"task_id": {"value": "t"}}});
    assert_eq!(call(master.at, &events.id(), &kill.to_string()).await.status, 202);
    assert_eq!(events.wait_for("UPDATE", &mut seen).await["update"]["status"]["state"], "TASK_KILLED");
    agent.disconnect();
    until_agent_is(&master, "disconnected").await;
    let (_sender, mut answers) = dial_from(other, master.at, claim).await;
    let answer =
        tokio::time::timeout(DEADLINE, answers.message()).await.expect("in time").expect("an answer");
    let welcome = answer.and_then(|answer| answer.message);
    assert!(matches!(welcome, Some(to_agent::Message::Welcome(_))), "{welcome:?}");
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
