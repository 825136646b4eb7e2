//! A scheduler's subscription over HTTP in JSON.

use std::net::SocketAddr;

use serde_json::Value;

use super::DEADLINE;
use super::http::{Answer, Connection, ask};

/// An open stream of events.
pub(crate) struct Subscription {
    pub(crate) head: Answer,
    connection: Connection,
}

impl Subscription {
    /// Sends a SUBSCRIBE body and reads the head of the answer.
    pub(crate) async fn open(at: SocketAddr, body: &str) -> Self {
        let mut connection = Connection::open(at).await;
        let head = "POST /api/v1/scheduler HTTP/1.1\nContent-Type: application/json\nAccept: application/json\n\
                    Connection: close";
        connection.send(head, body.as_bytes()).await;
        let head = tokio::time::timeout(DEADLINE, connection.head()).await.expect("an answer in time");
        Self { head, connection }
    }

    pub(crate) fn id(&self) -> String {
        self.head.header("mesos-stream-id").expect("a stream id").to_owned()
    }

    /// The next event; each record must be one chunk. `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let chunk = self.connection.chunk().await?;
        let text = String::from_utf8(chunk).expect("text");
        let (length, record) = text.split_once('\n').expect("a length line");
        assert_eq!(length.parse(), Ok(record.len()), "one record, one chunk: {text}");
        assert!(record.is_ascii() && !record.contains('\n'), "one line of ASCII: {record}");
        Some(serde_json::from_str(record).expect("JSON"))
    }

    /// The next event of a type; others are passed over and kept in `seen`.
    pub(crate) async fn wait_for(&mut self, kind: &str, seen: &mut Vec<Value>) -> Value {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let event = tokio::time::timeout_at(deadline, self.next()).await;
            let event = event.unwrap_or_else(|_| panic!("no {kind}, but {seen:?}"));
            let event = event.unwrap_or_else(|| panic!("the stream ended before {kind}; seen {seen:?}"));
            seen.push(event.clone());
            if event["type"] == kind {
                return event;
            }
        }
    }
}

/// Makes a call on a stream.
pub(crate) async fn call(at: SocketAddr, stream: &str, body: &str) -> Answer {
    let head = format!(
        "POST /api/v1/scheduler HTTP/1.1\nContent-Type: application/json\nAccept: application/json\n\
         Mesos-Stream-Id: {stream}"
    );
    ask(at, &head, body.as_bytes()).await
}

/// A SUBSCRIBE of a new framework.
pub(crate) fn subscribe_body(name: &str, webui_url: Option<&str>) -> String {
    let mut info = serde_json::json!({"user": "root", "name": name, "roles": ["*"],
        "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}]});
    if let Some(url) = webui_url {
        info["webui_url"] = url.into();
    }
    serde_json::json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}).to_string()
}
