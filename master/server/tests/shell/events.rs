//! The operator's event stream: positions, and what becomes of a stream that was cut.

use chapada_wire::v1::master::{Event, Position, event};
use chapada_wire::{Json, decode_binary, recordio};
use prost::Message;
use serde_json::json;

use crate::support::agent::ScriptedAgent;
use crate::support::http::Connection;
use crate::support::stream::{Subscription, call, subscribe_body};
use crate::support::{DEADLINE, TestMaster};

/// An open stream, in either form.
struct Stream {
    connection: Connection,
    decoder: recordio::Decoder,
    binary: bool,
}

impl Stream {
    async fn open(master: &TestMaster, after: Option<Position>, binary: bool) -> Self {
        let mut call = json!({ "type": "SUBSCRIBE" });
        if let Some(after) = after {
            call["subscribe"] =
                json!({ "resume_after": { "epoch": after.epoch, "sequence": after.sequence } });
        }
        let call = call.to_string();
        let (media, body) = match binary {
            false => ("application/json", call.into_bytes()),
            true => {
                let call = chapada_wire::v1::master::Call::from_json(call.as_bytes()).expect("a call");
                ("application/x-protobuf", call.encode_to_vec())
            }
        };
        let mut connection = Connection::open(master.at).await;
        connection
            .send(&format!("POST /api/v1 HTTP/1.1\nContent-Type: {media}\nAccept: {media}"), &body)
            .await;
        let head = connection.head().await;
        assert_eq!((head.status, head.header("content-type")), (200, Some(media)));
        Self { connection, decoder: recordio::Decoder::new(1 << 20), binary }
    }

    /// The next event but heartbeats, which have no position; all others have one. No chunk may have bytes of two records.
    async fn next(&mut self) -> Event {
        loop {
            let chunk = tokio::time::timeout(DEADLINE, self.connection.chunk()).await.expect("in time");
            self.decoder.push(&chunk.expect("the stream goes on"));
            if let Some(record) = self.decoder.next_record().expect("records") {
                self.decoder.finish().expect("a chunk ends with its record");
                let event: Event = match self.binary {
                    true => decode_binary(&record).expect("an event"),
                    false => Event::from_json(&record).expect("an event"),
                };
                match event.r#type() {
                    event::Type::Heartbeat => assert_eq!(event.position, None),
                    _ => {
                        assert!(event.position.is_some(), "{event:?}");
                        return event;
                    }
                }
            }
        }
    }

    async fn until(&mut self, kind: event::Type) -> Event {
        loop {
            let event = self.next().await;
            if event.r#type() == kind {
                return event;
            }
        }
    }
}

fn sequence(event: &Event) -> u64 {
    event.position.as_ref().and_then(|position| position.sequence).expect("a position")
}

async fn goes_on(binary: bool) {
    let master = TestMaster::start().await;
    let mut first = Stream::open(&master, None, binary).await;
    let subscribed = first.next().await;
    assert_eq!(subscribed.r#type(), event::Type::Subscribed);
    let subscribed = subscribed.subscribed.expect("what it begins with");
    assert!(subscribed.get_state.is_some() && subscribed.resumed.is_none());
    let _one = ScriptedAgent::connect(master.at).await;
    let added = first.until(event::Type::AgentAdded).await;
    drop(first);
    // This one is missed.
    let two = ScriptedAgent::connect(master.at).await;
    let mut again = Stream::open(&master, added.position, binary).await;
    let resumed = again.next().await;
    assert_eq!(resumed.position, added.position);
    let resumed = resumed.subscribed.expect("what it begins with");
    assert_eq!((resumed.get_state, resumed.resumed, resumed.not_resumed), (None, Some(true), None));
    let missed = again.next().await;
    assert_eq!(sequence(&missed), sequence(&added) + 1, "nothing between the two is left out");
    let agent = missed.agent_added.and_then(|added| added.agent?.agent_info?.id?.value);
    assert_eq!(agent.as_ref(), Some(&two.id));
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_cut_goes_on_with_the_next_event_in_json() {
    Box::pin(goes_on(false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_cut_goes_on_with_the_next_event_in_protobuf() {
    Box::pin(goes_on(true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_and_the_events_after_it_leave_nothing_out_and_repeat_nothing() {
    let master = TestMaster::start().await;
    let mut watching = Stream::open(&master, None, false).await;
    watching.next().await;
    let _one = ScriptedAgent::connect(master.at).await;
    let added = watching.until(event::Type::AgentAdded).await;
    let mut late = Stream::open(&master, None, false).await;
    let subscribed = late.next().await;
    assert_eq!(subscribed.position, added.position, "the state is as of the last event");
    let state = subscribed.subscribed.and_then(|subscribed| subscribed.get_state?.get_agents);
    assert_eq!(state.map(|agents| agents.agents.len()), Some(1));
    let _two = ScriptedAgent::connect(master.at).await;
    assert_eq!(sequence(&late.next().await), sequence(&added) + 1);
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_cannot_go_on_is_told_why_and_has_the_state() {
    use event::subscribed::NotResumed;
    let master = TestMaster::start().await;
    let mut stream = Stream::open(&master, None, false).await;
    let here = stream.next().await.position.expect("a position");
    let (epoch, sequence) = (here.epoch.expect("an epoch"), here.sequence.expect("a number"));
    let refused = [
        (Position { epoch: Some(epoch - 1), sequence: Some(sequence) }, NotResumed::OtherEpoch),
        (Position { epoch: Some(epoch), sequence: Some(sequence + 1_000) }, NotResumed::NoSuchEvent),
    ];
    for (asked, why) in refused {
        let mut stream = Stream::open(&master, Some(asked), false).await;
        let event = stream.next().await;
        assert_eq!(event.position.as_ref(), Some(&here));
        let subscribed = event.subscribed.expect("what it begins with");
        assert_eq!((subscribed.resumed, subscribed.not_resumed()), (Some(false), why));
        assert!(subscribed.get_state.is_some());
    }
    master.end().await;
}

async fn events_of_one_moment_are_chunks_of_their_own(binary: bool) {
    let master = TestMaster::start().await;
    let agent = ScriptedAgent::connect(master.at).await;
    let mut scheduler = Subscription::open(master.at, &subscribe_body("two", None)).await;
    let mut seen = Vec::new();
    let framework = scheduler.wait_for("SUBSCRIBED", &mut seen).await["subscribed"]["framework_id"].clone();
    let offers = scheduler.wait_for("OFFERS", &mut seen).await;
    let offer = &offers["offers"]["offers"][0];
    let task = |id: &str| {
        json!({"name": id, "task_id": {"value": id}, "agent_id": offer["agent_id"], "command": {"value": "true"},
            "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                          {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}}]})
    };
    let mut stream = Stream::open(&master, None, binary).await;
    assert_eq!(stream.next().await.r#type(), event::Type::Subscribed);
    // One call adds all of them, so they become available together.
    let tasks: Vec<_> = ["a", "b", "c"].into_iter().map(task).collect();
    let accept = json!({"framework_id": framework, "type": "ACCEPT", "accept": {"offer_ids": [offer["id"]],
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": tasks}}]}});
    assert_eq!(call(master.at, &scheduler.id(), &accept.to_string()).await.status, 202);
    for id in ["a", "b", "c"] {
        let added = stream.until(event::Type::TaskAdded).await.task_added.and_then(|added| added.task);
        assert_eq!(added.and_then(|task| task.task_id?.value).as_deref(), Some(id));
    }
    drop(scheduler);
    agent.disconnect();
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_one_moment_are_chunks_of_their_own_in_json() {
    Box::pin(events_of_one_moment_are_chunks_of_their_own(false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_one_moment_are_chunks_of_their_own_in_protobuf() {
    Box::pin(events_of_one_moment_are_chunks_of_their_own(true)).await;
}
