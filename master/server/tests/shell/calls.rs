//! Every call of a scheduler through every door: HTTP in JSON and in protobuf, and gRPC. Taken or refused, it is the same, and
//! refused in the same words.

use chapada_wire::v1::scheduler::call::Type;
use chapada_wire::v1::scheduler::scheduler_service_client::SchedulerServiceClient;
use chapada_wire::v1::scheduler::{Call, CallAccepted};
use chapada_wire::{Json, Media};
use serde_json::{Value, json};
use tonic::Code;

use crate::support::http::ask;
use crate::support::stream::{Subscription, subscribe_body};
use crate::support::{TestMaster, stream};

/// Each kind of call but SUBSCRIBE and TEARDOWN, with a body that is taken.
fn bodies(info: &Value) -> Vec<(Type, &'static str, Value)> {
    let (id, uuid) = (|id: &str| json!({ "value": id }), "AAAAAAAAAAAAAAAAAAAAAA==");
    let filters = json!({"refuse_seconds": 1.0});
    vec![
        (Type::Accept, "accept", json!({"offer_ids": [id("o")], "operations": [], "filters": filters})),
        (Type::Decline, "decline", json!({"offer_ids": [id("o")], "filters": filters})),
        (Type::AcceptInverseOffers, "accept_inverse_offers", json!({"inverse_offer_ids": [id("i")]})),
        (Type::DeclineInverseOffers, "decline_inverse_offers", json!({"inverse_offer_ids": [id("i")]})),
        (Type::Revive, "revive", json!({"roles": ["*"]})),
        (Type::Suppress, "suppress", json!({"roles": ["*"]})),
        (
            Type::Kill,
            "kill",
            json!({"task_id": id("t"), "kill_policy": {"grace_period": {"nanoseconds": 1}}}),
        ),
        (Type::Shutdown, "shutdown", json!({"executor_id": id("e"), "agent_id": id("a")})),
        (Type::Acknowledge, "acknowledge", json!({"agent_id": id("a"), "task_id": id("t"), "uuid": uuid})),
        (
            Type::AcknowledgeOperationStatus,
            "acknowledge_operation_status",
            json!({"agent_id": id("a"), "uuid": uuid, "operation_id": id("r")}),
        ),
        (Type::Reconcile, "reconcile", json!({"tasks": [{"task_id": id("t")}]})),
        (
            Type::ReconcileOperations,
            "reconcile_operations",
            json!({"operations": [{"operation_id": id("r")}]}),
        ),
        (Type::Message, "message", json!({"agent_id": id("a"), "executor_id": id("e"), "data": "AA=="})),
        (Type::Request, "request", json!({"requests": [{"resources": []}]})),
        (Type::UpdateFramework, "update_framework", json!({ "framework_info": info })),
    ]
}

/// What came of a call: taken, or why not.
type Verdict = Result<(), String>;

/// A subscribed framework that calls through all doors.
struct Framework<'a> {
    master: &'a TestMaster,
    id: Value,
    stream: String,
    _events: Subscription,
}

impl<'a> Framework<'a> {
    async fn subscribe(master: &'a TestMaster) -> Self {
        let mut events = Subscription::open(master.at, &subscribe_body("caller", None)).await;
        let subscribed = events.wait_for("SUBSCRIBED", &mut Vec::new()).await;
        let id = subscribed["subscribed"]["framework_id"].clone();
        Self { master, id, stream: events.id(), _events: events }
    }

    async fn over_http(&self, media: Media, call: &Call, success: u16) -> Verdict {
        let head = format!(
            "POST /api/v1/scheduler HTTP/1.1\nContent-Type: {}\nMesos-Stream-Id: {}",
            media.content_type(),
            self.stream
        );
        let answer = ask(self.master.at, &head, &media.encode(call)).await;
        match answer.status {
            status if status == success => Ok(()),
            400 => Err(answer.text()),
            status => panic!("{media:?}: {status} to {call:?}: {}", answer.text()),
        }
    }

    async fn over_grpc(&self, call: &Call) -> Verdict {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", self.master.at));
        let channel = endpoint.expect("an address").connect().await.expect("the master listens");
        let mut request = tonic::Request::new(call.clone());
        request.metadata_mut().insert("mesos-stream-id", self.stream.parse().expect("a UUID"));
        match SchedulerServiceClient::new(channel).send(request).await {
            Ok(response) => {
                assert_eq!(response.into_inner(), CallAccepted {});
                Ok(())
            }
            Err(status) => {
                assert_eq!(status.code(), Code::InvalidArgument, "{call:?}");
                Err(status.message().to_owned())
            }
        }
    }

    /// What all doors say of a call.
    async fn call(&self, call: &Value) -> Verdict {
        let call = Call::from_json(call.to_string().as_bytes()).expect("a call");
        let success = if call.r#type() == Type::UpdateFramework { 200 } else { 202 };
        let verdict = self.over_http(Media::Json, &call, success).await;
        assert_eq!(self.over_http(Media::Protobuf, &call, success).await, verdict, "{call:?}");
        assert_eq!(self.over_grpc(&call).await, verdict, "{call:?}");
        verdict
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_the_same_through_every_door() {
    let master = TestMaster::start().await;
    let framework = Framework::subscribe(&master).await;
    let id = &framework.id;
    let said: Value = serde_json::from_str(&subscribe_body("caller", None)).expect("JSON");
    let mut info = said["subscribe"]["framework_info"].clone();
    info["id"] = id.clone();
    let bodies = bodies(&info);
    for (kind, field, body) in &bodies {
        let name = kind.as_str_name();
        let call = json!({"framework_id": id, "type": name, *field: body});
        assert_eq!(framework.call(&call).await, Ok(()), "{name}");
        // Without its body it is none; two kinds then mean all roles.
        let bare = framework.call(&json!({"framework_id": id, "type": name})).await;
        match kind {
            Type::Revive | Type::Suppress => assert_eq!(bare, Ok(()), "{name}"),
            _ => assert_eq!(
                bare,
                Err(format!("Failed to validate scheduler::Call: Expecting '{field}' to be present"))
            ),
        }
        let nobody = framework.call(&json!({"type": name, *field: body})).await;
        assert!(nobody.is_err_and(|why| why.contains("Expecting 'framework_id' to be present")), "{name}");
    }
    let teardown = json!({"type": "TEARDOWN"});
    assert!(framework.call(&teardown).await.is_err_and(|why| why.contains("framework_id")));
    // The kinds that there are, but for SUBSCRIBE, which opens a stream, and TEARDOWN, which ends the framework.
    let all = (1..=17).filter_map(|number| Type::try_from(number).ok());
    let rest: Vec<Type> = all.filter(|kind| bodies.iter().all(|(known, ..)| known != kind)).collect();
    assert_eq!(rest, [Type::Subscribe, Type::Teardown]);
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_framework_is_torn_down_through_every_door() {
    let master = TestMaster::start().await;
    for door in 0..3 {
        let framework = Framework::subscribe(&master).await;
        let teardown = json!({"framework_id": framework.id, "type": "TEARDOWN"});
        let call = Call::from_json(teardown.to_string().as_bytes()).expect("a call");
        let verdict = match door {
            0 => framework.over_http(Media::Json, &call, 202).await,
            1 => framework.over_http(Media::Protobuf, &call, 202).await,
            _ => framework.over_grpc(&call).await,
        };
        assert_eq!(verdict, Ok(()), "door {door}");
        let again = stream::call(master.at, &framework.stream, &teardown.to_string()).await;
        assert_ne!(again.status, 202, "door {door}: it is gone");
    }
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_names_no_stream() {
    let master = TestMaster::start().await;
    let answer = stream::call(master.at, "some-stream", &subscribe_body("early", None)).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(answer.text(), "Subscribe calls should not include the 'Mesos-Stream-Id' header");
    master.end().await;
}
