//! `/v2/events`: what happens, as it happens.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chapada_listener::{Call, stream as answer_stream};
use http::StatusCode;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Api;
use super::answer::{Answer, error};
use crate::hub::Wants;

/// How often a silent stream shows that it is alive.
///
/// Source: Marathon sends an empty line every 10 s.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

pub(crate) async fn stream(api: Arc<Api>, call: Call) -> Answer {
    let accept = call.header("accept").unwrap_or("*/*");
    if !accept.contains("text/event-stream") && !accept.contains("*/*") {
        return Err(error(StatusCode::METHOD_NOT_ALLOWED, "the Accept header must name text/event-stream"));
    }
    let query = call.query();
    let types: BTreeSet<String> = query.all("event_type").map(str::to_owned).collect();
    let light = query.get("plan-format") == Some("light");
    let events = api.hub.subscribe(Wants { types, light });
    let events = events.map_err(|why| error(StatusCode::SERVICE_UNAVAILABLE, why))?;
    api.hub.announce("event_stream_attached", json!({"remoteAddress": call.peer.remote.ip().to_string()}));
    let frames = Frames { events, stop: call.stop.clone() };
    Ok(answer_stream(StatusCode::OK, "text/event-stream", frames.into_stream()))
}

struct Frames {
    events: mpsc::Receiver<Bytes>,
    stop: CancellationToken,
}

impl Frames {
    fn into_stream(self) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> + Send + Sync {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(self.forward(sender));
        tokio_stream::wrappers::ReceiverStream::new(receiver)
    }

    /// Ends when the client leaves, when it was too slow, or with the process.
    async fn forward(mut self, client: mpsc::Sender<Result<Bytes, Infallible>>) {
        loop {
            let frame = tokio::select! {
                () = self.stop.cancelled() => return,
                () = client.closed() => return,
                event = self.events.recv() => match event {
                    Some(event) => event,
                    None => return,
                },
                () = tokio::time::sleep(KEEP_ALIVE) => Bytes::from_static(b"\r\n"),
            };
            if client.send(Ok(frame)).await.is_err() {
                return;
            }
        }
    }
}
