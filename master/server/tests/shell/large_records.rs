//! What would be too large for the registry is refused, and the leader goes on.

use chapada_wire::link::{from_agent, refused::Reason};
use chapada_wire::v1;
use serde_json::json;

use crate::link::refusal;
use crate::support::agent::{ScriptedAgent, hello, holding_nothing};
use crate::support::stream::{Subscription, subscribe_body};
use crate::support::{TestMaster, stream};

/// So few bytes on the wire, and six times as many in a record.
fn control_characters() -> String {
    "\u{1}".repeat(45_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_framework_of_control_characters_is_refused_and_the_leader_goes_on() {
    let master = TestMaster::start().await;
    let label = json!({"key": "k", "value": control_characters()});
    let info = json!({"user": "root", "name": "f", "roles": ["*"], "labels": {"labels": [label]},
        "capabilities": [{"type": "MULTI_ROLE"}]});
    let body = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}).to_string();
    let mut refused = Subscription::open(master.at, &body).await;
    let error = refused.wait_for("ERROR", &mut Vec::new()).await.to_string();
    assert!(error.contains("at most 262144 fit") && error.contains("shorten"), "{error}");

    let mut taken = Subscription::open(master.at, &subscribe_body("f", None)).await;
    let subscribed = taken.wait_for("SUBSCRIBED", &mut Vec::new()).await;
    let id = &subscribed["subscribed"]["framework_id"];
    let mut info = info.clone();
    info["id"] = id.clone();
    let update =
        json!({"type": "UPDATE_FRAMEWORK", "framework_id": id, "update_framework": {"framework_info": info}});
    let answer = stream::call(master.at, &taken.id(), &update.to_string()).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("at most 262144 fit"), "{}", answer.text());
    ScriptedAgent::connect(master.at).await;
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_control_characters_is_refused_and_the_leader_goes_on() {
    let master = TestMaster::start().await;
    let mut large = hello(1);
    let Some(from_agent::Message::Hello(said)) = &mut large.message else { unreachable!("it is one") };
    said.agent_info.as_mut().expect("set").attributes = vec![v1::Attribute {
        name: Some("rack".to_owned()),
        r#type: Some(v1::value::Type::Text.into()),
        text: Some(v1::value::Text { value: Some(control_characters()) }),
        ..v1::Attribute::default()
    }];
    let refused = refusal(&master, vec![large, holding_nothing()]).await;
    assert_eq!(refused.reason(), Reason::Invalid, "{}", refused.message);
    assert!(refused.message.contains("at most 262144 fit"), "{}", refused.message);
    ScriptedAgent::connect(master.at).await;
    master.end().await;
}
