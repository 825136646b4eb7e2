//! The thin path from end to end: subscribe, offers, launch, updates, acknowledgement.

use crate::support::agent::ScriptedAgent;
use crate::support::stream::{Subscription, call, subscribe_body};
use crate::support::{TestMaster, http};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_task_runs_to_its_end() {
    let master = TestMaster::start().await;
    let agent = ScriptedAgent::connect(master.at).await;
    let mut events = Subscription::open(master.at, &subscribe_body("test", None)).await;
    assert_eq!(events.head.status, 200);
    assert_eq!(events.head.header("content-type"), Some("application/json"));
    let mut seen = Vec::new();
    let subscribed = events.wait_for("SUBSCRIBED", &mut seen).await;
    let framework = subscribed["subscribed"]["framework_id"].clone();
    events.wait_for("HEARTBEAT", &mut seen).await;
    let offers = events.wait_for("OFFERS", &mut seen).await;
    let offer = &offers["offers"]["offers"][0];
    assert_eq!(offer["agent_id"]["value"], agent.id);
    let task = json!({"name": "t1", "task_id": {"value": "t1"}, "agent_id": offer["agent_id"],
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                      {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}}],
        "command": {"value": "true"}});
    let accept = json!({"framework_id": framework, "type": "ACCEPT", "accept": {"offer_ids": [offer["id"]],
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": [task]}}]}});
    let stream = events.id();
    assert_eq!(call(master.at, &stream, &accept.to_string()).await.status, 202);
    for state in ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"] {
        let update = events.wait_for("UPDATE", &mut seen).await;
        let status = &update["update"]["status"];
        assert_eq!(status["state"], state, "{update}");
        let acknowledge = json!({"framework_id": framework, "type": "ACKNOWLEDGE", "acknowledge":
            {"agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"]}});
        assert_eq!(call(master.at, &stream, &acknowledge.to_string()).await.status, 202);
    }
    let tasks = http::get(master.at, "/tasks").await.json();
    assert_eq!(tasks["tasks"][0]["state"], "TASK_FINISHED", "{tasks}");
    let state = http::get(master.at, "/master/state.json").await.json();
    assert_eq!(state["frameworks"][0]["completed_tasks"][0]["id"], "t1", "{state}");
    drop(events);
    let deadline = tokio::time::Instant::now() + crate::support::DEADLINE;
    loop {
        let state = http::get(master.at, "/frameworks").await.json();
        if state["frameworks"].as_array().is_some_and(Vec::is_empty) {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "a closed stream was not noticed: {state}");
    }
    agent.disconnect();
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_not_fit_the_agent_link_is_refused() {
    let master = TestMaster::start().await;
    let agent = ScriptedAgent::connect(master.at).await;
    let mut events = Subscription::open(master.at, &subscribe_body("large", None)).await;
    let mut seen = Vec::new();
    let framework = events.wait_for("SUBSCRIBED", &mut seen).await["subscribed"]["framework_id"].clone();
    let offer = events.wait_for("OFFERS", &mut seen).await["offers"]["offers"][0].clone();
    let task = json!({"name": "t", "task_id": {"value": "t"}, "agent_id": offer["agent_id"],
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}}],
        "command": {"value": "x".repeat(300_000)}});
    let accept = json!({"framework_id": framework, "type": "ACCEPT", "accept": {"offer_ids": [offer["id"]],
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": [task]}}]}});
    assert_eq!(call(master.at, &events.id(), &accept.to_string()).await.status, 202);
    let update = events.wait_for("UPDATE", &mut seen).await;
    assert_eq!(update["update"]["status"]["state"], "TASK_ERROR", "{update}");
    let message = json!({"framework_id": framework, "type": "MESSAGE", "message": {"agent_id": offer["agent_id"],
        "executor_id": {"value": "e"}, "data": "A".repeat(400_000)}});
    assert_eq!(call(master.at, &events.id(), &message.to_string()).await.status, 400);
    let large = Subscription::open(master.at, &subscribe_body(&"x".repeat(100_000), None)).await.next().await;
    assert_eq!(large.expect("an event")["type"], "ERROR");
    let agents = http::get(master.at, "/query/v1/agents").await.json();
    assert_eq!(agents["items"][0]["state"], "active", "{agents}");
    agent.disconnect();
    master.end().await;
}
