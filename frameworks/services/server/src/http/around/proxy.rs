//! What a process that waits for its turn is asked, it asks the leader.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chapada_listener::{BodyError, Call, HttpResponse, RequestBody, stream};
use chapada_model::chain;
use chapada_tls::{ByUri, Dialer, Farewell};
use futures_util::{TryStreamExt, stream as streams};
use http::header::{
    CONNECTION, HOST, HeaderName, HeaderValue, ORIGIN, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper_util::client::legacy::{self as client, Client};
use hyper_util::rt::TokioExecutor;
use tokio::sync::Semaphore;

use crate::config::ServicesConfig;
use crate::http::answer::error;

/// Who has relayed a request, as `1.1 host:port` each.
const VIA: HeaderName = HeaderName::from_static("x-marathon-via");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// What concerns one connection only.
const HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// How long the log does not tell the same failure again.
const QUIET: Duration = Duration::from_secs(60);

type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Asks the leader on behalf of clients, so many at once.
pub(crate) struct Proxy {
    own: String,
    client: Client<ByUri, Body>,
    /// What a connection to the leader ended with.
    farewell: Farewell,
    told: Told,
    places: Semaphore,
    within: Duration,
}

impl Proxy {
    /// `own` is the `host:port` of this process.
    pub(crate) fn new(config: &ServicesConfig, dialer: &Dialer, own: &str) -> Self {
        let connector = dialer.by_uri().within(config.leader_proxy_connection_timeout);
        Self {
            own: format!("1.1 {own}"),
            farewell: connector.farewell(),
            told: Told::default(),
            client: Client::builder(TokioExecutor::new()).build(connector),
            places: Semaphore::new(config.leader_proxy_max_open_connections as usize),
            within: config.leader_proxy_read_timeout,
        }
    }

    /// The leader's answer, or 502 when there is none, 504 when it comes too late.
    pub(crate) async fn ask(&self, leader: &str, call: Call) -> HttpResponse {
        if call.headers.get_all(VIA).iter().any(|via| names(via, &self.own)) {
            let why =
                "this process was asked by itself through others: nobody knows who leads; try again later";
            return self.marked(error(StatusCode::BAD_GATEWAY, why));
        }
        let Ok(_place) = self.places.try_acquire() else {
            let why = "too many requests are with the leader already; try again later";
            return self.marked(error(StatusCode::SERVICE_UNAVAILABLE, why));
        };
        let request = match self.request(leader, &call) {
            Ok(request) => request,
            Err(why) => return self.marked(error(StatusCode::BAD_GATEWAY, why)),
        };
        let answer = match tokio::time::timeout(self.within, self.client.request(request)).await {
            Err(_) => error(StatusCode::GATEWAY_TIMEOUT, format!("the leader at {leader} does not answer")),
            Ok(Err(why)) => error(StatusCode::BAD_GATEWAY, self.unreachable(leader, &why)),
            Ok(Ok(answer)) => relayed(answer),
        };
        self.marked(answer)
    }

    /// Says why, to who asked and, now and then, in the log.
    fn unreachable(&self, leader: &str, error: &client::Error) -> String {
        let why = self.farewell.take().unwrap_or_else(|| chain(error));
        let message = format!("the leader at {leader} cannot be reached: {why}");
        match self.told.is_news(&message, Instant::now()) {
            true => tracing::warn!(
                leader,
                why,
                "a request could not be relayed; the same is not told for a minute"
            ),
            false => tracing::debug!(leader, why, "a request could not be relayed"),
        }
        message
    }

    fn request(&self, leader: &str, call: &Call) -> Result<Request<Body>, http::Error> {
        let query = if call.raw_query.is_empty() { "" } else { "?" };
        let uri = format!("{leader}{}{query}{}", call.path, call.raw_query);
        let mut request = Request::builder().method(call.method.clone()).uri(uri);
        let mut headers = end_to_end(&call.headers);
        // The leader is called by its own name; where a page may come from was checked here.
        headers.remove(HOST);
        headers.remove(ORIGIN);
        let client = HeaderValue::from_str(&call.peer.remote.ip().to_string())?;
        headers.append(FORWARDED_FOR, client);
        headers.append(VIA, HeaderValue::from_str(&self.own)?);
        let has_body = call.body.announced().is_some_and(|length| length > 0)
            || call.headers.contains_key(TRANSFER_ENCODING);
        if let Some(all) = request.headers_mut() {
            *all = headers;
        }
        request.body(if has_body { streamed(call.body.clone()) } else { empty() })
    }

    fn marked(&self, mut answer: HttpResponse) -> HttpResponse {
        if let Ok(own) = HeaderValue::from_str(&self.own) {
            answer.headers_mut().append(VIA, own);
        }
        answer
    }
}

/// What the log told last, and when.
#[derive(Default)]
struct Told(Mutex<Option<(String, Instant)>>);

impl Told {
    /// Whether it is to be told: it is another than the last, or that was told long ago.
    fn is_news(&self, what: &str, now: Instant) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = told.as_ref().is_some_and(|(last, at)| last == what && now < *at + QUIET);
        if !is_old {
            *told = Some((what.to_owned(), now));
        }
        !is_old
    }
}

fn names(via: &HeaderValue, own: &str) -> bool {
    via.to_str().is_ok_and(|via| via.split(',').any(|one| one.trim() == own))
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// The body as it comes; its size is for the leader to judge.
fn streamed(body: RequestBody) -> Body {
    let pieces = streams::unfold(body, |body| async move {
        let piece = body.chunk().await.transpose()?;
        Some((piece.map(http_body::Frame::data), body))
    });
    StreamBody::new(pieces).boxed_unsync()
}

fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    for name in named.flat_map(|names| names.split(',')) {
        kept.remove(name.trim());
    }
    for name in HOP_BY_HOP {
        kept.remove(name);
    }
    kept
}

fn relayed<B>(answer: http::Response<B>) -> HttpResponse
where
    B: http_body::Body<Data = Bytes> + Send + Sync + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let (parts, body) = answer.into_parts();
    let pieces = body.into_data_stream().map_err(std::io::Error::other);
    let mut response = stream(parts.status, "application/json", pieces);
    *response.headers_mut() = end_to_end(&parts.headers);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_a_failure_once_a_minute_or_when_it_is_another() {
        let (told, now) = (Told::default(), Instant::now());
        assert!(told.is_news("it is gone", now) && !told.is_news("it is gone", now));
        assert!(told.is_news("it speaks no TLS", now) && !told.is_news("it speaks no TLS", now + QUIET / 2));
        assert!(told.is_news("it speaks no TLS", now + QUIET));
    }
}
