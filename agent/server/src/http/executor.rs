//! `POST /api/v1/executor`: where executors of frameworks' own speak to the agent. The order of checks is Mesos' own,
//! because clients tell errors apart by it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chapada_agent_core::{Event, ExecutorRefused};
use chapada_listener::{Call, HttpResponse, empty, form_accepted, form_of_body, stream, text};
use chapada_model::ExecutorKey;
use chapada_wire::Media;
use chapada_wire::v1::executor as wire;
use http::header::{ALLOW, AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::Api;
use crate::executors::{Answer, Asked, ExecutorCall, NotTaken, Opened, heartbeat, parse};
use crate::shell::Input;

/// How often an executor hears that its stream is alive. Source: Mesos.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(30 * 60);
/// Encoded events between the pump and the connection: enough to keep the socket busy, little enough to hold.
const BODY_QUEUE: usize = 16;
/// How long an executor may leave its socket unread with an event waiting before it counts as gone.
const SEND_LIMIT: Duration = Duration::from_secs(30);

/// Answers a call of an executor.
pub(super) async fn handle(api: Arc<Api>, call: Call) -> HttpResponse {
    match answer(&api, &call).await {
        Ok(response) => response,
        Err(refusal) => *refusal,
    }
}

async fn answer(api: &Api, call: &Call) -> Result<HttpResponse, Box<HttpResponse>> {
    if call.method != Method::POST {
        return Err(Box::new(wrong_method(&call.method)));
    }
    let media = form_of_body(call, &Media::KNOWN).map_err(Box::new)?;
    let body = call.read_body().await.map_err(|error| Box::new(error.into_response()))?;
    let invalid = |why: String| Box::new(text(StatusCode::BAD_REQUEST, why));
    let message: wire::Call = media.decode(&body, "Call").map_err(|error| invalid(error.to_string()))?;
    let parsed = parse(message).map_err(|error| invalid(error.to_string()))?;
    let accepted = match parsed.asked {
        Asked::Subscribe { .. } => Some(form_accepted(call, &Media::KNOWN).map_err(Box::new)?),
        Asked::Update(_) | Asked::Message(_) | Asked::Heartbeat => None,
    };
    let (reply, verdict) = oneshot::channel();
    let executor = parsed.executor.clone();
    let asked = ExecutorCall { executor: parsed.executor, token: token(call), asked: parsed.asked, reply };
    let stopping = || Box::new(text(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping"));
    api.inputs.send(Input::Executor(Box::new(asked))).await.map_err(|_| stopping())?;
    match (verdict.await.map_err(|_| stopping())?, accepted) {
        (Ok(Answer::Subscribed(opened)), Some(media)) => Ok(subscribed(api, call, executor, opened, media)),
        (Ok(_), _) => Ok(empty(StatusCode::ACCEPTED)),
        (Err(why), _) => Err(Box::new(refusal(why))),
    }
}

/// The token that the call carries.
pub(super) fn token(call: &Call) -> Option<String> {
    let value = call.header(AUTHORIZATION.as_str())?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    Some(if scheme.eq_ignore_ascii_case("bearer") { token.trim().to_owned() } else { String::new() })
}

fn refusal(why: NotTaken) -> HttpResponse {
    let status = match why {
        NotTaken::Unauthenticated => StatusCode::UNAUTHORIZED,
        NotTaken::Refused(ExecutorRefused::NotSubscribed) => StatusCode::FORBIDDEN,
        NotTaken::Refused(ExecutorRefused::UnknownFramework | ExecutorRefused::UnknownExecutor) => {
            StatusCode::BAD_REQUEST
        }
    };
    let mut response = text(status, why.to_string());
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn subscribed(api: &Api, call: &Call, executor: ExecutorKey, opened: Opened, media: Media) -> HttpResponse {
    let (body, records) = mpsc::channel(BODY_QUEUE);
    let pump = Pump { executor, opened, media, body, inputs: api.inputs.clone(), stop: call.stop.clone() };
    api.tasks.spawn(pump.run());
    let records = ReceiverStream::new(records).map(Ok::<_, std::io::Error>);
    stream(StatusCode::OK, media.content_type(), records)
}

/// Carries events from the loop to the connection.
struct Pump {
    executor: ExecutorKey,
    opened: Opened,
    media: Media,
    body: mpsc::Sender<Bytes>,
    inputs: mpsc::Sender<Input>,
    stop: CancellationToken,
}

impl Pump {
    async fn run(mut self) {
        let why = self.pump().await;
        let (framework_id, executor_id) = (&self.executor.framework, &self.executor.executor);
        tracing::info!(%framework_id, %executor_id, why, "the stream of an executor ended");
        let closed = Event::ExecutorClosed { executor: self.executor, stream: self.opened.stream };
        if self.inputs.send(Input::Event(closed)).await.is_err() {
            tracing::debug!("the agent has stopped");
        }
    }

    async fn pump(&mut self) -> &'static str {
        let mut beat = interval_at(Instant::now() + HEARTBEAT_INTERVAL, HEARTBEAT_INTERVAL);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                biased; // what ends the stream before what would be sent on it
                () = self.stop.cancelled() => return "the agent stops",
                () = self.body.closed() => return "the executor closed it",
                event = self.opened.events.recv() => match event {
                    Some(event) => event,
                    None => return "the agent closed it",
                },
                _ = beat.tick() => heartbeat(),
            };
            let record = self.media.record(&event);
            if self.body.send_timeout(record, SEND_LIMIT).await.is_err() {
                return "the executor stopped reading";
            }
        }
    }
}

pub(super) fn wrong_method(method: &Method) -> HttpResponse {
    let message = format!("405 Method Not Allowed. Expecting one of {{ 'POST' }}, but received '{method}'.");
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, message);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}
