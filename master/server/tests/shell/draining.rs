//! Agents taken out of service through the operator's door: as a real Mesos answered, and what Mesos does not have.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::TestMaster;
use crate::support::agent::ScriptedAgent;
use crate::support::http::{Answer, get, post_json};

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
