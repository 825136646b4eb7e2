//! What goes through a master to somebody else: which headers go on, and the answer as it comes.

use bytes::Bytes;
use chapada_listener::{HttpResponse, stream};
use futures_util::{Stream, StreamExt};
use http::StatusCode;
use http::header::{
    CONNECTION, HeaderMap, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http_body_util::{BodyExt, BodyStream};
use hyper::body::Incoming;

/// What belongs to one connection and is not passed on. Source: RFC 9110, section 7.6.1.
const HOP_BY_HOP: [HeaderName; 7] =
    [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
/// The headers that go on: none that belongs to the connection, or that the connection names as its own.
pub(crate) fn passed_on(headers: &HeaderMap, private: &[HeaderName]) -> HeaderMap {
    let own: Vec<String> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let keep = |name: &HeaderName| {
        !HOP_BY_HOP.contains(name)
            && !private.contains(name)
            && name.as_str() != "keep-alive"
            && !own.iter().any(|own| own == name.as_str())
    };
    headers.iter().filter(|(name, _)| keep(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The bytes of an answer as they come.
pub(crate) fn pieces(body: Incoming) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    BodyStream::new(body.map_err(std::io::Error::other))
        .filter_map(|frame| async move { frame.map(|frame| frame.into_data().ok()).transpose() })
}

/// An answer, piece by piece as it comes, so that an event stream is one. An error breaks it off.
pub(crate) fn answer(
    status: StatusCode,
    pieces: impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static,
) -> HttpResponse {
    stream(status, "application/octet-stream", Synced::new(pieces))
}

/// A stream that may be shared between threads although nobody does: only its owner polls it.
struct Synced<S>(std::sync::Mutex<std::pin::Pin<Box<S>>>);

impl<S> Synced<S> {
    fn new(stream: S) -> Self {
        Self(std::sync::Mutex::new(Box::pin(stream)))
    }
}

impl<S: futures_util::Stream> futures_util::Stream for Synced<S> {
    type Item = S::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        let stream = self.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        stream.as_mut().poll_next(cx)
    }
}
