//! The web UI's API: pages, and streams of what changes on them.

use serde_json::Value;

use crate::support::TestMaster;
use crate::support::agent::ScriptedAgent;
use crate::support::http::{Connection, get};

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
