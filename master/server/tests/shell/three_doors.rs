//! Operations with feedback through every door of schedulers: HTTP in JSON and in protobuf, and gRPC.

use chapada_wire::v1::scheduler::scheduler_service_client::SchedulerServiceClient;
use chapada_wire::v1::scheduler::{Call, Event, event};
use chapada_wire::{Json, decode_binary, recordio, v1};
use prost::Message;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::support::agent::ScriptedAgent;
use crate::support::http::{Connection, ask, post_json};
use crate::support::{DEADLINE, TestMaster};

/// A subscription through one of the doors.
enum Door {
    Http { form: Form, stream: String, connection: Connection, decoder: recordio::Decoder },
    Grpc { calls: mpsc::Sender<Call>, events: tonic::Streaming<Event> },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Json,
    Protobuf,
}

impl Form {
    fn head(self) -> String {
        let media = match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        };
        format!("POST /api/v1/scheduler HTTP/1.1\nContent-Type: {media}\nAccept: {media}")
    }

    fn body(self, call: &Call) -> Vec<u8> {
        match self {
            Self::Json => call.to_json(),
            Self::Protobuf => call.encode_to_vec(),
        }
    }

    fn event(self, record: &[u8]) -> Event {
        match self {
            Self::Json => Event::from_json(record).expect("an event"),
            Self::Protobuf => decode_binary(record).expect("an event"),
        }
    }
}

impl Door {
    async fn http(master: &TestMaster, form: Form, subscribe: &Call) -> Self {
        let mut connection = Connection::open(master.at).await;
        connection.send(&form.head(), &form.body(subscribe)).await;
        let head = connection.head().await;
        let stream = head.header("mesos-stream-id").expect("a stream").to_owned();
        Self::Http { form, stream, connection, decoder: recordio::Decoder::new(1 << 20) }
    }

    async fn grpc(master: &TestMaster, subscribe: &Call) -> Self {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", master.at));
        let channel = endpoint.expect("an address").connect().await.expect("the master listens");
        let (calls, queue) = mpsc::channel(16);
        calls.send(subscribe.clone()).await.expect("room");
        let events = SchedulerServiceClient::new(channel).connect(ReceiverStream::new(queue)).await;
        Self::Grpc { calls, events: events.expect("subscribed").into_inner() }
    }

    async fn send(&mut self, master: &TestMaster, call: &Call) {
        match self {
            Self::Http { form, stream, .. } => {
                let head = format!("{}\nMesos-Stream-Id: {stream}", form.head());
                let answer = ask(master.at, &head, &form.body(call)).await;
                assert_eq!(answer.status, 202, "{}", answer.text());
            }
            Self::Grpc { calls, .. } => calls.send(call.clone()).await.expect("the stream stands"),
        }
    }

    async fn next(&mut self) -> Event {
        match self {
            Self::Http { form, connection, decoder, .. } => loop {
                if let Some(record) = decoder.next_record().expect("records") {
                    return form.event(&record);
                }
                decoder.push(&connection.chunk().await.expect("the stream stands"));
            },
            Self::Grpc { events, .. } => events.message().await.expect("a stream").expect("it stands"),
        }
    }

    async fn until(&mut self, kind: event::Type) -> Event {
        let wait = async {
            loop {
                let event = self.next().await;
                if event.r#type() == kind {
                    return event;
                }
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("no {kind:?}"))
    }

    async fn outcome(&mut self) -> v1::OperationStatus {
        let event = self.until(event::Type::UpdateOperationStatus).await;
        event.update_operation_status.and_then(|update| update.status).expect("a status")
    }
}

fn call(body: Value) -> Call {
    Call::from_json(body.to_string().as_bytes()).expect("a call")
}

/// Reserves, makes a volume and hears of both; acknowledges one, and asks for both.
async fn follow(master: &TestMaster, door: &mut Door, form: &str) {
    let subscribed = door.until(event::Type::Subscribed).await.subscribed.expect("subscribed");
    let framework = json!({"value": subscribed.framework_id.and_then(|id| id.value).expect("an id")});
    let offers = door.until(event::Type::Offers).await.offers.expect("offers").offers;
    let id = |value: Option<String>| json!({ "value": value.expect("an id") });
    let agent = id(offers[0].agent_id.clone().and_then(|id| id.value));
    let offer = id(offers[0].id.clone().and_then(|id| id.value));
    let mut disk = json!({"name": "disk", "type": "SCALAR", "scalar": {"value": 10},
        "reservations": [{"type": "DYNAMIC", "role": "db"}]});
    let reserve = json!({"type": "RESERVE", "id": {"value": "r"}, "reserve": {"resources": [disk]}});
    disk["disk"] = json!({"persistence": {"id": form}, "volume": {"container_path": "data", "mode": "RW"}});
    let create = json!({"type": "CREATE", "id": {"value": "c"}, "create": {"volumes": [disk]}});
    let accept = json!({"offer_ids": [offer], "operations": [reserve, create]});
    door.send(master, &call(json!({"framework_id": framework, "type": "ACCEPT", "accept": accept}))).await;
    for name in ["r", "c"] {
        let status = door.outcome().await;
        assert_eq!(status.state(), v1::OperationState::OperationFinished, "{form}: {status:?}");
        let operation = status.operation_id.and_then(|id| id.value);
        assert_eq!(operation.as_deref(), Some(name), "{form}: in their order");
        assert_eq!(status.converted_resources.len(), 1, "{form}");
        if name == "c" {
            let mut acknowledge =
                call(json!({"framework_id": framework, "type": "ACKNOWLEDGE_OPERATION_STATUS",
                "acknowledge_operation_status": {"agent_id": agent, "uuid": "AAAAAAAAAAAAAAAAAAAAAA==",
                    "operation_id": {"value": "c"}}}));
            let said = acknowledge.acknowledge_operation_status.as_mut().expect("it is there");
            said.uuid = status.uuid.and_then(|uuid| uuid.value);
            door.send(master, &acknowledge).await;
        }
    }
    let shown = post_json(master.at, "/api/v1", r#"{"type":"GET_OPERATIONS"}"#).await.json();
    let open = shown["get_operations"]["operations"].as_array().expect("a list").clone();
    assert!(!open.is_empty(), "{form}: one is not acknowledged: {shown}");
    assert_eq!(open[0]["framework_id"], framework, "{shown}");
    assert_eq!(open[0]["info"]["type"], "RESERVE", "{shown}");
    assert_eq!(open[0]["latest_status"]["state"], "OPERATION_FINISHED", "{shown}");
    let asked =
        json!([{"operation_id": {"value": "c"}, "agent_id": agent}, {"operation_id": {"value": "r"}}]);
    let reconcile = json!({"framework_id": framework, "type": "RECONCILE_OPERATIONS",
        "reconcile_operations": {"operations": asked}});
    door.send(master, &call(reconcile)).await;
    let states = [door.outcome().await, door.outcome().await];
    assert!(states.iter().all(|status| status.uuid.is_none()), "{form}: {states:?}");
    assert_eq!(
        states.map(|status| status.state()),
        [v1::OperationState::OperationUnknown, v1::OperationState::OperationFinished],
        "{form}"
    );
    let teardown = json!({"framework_id": framework, "type": "TEARDOWN"});
    door.send(master, &call(teardown)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_followed_through_every_door() {
    let master = TestMaster::start().await;
    let agent = ScriptedAgent::connect(master.at).await;
    let info = json!({"user": "root", "name": "stateful", "roles": ["db"],
        "capabilities": [{"type": "MULTI_ROLE"}, {"type": "RESERVATION_REFINEMENT"}]});
    let subscribe = call(json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}));
    let mut json = Door::http(&master, Form::Json, &subscribe).await;
    follow(&master, &mut json, "json").await;
    let mut protobuf = Door::http(&master, Form::Protobuf, &subscribe).await;
    follow(&master, &mut protobuf, "protobuf").await;
    let mut grpc = Door::grpc(&master, &subscribe).await;
    follow(&master, &mut grpc, "grpc").await;
    agent.disconnect();
    master.end().await;
}
