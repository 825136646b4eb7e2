//! Agents taken out of service through the operator's door: as a real Mesos answered, and what Mesos does not have.

use std::net::SocketAddr;

use chapada_listener::Policy;
use chapada_master::MasterConfig;
use chapada_wire::v1;
use serde_json::{Value, json};

use crate::support::TestMaster;
use crate::support::agent::{ScriptedAgent, agent_info};
use crate::support::http::{Answer, ask, get, post_json};

async fn operate(at: SocketAddr, call: Value) -> Answer {
    post_json(at, "/api/v1", &call.to_string()).await
}

async fn of_agent(at: SocketAddr, kind: &str, agent: &str) -> Answer {
    operate(at, json!({ "type": kind, kind.to_lowercase(): { "agent_id": { "value": agent } } })).await
}

async fn agent_of(at: SocketAddr) -> Value {
    let answer = operate(at, json!({ "type": "GET_AGENTS" })).await.json();
    answer["get_agents"]["agents"][0].clone()
}

fn done(answer: &Answer) {
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
}

/// The recordings operator/22 to 27.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_answered_as_recorded() {
    let master = TestMaster::start().await;
    let at = master.at;
    let agent = ScriptedAgent::connect(at).await;
    assert_eq!(agent_of(at).await["deactivated"], false);
    done(&of_agent(at, "DEACTIVATE_AGENT", &agent.id).await);
    let said = agent_of(at).await;
    assert_eq!((&said["active"], &said["deactivated"]), (&json!(false), &json!(true)));
    assert!(said["drain_info"].is_null());
    done(&of_agent(at, "REACTIVATE_AGENT", &agent.id).await);
    let drain =
        json!({ "agent_id": { "value": agent.id }, "max_grace_period": { "seconds": 1, "nanos": 0 } });
    done(&operate(at, json!({ "type": "DRAIN_AGENT", "drain_agent": drain })).await);
    let info = json!({ "state": "DRAINED",
        "config": { "max_grace_period": { "nanoseconds": 1_000_000_000 }, "mark_gone": false } });
    let said = loop {
        // Nothing ran there: it is drained as soon as that is durable.
        let said = agent_of(at).await;
        if said["drain_info"]["state"] == "DRAINED" {
            break said;
        }
    };
    assert_eq!((&said["active"], &said["deactivated"]), (&json!(false), &json!(true)));
    assert_eq!(said["drain_info"], info);
    let since = said["estimated_drain_start_time"]["nanoseconds"].as_u64().expect("a time");
    assert_eq!(since % 1_000_000_000, 0, "in whole seconds");
    let plain = get(at, "/slaves").await.json()["slaves"][0].clone();
    assert_eq!((&plain["drain_info"], &plain["deactivated"]), (&info, &json!(true)));
    assert!(plain["estimated_drain_start_time_seconds"].is_f64());
    done(&of_agent(at, "REACTIVATE_AGENT", &agent.id).await);
    let said = agent_of(at).await;
    assert!(said["drain_info"].is_null() && said["deactivated"] == false);
    done(&of_agent(at, "MARK_AGENT_GONE", &agent.id).await);
    assert!(agent_of(at).await.is_null());
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drains_of_many_are_listed_cancelled_and_refused_in_words() {
    let master = TestMaster::start().await;
    let at = master.at;
    let agent = ScriptedAgent::connect(at).await;
    let drain = |more: Value| {
        let mut call = json!({ "drain_id": "d", "leave_within": { "seconds": 3600, "nanos": 0 } });
        call.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({ "type": "DRAIN_AGENTS", "drain_agents": call })
    };
    let named = || json!({ "agent_ids": [{ "value": agent.id }] });
    for (call, status, words) in [
        (drain(json!({})), 400, "either 'drain_agents.agent_ids' or 'drain_agents.attributes'"),
        (drain(json!({ "attributes": ["rack"] })), 400, "is not name=value"),
        (drain(json!({ "attributes": ["rack=r2"] })), 404, "no agent has rack=r2"),
        (json!({ "type": "CANCEL_DRAIN", "cancel_drain": { "drain_id": "d" } }), 404, "there is no drain d"),
        (json!({ "type": "DRAIN_AGENT", "drain_agent": {} }), 400, "drain_agent.agent_id is required"),
        (
            json!({ "type": "ALLOW_AGENT_REMOVALS", "allow_agent_removals": { "duration": { "seconds": -1, "nanos": 0 } } }),
            400,
            "must not be negative",
        ),
    ] {
        let answer = operate(at, call).await;
        assert!(
            answer.status == status && answer.text().contains(words),
            "{} {}",
            answer.status,
            answer.text()
        );
    }
    done(&operate(at, drain(named())).await);
    let listed = get(at, "/query/v1/drains").await.json()["items"][0].clone();
    assert_eq!(
        (&listed["id"], &listed["at_once"], &listed["deadline_seconds"]),
        (&json!("d"), &json!(1), &json!(3600.0))
    );
    let one = loop {
        let one = get(at, "/query/v1/drains/d").await.json();
        if one["state"] == "done" {
            break one;
        }
    };
    assert_eq!((&one["list"][0]["state"], &one["agents"]["drained"]), (&json!("drained"), &json!(1)));
    let again = operate(at, drain(named())).await;
    assert_eq!((again.status, again.text().contains("there is a drain d already")), (409, true));
    assert_eq!(get(at, "/query/v1/agents").await.json()["items"][0]["state"], "drained");
    let allow = json!({ "type": "ALLOW_AGENT_REMOVALS", "allow_agent_removals": {} });
    done(&operate(at, allow).await);
    let removals = get(at, "/query/v1/overview").await.json()["agent_removals"].clone();
    assert!(removals["held"] == 0 && removals["allowed_until"].is_u64(), "{removals}");
    master.end().await;
}

fn in_rack(rack: &str) -> v1::AgentInfo {
    let attributes = vec![v1::Attribute {
        name: Some("rack".to_owned()),
        r#type: Some(v1::value::Type::Text.into()),
        text: Some(v1::value::Text { value: Some(rack.to_owned()) }),
        ..v1::Attribute::default()
    }];
    v1::AgentInfo { attributes, ..agent_info() }
}

fn drain_rack(rack: &str) -> Value {
    let call = json!({ "drain_id": "d", "attributes": [format!("rack={rack}")] });
    json!({ "type": "DRAIN_AGENTS", "drain_agents": call })
}

/// Asks until the answer is as wanted; whoever waits for ever is ended by the runner.
async fn until(at: SocketAddr, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let answer = get(at, path).await.json();
        if wanted(&answer) {
            return answer;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_says_why_it_waits() {
    let master = TestMaster::start().await;
    let at = master.at;
    let agent = ScriptedAgent::connect_as(at, in_rack("r2")).await;
    let id = agent.id.clone();
    agent.disconnect();
    until(at, "/query/v1/agents", |all| all["items"][0]["state"] == "disconnected").await;
    done(&operate(at, drain_rack("r2")).await);
    // It begins when that the drain is there is durable, which is answered before.
    let one = until(at, "/query/v1/drains/d", |one| one["list"][0]["state"] == "draining").await;
    let why = "the agent is not connected: it goes on when it is back";
    assert_eq!((&one["list"][0]["state"], &one["list"][0]["why"]), (&json!("draining"), &json!(why)));
    let agents = get(at, "/query/v1/agents").await.json();
    assert_eq!(agents["items"][0]["drain"]["why"], why);
    assert_eq!(get(at, &format!("/query/v1/agents/{id}")).await.json()["drain"]["why"], why);
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_drain_by_attributes_names_the_agents_that_are_unreachable() {
    // Long enough that the second agent is not taken for silent on a busy machine, too.
    let silence = std::time::Duration::from_secs(5);
    let config = MasterConfig { agent_ping_timeout: silence, ..MasterConfig::default() };
    let config = MasterConfig { max_agent_ping_timeouts: 1, ..config };
    let master = TestMaster::start_as(config, Policy::allow_all()).await;
    master.wait_until_leading().await;
    let at = master.at;
    let away = ScriptedAgent::connect_as(at, in_rack("r2")).await;
    let id = away.id.clone();
    away.disconnect();
    until(at, "/query/v1/agents", |all| all["items"][0]["state"] == "unreachable").await;
    let refused = operate(at, drain_rack("r2")).await;
    let words = format!("all agents that have rack=r2 are unreachable ({id})");
    assert!(refused.status == 404 && refused.text().contains(&words), "{}", refused.text());
    let _there = ScriptedAgent::connect_as(at, in_rack("r2")).await;
    let answer = operate(at, drain_rack("r2")).await;
    let why = "unreachable: named by its id it is drained when it comes back";
    let passed_over = json!([{ "agent_id": { "value": id }, "hostname": "127.0.0.1", "why": why }]);
    let message = "1 agent with these attributes passed over";
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!({ "message": message, "passed_over": passed_over }))
    );
    // The list is no message: who reads nothing else is answered as Mesos answers.
    let again = drain_rack("r2").to_string().replace("\"d\"", "\"e\"");
    let head = "POST /api/v1 HTTP/1.1\nContent-Type: application/json\nAccept: application/x-protobuf";
    done(&ask(at, head, again.as_bytes()).await);
    assert_eq!(get(at, "/query/v1/drains/e").await.json()["id"], "e");
    master.end().await;
}
