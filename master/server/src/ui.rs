//! The web UI: every path that is nobody else's.

use bytes::Bytes;
use chapada_listener::{Call, HttpResponse, bytes, empty, text};
use chapada_webui::{Asset, CONTENT_SECURITY_POLICY, asset, index};
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY as POLICY, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

const HEADERS: [(HeaderName, &str); 4] = [
    (POLICY, CONTENT_SECURITY_POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "same-origin"),
];

/// Answers with a file of the UI. A path below none of the APIs that a browser asks for as a page is the UI's own.
pub(crate) async fn handle(call: Call) -> HttpResponse {
    match asset(&call.path) {
        Some(found) => send(&call, found),
        None if wants_page(&call) => send(&call, index()),
        None => text(StatusCode::NOT_FOUND, "404 Not Found."),
    }
}

fn wants_page(call: &Call) -> bool {
    let is_page = call.header("accept").is_some_and(|accept| accept.contains("text/html"));
    is_page
        && !["/assets/", "/api/", "/query/", "/master/"].iter().any(|prefix| call.path.starts_with(prefix))
}

fn send(call: &Call, file: Asset) -> HttpResponse {
    let known = call.header(IF_NONE_MATCH.as_str()).is_some_and(|tags| tags.contains(file.etag));
    let mut response = match known {
        true => empty(StatusCode::NOT_MODIFIED),
        false => bytes(StatusCode::OK, file.content_type, whole(file.bytes)),
    };
    let cache = if file.immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(ETAG, HeaderValue::from_static(file.etag));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn whole(bytes: std::borrow::Cow<'static, [u8]>) -> Bytes {
    match bytes {
        std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        std::borrow::Cow::Owned(bytes) => bytes.into(),
    }
}
