//! One call and its answer, on a connection of its own that the agent has dialled. It ends with the caller's connection, with the
//! agent's, and with the leadership; whatever ends, all of it does.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use chapada_listener::{Call, HttpResponse, RequestBody, Share, Shares, Tunnel, TunnelError, text};
use chapada_model::AgentId;
use futures_util::{StreamExt, stream};
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, HeaderValue, ORIGIN, REFERER,
    SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Request, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::refusal;
use crate::forward;
use crate::shell::Led;

/// Calls under way to one agent: half of what an agent takes. A person in a container takes three at a time.
const PER_AGENT: usize = 128;
/// Calls under way for one address: a machine from which an operator works on many containers.
const PER_PEER: usize = 256;
/// How long somebody who writes to a container may say nothing. Clients beat every 30 s.
const INPUT_PAUSE: Duration = Duration::from_secs(600);
/// What is not passed on: the caller's secrets, and what is said afresh on the connection to the agent.
const OWN: [HeaderName; 7] = [COOKIE, AUTHORIZATION, HOST, ORIGIN, REFERER, CONTENT_LENGTH, EXPECT];

type Body = UnsyncBoxBody<Bytes, Broken>;

/// The caller's body did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Broken(String);

/// How many calls are under way, of a leadership.
#[derive(Debug)]
pub(crate) struct Exchanges {
    agents: Shares<AgentId>,
    peers: Shares<IpAddr>,
}

impl Default for Exchanges {
    fn default() -> Self {
        Self { agents: Shares::new(PER_AGENT), peers: Shares::new(PER_PEER) }
    }
}

/// Ends the call when it is dropped, and makes room for another.
struct Exchange {
    _of_agent: Share<AgentId>,
    _of_peer: Share<IpAddr>,
    _ends: DropGuard,
}

/// Has the agent carry out the call; `body` is all of it, or nothing when it is a stream.
pub(super) async fn carry_out(
    led: &Led,
    stop: CancellationToken,
    agent: &AgentId,
    call: Call,
    body: Option<Bytes>,
) -> Result<HttpResponse, HttpResponse> {
    let busy = |message: String| text(StatusCode::SERVICE_UNAVAILABLE, message);
    let of_agent = led.exchanges.agents.take(agent.clone());
    let of_agent = of_agent
        .ok_or_else(|| busy(format!("{PER_AGENT} calls to agent {agent} are under way; end one of them")))?;
    let of_peer = led.exchanges.peers.take(call.peer.remote.ip().to_canonical());
    let of_peer =
        of_peer.ok_or_else(|| busy(format!("{PER_PEER} calls from here are under way; end one of them")))?;
    let (tunnel, carrying) = led.relays.connect(agent).await.map_err(|error| refusal(&error))?;
    let end = CancellationToken::new();
    tokio::spawn(carry(carrying, agent.clone(), [led.ended.clone(), stop, end.clone()]));
    let exchange = Exchange { _ends: end.clone().drop_guard(), _of_agent: of_agent, _of_peer: of_peer };
    let response = send(tunnel, end, request(call, body)?).await.map_err(|error| {
        text(
            StatusCode::BAD_GATEWAY,
            format!("the connection to agent {agent} broke before it answered: {error}"),
        )
    })?;
    Ok(answer(response, exchange))
}

/// Moves the bytes until one of these ends it.
async fn carry(
    carrying: impl Future<Output = Result<(), TunnelError>>,
    agent: AgentId,
    [ended, stop, end]: [CancellationToken; 3],
) {
    tokio::select! {
        carried = carrying => if let Err(error) = carried {
            tracing::debug!(agent_id = %agent, %error, "a connection to an agent's API ended early");
        },
        () = ended.cancelled() => {}
        () = stop.cancelled() => {}
        () = end.cancelled() => {}
    }
}

#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
fn request(call: Call, body: Option<Bytes>) -> Result<Request<Body>, HttpResponse> {
    let mut request = Request::post("/api/v1");
    if let Some(headers) = request.headers_mut() {
        *headers = forward::passed_on(&call.headers, &OWN);
        headers.insert(HOST, HeaderValue::from_static("localhost"));
    }
    let body = match body {
        Some(whole) => Full::new(whole).map_err(|never| match never {}).boxed_unsync(),
        None => as_it_comes(call.body),
    };
    request.body(body).map_err(|error| text(StatusCode::BAD_REQUEST, error.to_string()))
}

fn as_it_comes(body: RequestBody) -> Body {
    let pieces = stream::unfold(body, |body| async {
        let piece = match timeout(INPUT_PAUSE, body.chunk_whenever()).await {
            Ok(Ok(None)) => return None,
            Ok(Ok(Some(piece))) => Ok(Frame::data(piece)),
            Ok(Err(error)) => Err(Broken(error.to_string())),
            Err(_) => Err(Broken(format!("nothing came for {} s", INPUT_PAUSE.as_secs()))),
        };
        Some((piece, body))
    });
    StreamBody::new(pieces).boxed_unsync()
}

async fn send(
    tunnel: Tunnel,
    end: CancellationToken,
    request: Request<Body>,
) -> hyper::Result<http::Response<hyper::body::Incoming>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(tunnel)).await?;
    // How it ends is heard by whoever reads the answer.
    tokio::spawn(async move { end.run_until_cancelled(connection).await });
    sender.send_request(request).await
}

fn answer(response: http::Response<hyper::body::Incoming>, exchange: Exchange) -> HttpResponse {
    let (parts, body) = response.into_parts();
    let pieces =
        stream::unfold((Box::pin(forward::pieces(body)), exchange), |(mut pieces, exchange)| async {
            let piece = pieces.next().await?;
            Some((piece, (pieces, exchange)))
        });
    let mut response = forward::answer(parts.status, pieces);
    *response.headers_mut() = forward::passed_on(&parts.headers, &[SET_COOKIE]);
    // What a task wrote must never run as a page of ours.
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
