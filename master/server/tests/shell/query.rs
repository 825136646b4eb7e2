//! The web UI's API: pages, and streams of what changes on them.

use chapada_wire::explain::ExplainRequest;
use chapada_wire::explain::explain_service_client::ExplainServiceClient;
use serde_json::{Value, json};

use crate::support::TestMaster;
use crate::support::agent::ScriptedAgent;
use crate::support::http::{Connection, get};
use crate::support::stream::{Subscription, call, subscribe_body};

/// The next event of an SSE stream; comments are passed over.
async fn event(connection: &mut Connection) -> (String, Value) {
    loop {
        let chunk = String::from_utf8(connection.chunk().await.expect("a chunk")).expect("text");
        let field = |name: &str| chunk.lines().find_map(|line| line.strip_prefix(name));
        if let (Some(event), Some(data)) = (field("event:"), field("data:")) {
            return (event.trim().to_owned(), serde_json::from_str(data).expect("JSON"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_page_follows_the_books() {
    let master = TestMaster::start().await;
    let mut connection = Connection::open(master.at).await;
    connection.send("GET /query/v1/watch?of=agents HTTP/1.1", b"").await;
    let head = connection.head().await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    let (kind, page) = event(&mut connection).await;
    assert_eq!((kind.as_str(), &page["total"]), ("page", &0.into()), "{page}");
    let agent = ScriptedAgent::connect(master.at).await;
    let added = loop {
        let (kind, change) = event(&mut connection).await;
        assert_eq!(kind, "change");
        if change["upsert"][0]["state"] == "active" {
            break change;
        }
    };
    assert_eq!(added["order"][0], agent.id, "{added}");
    assert_eq!(added["upsert"][0]["resources"]["total"]["ports"], "[31000-32000]", "{added}");
    let one = get(master.at, &format!("/query/v1/agents/{}", agent.id)).await.json();
    assert_eq!(one["address"], "127.0.0.1:5051");
    let overview = get(master.at, "/query/v1/overview").await.json();
    assert_eq!(overview["agents"]["active"], 1, "{overview}");
    agent.disconnect();
    drop(connection);
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_allocator_says_why_and_since_when() {
    let master = TestMaster::start().await;
    let agent = ScriptedAgent::connect(master.at).await;
    let mut events = Subscription::open(master.at, &subscribe_body("asked", None)).await;
    let mut seen = Vec::new();
    let id = events.wait_for("SUBSCRIBED", &mut seen).await["subscribed"]["framework_id"].clone();
    let offer = events.wait_for("OFFERS", &mut seen).await["offers"]["offers"][0].clone();
    let framework = id["value"].as_str().expect("an id");
    let path = format!("/allocator/explain?framework={framework}&agent={}", agent.id);
    let decision = || async { get(master.at, &path).await.json()["decisions"][0].clone() };
    let held = decision().await;
    assert_eq!(
        (&held["role"], &held["offered"], &held["reason"]),
        (&"*".into(), &false.into(), &"nothing-free".into())
    );
    let decline = json!({"framework_id": id, "type": "DECLINE", "decline": {
        "offer_ids": [offer["id"]], "filters": {"refuse_seconds": 3600.0}}});
    assert_eq!(call(master.at, &events.id(), &decline.to_string()).await.status, 202);
    let refused = decision().await;
    assert_eq!(refused["reason"], "filtered", "{refused}");
    let since = refused["since"].as_u64().expect("milliseconds");
    assert!(since >= held["since"].as_u64().expect("milliseconds"), "{refused}");
    assert_eq!(refused["until"].as_u64(), Some(since + 3_600_000), "{refused}");
    // What the last plan came to: the one offer that was made, or the agent passed over after the refusal.
    let plan = get(master.at, &path).await.json()["last_plan"].clone();
    assert!(
        plan["at"].as_u64().is_some_and(|at| at >= held["since"].as_u64().expect("milliseconds")),
        "{plan}"
    );
    let passed_over = plan["reasons"]["filtered"].as_u64().unwrap_or_default();
    assert_eq!(plan["offers"].as_u64().map(|offers| offers + passed_over), Some(1), "{plan}");
    // The same over gRPC.
    let endpoint =
        tonic::transport::Endpoint::from_shared(format!("http://{}", master.at)).expect("an address");
    let mut client = ExplainServiceClient::new(endpoint.connect().await.expect("connected"));
    let ask = |framework: &str, agent: &str| ExplainRequest {
        framework_id: framework.to_owned(),
        agent_id: agent.to_owned(),
    };
    let said = client.explain(ask(framework, &agent.id)).await.expect("answered").into_inner();
    let one = &said.decisions[0];
    assert_eq!((one.reason.as_deref(), one.offered, &*one.role), (Some("filtered"), false, "*"));
    // The clock on the wall is read afresh for each answer.
    assert!(one.since.abs_diff(since) <= 2, "{} {since}", one.since);
    assert_eq!(one.until, Some(one.since + 3_600_000));
    let at = said.last_plan.expect("there was a plan").at;
    assert!(plan["at"].as_u64().is_some_and(|before| at >= before), "{at} {plan}");
    let unknown = client.explain(ask("f", "a")).await.expect_err("nobody is called so");
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    let invalid = client.explain(ask("a/b", "a")).await.expect_err("no id");
    assert_eq!(invalid.code(), tonic::Code::InvalidArgument);
    for (path, status) in [
        ("/allocator/explain", 400),
        ("/allocator/explain?framework=f&agent=a/b", 400),
        ("/allocator/explain?framework=f&agent=a", 404),
    ] {
        assert_eq!(get(master.at, path).await.status, status, "{path}");
    }
    agent.disconnect();
    master.end().await;
}
