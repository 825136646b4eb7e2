//! Maintenance through every door: as a real Mesos answered, in both forms, and asked of a scheduler.

use std::net::SocketAddr;

use chapada_wire::v1;
use chapada_wire::v1::master::call::{self, StartMaintenance};
use chapada_wire::v1::master::{Call, Response};
use prost::Message;
use serde_json::{Value, json};

use crate::support::TestMaster;
use crate::support::agent::{ScriptedAgent, dial, hello, holding_nothing};
use crate::support::http::{Answer, ask, get, post_json};
use crate::support::stream::{Subscription, call, subscribe_body};

async fn operate(at: SocketAddr, call: Value) -> Answer {
    post_json(at, "/api/v1", &call.to_string()).await
}

async fn schedule(at: SocketAddr, windows: Value) -> Answer {
    let schedule = json!({ "schedule": { "windows": windows } });
    operate(at, json!({ "type": "UPDATE_MAINTENANCE_SCHEDULE", "update_maintenance_schedule": schedule }))
        .await
}

async fn machines(at: SocketAddr, kind: &str, machines: Value) -> Answer {
    let field = kind.to_lowercase();
    operate(at, json!({ "type": kind, field: { "machines": machines } })).await
}

fn window(machine: &Value, start: i64) -> Value {
    let times =
        json!({ "start": { "nanoseconds": start }, "duration": { "nanoseconds": 1_000_000_000_000_i64 } });
    json!({ "machine_ids": [machine], "unavailability": times })
}

/// The recordings operator/15 to 21.
#[tokio::test(flavor = "multi_thread")]
async fn maintenance_is_answered_as_recorded() {
    let master = TestMaster::start().await;
    let at = master.at;
    let m1 = json!({ "hostname": "m1", "ip": "10.0.0.1" });
    let done = |answer: Answer| assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    done(schedule(at, json!([window(&m1, 1_795_201_056_537_690_624)])).await);
    let said = r#"{"windows":[{"machine_ids":[{"hostname":"m1","ip":"10.0.0.1"}],"unavailability":{"start":{"nanoseconds":1795201056537690624},"duration":{"nanoseconds":1000000000000}}}]}"#;
    assert_eq!(
        operate(at, json!({ "type": "GET_MAINTENANCE_SCHEDULE" })).await.text(),
        format!(r#"{{"type":"GET_MAINTENANCE_SCHEDULE","get_maintenance_schedule":{{"schedule":{said}}}}}"#)
    );
    assert_eq!(get(at, "/maintenance/schedule").await.text(), said);
    let status = |said: &str| {
        format!(r#"{{"type":"GET_MAINTENANCE_STATUS","get_maintenance_status":{{"status":{said}}}}}"#)
    };
    let ask_status = || operate(at, json!({ "type": "GET_MAINTENANCE_STATUS" }));
    let draining = r#"{"draining_machines":[{"id":{"hostname":"m1","ip":"10.0.0.1"}}]}"#;
    assert_eq!(ask_status().await.text(), status(draining));
    assert_eq!(get(at, "/master/maintenance/status").await.text(), draining);
    done(machines(at, "START_MAINTENANCE", json!([m1])).await);
    assert_eq!(ask_status().await.text(), status(r#"{"down_machines":[{"hostname":"m1","ip":"10.0.0.1"}]}"#));
    done(machines(at, "STOP_MAINTENANCE", json!([m1])).await);
    done(schedule(at, json!([])).await);
    assert_eq!(get(at, "/maintenance/status").await.text(), "{}");
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_form_and_protobuf_do_the_same_and_what_is_wrong_is_refused() {
    let master = TestMaster::start().await;
    let at = master.at;
    let (a, b) = (json!({ "hostname": "a" }), json!({ "ip": "10.0.0.2" }));
    let plan = json!({ "windows": [window(&a, 5), window(&b, 3)] }).to_string();
    assert_eq!(post_json(at, "/maintenance/schedule", &plan).await.status, 200);
    assert_eq!(
        get(at, "/maintenance/schedule").await.json()["windows"],
        json!([window(&b, 3), window(&a, 5)])
    );
    assert_eq!(post_json(at, "/machine/down", &json!([a]).to_string()).await.status, 200);
    let ip = v1::MachineId { ip: Some("10.0.0.2".to_owned()), ..v1::MachineId::default() };
    let start = Call {
        r#type: Some(call::Type::StartMaintenance.into()),
        start_maintenance: Some(StartMaintenance { machines: vec![ip.clone()] }),
        ..Call::default()
    };
    let head = "POST /api/v1 HTTP/1.1\nContent-Type: application/x-protobuf\nAccept: application/x-protobuf";
    assert_eq!(ask(at, head, &start.encode_to_vec()).await.status, 200);
    let read = Call { r#type: Some(call::Type::GetMaintenanceStatus.into()), ..Call::default() };
    let answer = ask(at, head, &read.encode_to_vec()).await;
    let status = Response::decode(&answer.body[..]).expect("protobuf").get_maintenance_status;
    assert_eq!(status.and_then(|said| said.status).map(|said| said.down_machines.len()), Some(2));

    let none = json!({ "machine_ids": [{}], "unavailability": { "start": { "nanoseconds": 1 } } });
    let negative = json!({ "start": { "nanoseconds": 1 }, "duration": { "nanoseconds": -1 } });
    let cases = [
        (schedule(at, json!([])).await, "cannot be removed from the schedule: bring it up first"),
        (
            schedule(at, json!([none])).await,
            "Both 'hostname' and 'ip' for a machine are empty: say at least one",
        ),
        (
            schedule(at, json!([window(&json!({ "ip": "10.0.0" }), 1)])).await,
            "which is no address: write it as 10.0.0.1",
        ),
        (
            schedule(at, json!([{ "machine_ids": [a], "unavailability": negative }])).await,
            "duration.nanoseconds: is negative: -1; say 0 or more",
        ),
        (
            operate(at, json!({ "type": "START_MAINTENANCE" })).await,
            "Expecting 'start_maintenance' to be present",
        ),
        (machines(at, "STOP_MAINTENANCE", json!([])).await, "List of machines is empty"),
        (post_json(at, "/machine/up", "{}").await, "Failed to parse JSON: a list of machines is wanted"),
        (post_json(at, "/maintenance/schedule", "[").await, "Failed to parse JSON"),
    ];
    for (answer, why) in cases {
        assert_eq!(answer.status, 400, "{why}");
        assert!(answer.text().contains(why), "{}", answer.text());
    }
    assert_eq!(post_json(at, "/machine/up", &json!([a, b]).to_string()).await.status, 200);
    assert_eq!(get(at, "/maintenance/schedule").await.text(), "{}");
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_is_asked_to_leave_and_its_answer_is_shown() {
    let master = TestMaster::start().await;
    let at = master.at;
    let agent = ScriptedAgent::connect(at).await;
    let mut events = Subscription::open(at, &subscribe_body("leaver", None)).await;
    let (stream, mut seen) = (events.id(), Vec::new());
    let subscribed = events.wait_for("SUBSCRIBED", &mut seen).await;
    let framework = subscribed["subscribed"]["framework_id"].clone();
    let offer = events.wait_for("OFFERS", &mut seen).await["offers"]["offers"][0].clone();
    assert!(offer["unavailability"].is_null());
    let cpus = json!([{ "name": "cpus", "type": "SCALAR", "scalar": { "value": 0.5 } }]);
    let task = json!({ "name": "t", "task_id": { "value": "t" }, "agent_id": offer["agent_id"],
        "resources": cpus, "command": { "value": "sleep 1000" } });
    let accept = json!({ "framework_id": framework, "type": "ACCEPT", "accept": { "offer_ids": [offer["id"]],
        "filters": { "refuse_seconds": 0 },
        "operations": [{ "type": "LAUNCH", "launch": { "task_infos": [task] } }] } });
    assert_eq!(call(at, &stream, &accept.to_string()).await.status, 202);

    let host = json!({ "hostname": "127.0.0.1" });
    assert_eq!(schedule(at, json!([window(&host, 9)])).await.status, 200);
    let asked =
        events.wait_for("INVERSE_OFFERS", &mut seen).await["inverse_offers"]["inverse_offers"][0].clone();
    let times = window(&host, 9)["unavailability"].clone();
    assert_eq!(
        asked,
        json!({ "id": asked["id"], "framework_id": framework, "agent_id": offer["agent_id"], "unavailability": times })
    );
    let offered = loop {
        let offer = events.wait_for("OFFERS", &mut seen).await["offers"]["offers"][0].clone();
        if !offer["unavailability"].is_null() {
            break offer;
        }
    };
    assert_eq!(offered["unavailability"], times);

    let field = json!({ "inverse_offer_ids": [asked["id"]], "filters": { "refuse_seconds": 0 } });
    let decline = json!({ "framework_id": framework, "type": "DECLINE_INVERSE_OFFERS", "decline_inverse_offers": field });
    assert_eq!(call(at, &stream, &decline.to_string()).await.status, 202);
    let again =
        events.wait_for("INVERSE_OFFERS", &mut seen).await["inverse_offers"]["inverse_offers"][0].clone();
    let status = get(at, "/maintenance/status").await.json()["draining_machines"][0].clone();
    assert_eq!((&status["id"], &status["statuses"][0]["status"]), (&host, &json!("DECLINE")));
    assert_eq!(status["statuses"][0]["framework_id"], framework);

    assert_eq!(machines(at, "START_MAINTENANCE", json!([host])).await.status, 200);
    let rescinded = events.wait_for("RESCIND_INVERSE_OFFER", &mut seen).await;
    assert_eq!(rescinded["rescind_inverse_offer"]["inverse_offer_id"], again["id"]);
    let lost = loop {
        let status = events.wait_for("UPDATE", &mut seen).await["update"]["status"].clone();
        if status["source"] == "SOURCE_MASTER" {
            break status;
        }
    };
    assert_eq!((&lost["state"], &lost["reason"]), (&json!("TASK_GONE"), &json!("REASON_AGENT_REMOVED")));
    agent.disconnect();
    let (_sender, mut answers) = dial(at, vec![hello(1), holding_nothing()]).await;
    let refused = answers.message().await.expect("a link").expect("an answer").message;
    assert!(format!("{refused:?}").contains("its machine is down for maintenance"), "{refused:?}");
    master.end().await;
}
