//! Offer constraints: what a framework said shows wherever it is looked at, and why it is offered nothing.

use serde_json::json;

use crate::support::TestMaster;
use crate::support::agent::ScriptedAgent;
use crate::support::http::{get, post_json};
use crate::support::stream::{Subscription, subscribe_body};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_shows_and_holds() {
    let master = TestMaster::start().await;
    let agent = ScriptedAgent::connect(master.at).await;
    let rule = json!({"selector": {"pseudoattribute_type": "HOSTNAME"},
        "predicate": {"text_not_matches": {"regex": "127[.].*"}}});
    let constraints = json!({"role_constraints": {"*": {"groups": [{"attribute_constraints": [rule]}]}}});
    let mut call: serde_json::Value = serde_json::from_str(&subscribe_body("choosy", None)).expect("JSON");
    call["subscribe"]["offer_constraints"] = constraints.clone();
    let mut events = Subscription::open(master.at, &call.to_string()).await;
    let subscribed = events.wait_for("SUBSCRIBED", &mut Vec::new()).await;
    let id = subscribed["subscribed"]["framework_id"]["value"].as_str().expect("an id").to_owned();

    for path in ["/frameworks", "/state"] {
        let shown = get(master.at, path).await.json()["frameworks"][0].clone();
        assert_eq!(
            (&shown["id"], &shown["offer_constraints"]),
            (&json!(id), &constraints),
            "{path}: {shown}"
        );
    }
    let shown = post_json(master.at, "/api/v1", r#"{"type":"GET_FRAMEWORKS"}"#).await.json();
    assert_eq!(shown["get_frameworks"]["frameworks"][0]["offer_constraints"], constraints, "{shown}");
    let path = format!("/allocator/explain?framework={id}&agent={}", agent.id);
    let why = get(master.at, &path).await.json();
    assert_eq!(why["decisions"][0]["reason"], "constrained", "{why}");
    agent.disconnect();
    master.end().await;
}
