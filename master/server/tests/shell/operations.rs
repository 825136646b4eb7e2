//! Operations over HTTP: reserved, heard of, acknowledged; and what is refused, in its words.

use serde_json::{Value, json};

use crate::support::TestMaster;
use crate::support::agent::ScriptedAgent;
use crate::support::stream::{Subscription, call};

fn subscribe() -> String {
    let info = json!({"user": "root", "name": "stateful", "roles": ["db"],
        "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}, {"type": "RESERVATION_REFINEMENT"}]});
    json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}).to_string()
}

fn disk(volume: Option<&str>) -> Value {
    let mut disk = json!({"name": "disk", "type": "SCALAR", "scalar": {"value": 100},
        "reservations": [{"type": "DYNAMIC", "role": "db"}]});
    if let Some(id) = volume {
        disk["disk"] = json!({"persistence": {"id": id}, "volume": {"container_path": "data", "mode": "RW"}});
    }
    disk
}

#[tokio::test(flavor = "multi_thread")]
async fn reservations_and_volumes_are_made_and_heard_of() {
    let master = TestMaster::start().await;
    let agent = ScriptedAgent::connect(master.at).await;
    let mut events = Subscription::open(master.at, &subscribe()).await;
    let (stream, mut seen) = (events.id(), Vec::new());
    let subscribed = events.wait_for("SUBSCRIBED", &mut seen).await;
    let framework = subscribed["subscribed"]["framework_id"].clone();
    let offer = events.wait_for("OFFERS", &mut seen).await["offers"]["offers"][0].clone();
    let group = json!({"type": "LAUNCH_GROUP", "launch_group": {"executor": {"executor_id": {"value": "e"},
        "type": "DEFAULT"}, "task_group": {"tasks": [{"name": "t", "task_id": {"value": "t"},
        "agent_id": offer["agent_id"], "resources": []}]}}});
    let accept = json!({"framework_id": framework, "type": "ACCEPT", "accept": {
        "offer_ids": [offer["id"]], "filters": {"refuse_seconds": 0}, "operations": [
            {"type": "RESERVE", "id": {"value": "r"}, "reserve": {"resources": [disk(None)]}},
            {"type": "CREATE", "id": {"value": "c"}, "create": {"volumes": [disk(Some("v"))]}},
            {"type": "CREATE_DISK", "id": {"value": "d"}, "create_disk": {"source": disk(None), "target_type": "MOUNT"}},
            {"type": "DESTROY_DISK", "id": {"value": "e"}, "destroy_disk": {"source": disk(None)}},
            {"type": "RESERVE", "id": {"value": "x"}, "reserve": {"source": [disk(None)], "resources": [disk(None)]}},
            {"type": "RESERVE", "id": {"value": "a/b"}, "reserve": {"resources": [disk(None)]}},
            group]}});
    assert_eq!(call(master.at, &stream, &accept.to_string()).await.status, 202);
    let failed = events.wait_for("UPDATE", &mut seen).await["update"]["status"].clone();
    assert_eq!(
        (&failed["state"], &failed["reason"]),
        (&json!("TASK_ERROR"), &json!("REASON_TASK_GROUP_INVALID"))
    );
    let mut news = Vec::new();
    let statuses = |seen: &[Value]| -> Vec<Value> {
        let operations = seen.iter().filter(|event| event["type"] == "UPDATE_OPERATION_STATUS");
        operations.map(|event| event["update_operation_status"]["status"].clone()).collect()
    };
    while statuses(&seen).len() + statuses(&news).len() < 6 {
        events.wait_for("UPDATE_OPERATION_STATUS", &mut news).await;
    }
    seen.extend(news);
    let all = statuses(&seen);
    let of = |id: &str| all.iter().find(|status| status["operation_id"]["value"] == id).expect("heard of");
    for (id, name) in [("d", "CREATE_DISK"), ("e", "DESTROY_DISK")] {
        assert_eq!(of(id)["state"], "OPERATION_UNSUPPORTED", "{name}");
        let words = of(id)["message"].as_str().expect("words");
        assert!(words.starts_with(name) && words.contains("--resources"), "what to do instead: {words}");
    }
    assert!(of("x")["message"].as_str().expect("words").contains("reserve.source"));
    let misnamed = of("a/b");
    assert_eq!((&misnamed["state"], &misnamed["uuid"]), (&json!("OPERATION_ERROR"), &Value::Null));
    assert_eq!(misnamed["message"], "Invalid RESERVE operation: id.value: 'a/b' contains invalid characters");
    for id in ["r", "c"] {
        assert_eq!(of(id)["state"], "OPERATION_FINISHED", "{}", of(id));
        let acknowledge = json!({"framework_id": framework, "type": "ACKNOWLEDGE_OPERATION_STATUS",
            "acknowledge_operation_status": {"agent_id": offer["agent_id"],
                "uuid": of(id)["uuid"]["value"], "operation_id": {"value": id}}});
        assert_eq!(call(master.at, &stream, &acknowledge.to_string()).await.status, 202);
    }
    let reconcile = json!({"framework_id": framework, "type": "RECONCILE_OPERATIONS", "reconcile_operations":
        {"operations": [{"operation_id": {"value": "c"}, "agent_id": offer["agent_id"]}]}});
    assert_eq!(call(master.at, &stream, &reconcile.to_string()).await.status, 202);
    let answer = events.wait_for("UPDATE_OPERATION_STATUS", &mut seen).await;
    let status = &answer["update_operation_status"]["status"];
    assert_eq!((&status["state"], &status["uuid"]), (&json!("OPERATION_UNKNOWN"), &Value::Null));
    let shows = |event: &Value| {
        let offers = event["offers"]["offers"].as_array().cloned().unwrap_or_default();
        let mut resources =
            offers.iter().flat_map(|offer| offer["resources"].as_array().cloned().unwrap_or_default());
        resources.any(|resource| resource["disk"]["persistence"]["id"] == "v")
    };
    while !seen.iter().any(shows) {
        events.wait_for("OFFERS", &mut seen).await;
    }
    agent.disconnect();
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_are_written_as_the_framework_can_read_them_by_now() {
    let master = TestMaster::start().await;
    let agent = ScriptedAgent::connect(master.at).await;
    let capable =
        |names: &[&str]| -> Vec<Value> { names.iter().map(|name| json!({ "type": name })).collect() };
    let info = |capabilities: Vec<Value>| json!({"user": "root", "name": "old", "roles": ["db"], "capabilities": capabilities});
    let subscribe =
        json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info(capable(&["MULTI_ROLE"]))}});
    let mut events = Subscription::open(master.at, &subscribe.to_string()).await;
    let (stream, mut seen) = (events.id(), Vec::new());
    let id = events.wait_for("SUBSCRIBED", &mut seen).await["subscribed"]["framework_id"].clone();
    let offer = events.wait_for("OFFERS", &mut seen).await["offers"]["offers"][0].clone();
    let old =
        json!({"name": "disk", "type": "SCALAR", "scalar": {"value": 100}, "role": "db", "reservation": {}});
    let accept = json!({"framework_id": id, "type": "ACCEPT", "accept": {"offer_ids": [offer["id"]],
        "filters": {"refuse_seconds": 0}, "operations": [{"type": "RESERVE", "reserve": {"resources": [old]}}]}});
    assert_eq!(call(master.at, &stream, &accept.to_string()).await.status, 202);
    let reserved = |event: &Value| -> Value {
        let resources = event["offers"]["offers"][0]["resources"].as_array().cloned().unwrap_or_default();
        let is_it = |one: &Value| one["name"] == "disk" && one["scalar"]["value"] == 100.0;
        resources.into_iter().find(is_it).unwrap_or_default()
    };
    let event = events.wait_for("OFFERS", &mut seen).await;
    assert_eq!(
        (&reserved(&event)["role"], &reserved(&event)["reservations"]),
        (&json!("db"), &Value::Null),
        "{event}"
    );
    let mut known = info(capable(&["MULTI_ROLE", "RESERVATION_REFINEMENT"]));
    known["id"] = id.clone();
    let update = json!({"framework_id": id, "type": "UPDATE_FRAMEWORK", "update_framework": {"framework_info": known}});
    assert_eq!(call(master.at, &stream, &update.to_string()).await.status, 200);
    let decline = json!({"framework_id": id, "type": "DECLINE", "decline": {
        "offer_ids": [event["offers"]["offers"][0]["id"]], "filters": {"refuse_seconds": 0}}});
    assert_eq!(call(master.at, &stream, &decline.to_string()).await.status, 202);
    let event = events.wait_for("OFFERS", &mut seen).await;
    let stack = &reserved(&event)["reservations"];
    assert_eq!((&stack[0]["type"], &stack[0]["role"]), (&json!("DYNAMIC"), &json!("db")), "{event}");
    agent.disconnect();
    master.end().await;
}
