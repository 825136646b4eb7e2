//! `/v2/events`: what happens, as it happens.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chapada_listener::{Call, stream as answer_stream};
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Api;
use super::answer::{Answer, error};
use crate::figures::Count;
use crate::hub::{Subscription, Wants};

/// How often a silent stream shows that it is alive.
///
/// Source: Marathon sends an empty line every 10 s.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// To who named the last event that it has seen: whether it gets all that happened since.
const RESUMED: HeaderName = HeaderName::from_static("x-chapada-events-resumed");

pub(crate) async fn stream(api: Arc<Api>, call: Call) -> Answer {
    let accept = call.header("accept").unwrap_or("*/*");
    if !accept.contains("text/event-stream") && !accept.contains("*/*") {
        return Err(error(StatusCode::METHOD_NOT_ALLOWED, "the Accept header must name text/event-stream"));
    }
    let query = call.query();
    let types: BTreeSet<String> = query.all("event_type").map(str::to_owned).collect();
    let light = query.get("plan-format") == Some("light");
    let wants = Wants { types, light, caller: call.caller() };
    let subscription = api.hub.subscribe(wants, call.header("last-event-id"));
    let subscription = subscription.map_err(|why| error(StatusCode::SERVICE_UNAVAILABLE, why))?;
    let resumed = subscription.resumed;
    let reader = Reader { api: api.clone(), address: call.peer.remote.ip().to_string() };
    api.hub.announce("event_stream_attached", json!({"remoteAddress": reader.address}));
    let frames = Frames { subscription, stop: call.stop.clone(), reader };
    let mut response = answer_stream(StatusCode::OK, "text/event-stream", frames.into_stream());
    if let Some(resumed) = resumed {
        response
            .headers_mut()
            .insert(RESUMED, HeaderValue::from_static(if resumed { "true" } else { "false" }));
    }
    Ok(response)
}

/// Tells the others when it is gone.
struct Reader {
    api: Arc<Api>,
    address: String,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.api.hub.announce("event_stream_detached", json!({"remoteAddress": self.address}));
    }
}

struct Frames {
    subscription: Subscription,
    stop: CancellationToken,
    reader: Reader,
}

impl Frames {
    fn into_stream(self) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> + Send + Sync {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(self.forward(sender));
        tokio_stream::wrappers::ReceiverStream::new(receiver)
    }

    /// Ends when the client leaves, when it was too slow, or with the process.
    async fn forward(self, client: mpsc::Sender<Result<Bytes, Infallible>>) {
        let Self { subscription: Subscription { mut missed, mut events, .. }, stop, reader } = self;
        loop {
            let frame = match missed.next() {
                Some(frame) => frame,
                None => tokio::select! {
                    () = stop.cancelled() => return,
                    () = client.closed() => return,
                    event = events.next() => match event {
                        Some(event) => event,
                        None => return,
                    },
                    () = tokio::time::sleep(KEEP_ALIVE) => Bytes::from_static(b"\r\n"),
                },
            };
            reader.api.figures.add(Count::StreamBytes, frame.len() as u64);
            if client.send(Ok(frame)).await.is_err() {
                return;
            }
        }
    }
}
