//! Streams: both forms of the scheduler's, the operator's, and what happens to one that nobody reads.

use chapada_wire::v1::scheduler::{Event, event};
use chapada_wire::{decode_binary, recordio};
use prost::Message;
use serde_json::{Value, json};

use crate::support::agent::ScriptedAgent;
use crate::support::http::{Connection, get};
use crate::support::stream::{Subscription, subscribe_body};
use crate::support::{DEADLINE, TestMaster};

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_is_answered_in_the_form_it_accepts() {
    let master = TestMaster::start().await;
    let call = chapada_wire::v1::scheduler::Call::from_json_text(&subscribe_body("binary", None));
    let mut connection = Connection::open(master.at).await;
    let head = "POST /api/v1/scheduler HTTP/1.1\nContent-Type: application/x-protobuf\nAccept: application/x-protobuf";
    connection.send(head, &call.encode_to_vec()).await;
    let head = connection.head().await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("application/x-protobuf")));
    let mut decoder = recordio::Decoder::new(1 << 20);
    let mut kinds = Vec::new();
    while kinds.len() < 2 {
        decoder.push(&connection.chunk().await.expect("a chunk"));
        while let Some(record) = decoder.next_record().expect("records") {
            kinds.push(decode_binary::<Event>(&record).expect("an event").r#type());
        }
    }
    assert_eq!(kinds, [event::Type::Subscribed, event::Type::Heartbeat]);
    master.end().await;
}

trait FromJsonText: chapada_wire::Json {
    fn from_json_text(text: &str) -> Self {
        Self::from_json(text.as_bytes()).expect("a message")
    }
}

impl<T: chapada_wire::Json> FromJsonText for T {}

/// Reads events until one of this type has come; one chunk may hold a part of an event.
async fn read_until(
    connection: &mut Connection,
    decoder: &mut recordio::Decoder,
    kinds: &mut Vec<Value>,
    last: &str,
) {
    while kinds.last() != Some(&json!(last)) {
        match decoder.next_record().expect("records") {
            Some(record) => {
                let event: Value = serde_json::from_slice(&record).expect("JSON");
                kinds.push(event["type"].clone());
            }
            None => decoder.push(&connection.chunk().await.expect("a chunk")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_the_state_and_then_what_changes() {
    let master = TestMaster::start().await;
    let mut connection = Connection::open(master.at).await;
    let head = "POST /api/v1 HTTP/1.1\nContent-Type: application/json\nAccept: application/json";
    connection.send(head, br#"{"type":"SUBSCRIBE"}"#).await;
    assert_eq!(connection.head().await.status, 200);
    let mut decoder = recordio::Decoder::new(1 << 20);
    let mut kinds: Vec<Value> = Vec::new();
    // What is there already is in the first record, however many chunks that takes; what comes later is an event.
    read_until(&mut connection, &mut decoder, &mut kinds, "SUBSCRIBED").await;
    assert_eq!(kinds, ["SUBSCRIBED"]);
    let agent = ScriptedAgent::connect(master.at).await;
    let framework = Subscription::open(master.at, &subscribe_body("watched", None)).await;
    read_until(&mut connection, &mut decoder, &mut kinds, "FRAMEWORK_ADDED").await;
    assert!(kinds.contains(&json!("HEARTBEAT")) && kinds.contains(&json!("AGENT_ADDED")), "{kinds:?}");
    drop(framework);
    agent.disconnect();
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_that_stops_reading_holds_up_nobody() {
    let master = TestMaster::start().await;
    let agent = ScriptedAgent::connect(master.at).await;
    let mut sleepy = Subscription::open(master.at, &subscribe_body("sleepy", None)).await;
    let mut seen = Vec::new();
    let subscribed = sleepy.wait_for("SUBSCRIBED", &mut seen).await;
    let framework = subscribed["subscribed"]["framework_id"]["value"].as_str().expect("an id").to_owned();
    agent.message(&framework, "an-executor", b"first").await;
    let message = sleepy.wait_for("MESSAGE", &mut seen).await;
    assert_eq!(message["message"]["data"], "Zmlyc3Q=");
    // Far more than sockets and queues hold: 128 MiB, of which the master keeps 8.
    for _ in 0..2_000 {
        agent.message(&framework, "an-executor", &[b'x'; 64 * 1024]).await;
    }
    let began = tokio::time::Instant::now();
    assert_eq!(get(master.at, "/state").await.status, 200);
    assert!(began.elapsed() < DEADLINE / 4);
    let mut other = Subscription::open(master.at, &subscribe_body("awake", None)).await;
    other.wait_for("SUBSCRIBED", &mut seen).await;
    drop((sleepy, other));
    agent.disconnect();
    master.end().await;
}
