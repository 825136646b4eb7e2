//! gzip for who asks for it. Never for what has no end.

use std::io::Write;

use bytes::Bytes;
use chapada_listener::HttpResponse;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue, VARY};
use http_body_util::BodyExt;

/// Smaller bodies gain nothing.
const LEAST: u64 = 1_024;
/// Larger ones are pressed on a thread of their own.
const AT_ONCE: usize = 64 * 1024;

/// Presses the body if the request accepts that and the whole body is there.
pub(super) async fn apply(asked: &HeaderMap, response: HttpResponse) -> HttpResponse {
    let size = http_body::Body::size_hint(response.body()).exact();
    let is_whole = size.is_some_and(|size| size >= LEAST);
    if !is_whole || response.headers().contains_key(CONTENT_ENCODING) || !accepts_gzip(asked) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(whole) = body.collect().await.map(|body| body.to_bytes()) else {
        return chapada_listener::empty(http::StatusCode::INTERNAL_SERVER_ERROR);
    };
    let pressed = match whole.len() {
        ..=AT_ONCE => press(&whole),
        _ => {
            let whole = whole.clone();
            tokio::task::spawn_blocking(move || press(&whole)).await.ok().flatten()
        }
    };
    let body = match pressed {
        None => whole,
        Some(pressed) => {
            parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            parts.headers.remove(CONTENT_LENGTH);
            pressed
        }
    };
    parts.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    HttpResponse::from_parts(parts, body.into())
}

fn press(whole: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(whole).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

fn accepts_gzip(asked: &HeaderMap) -> bool {
    let accepted = asked.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0));
        matches!(name.trim().to_ascii_lowercase().as_str(), "gzip" | "x-gzip" | "*") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_accepts_it_gets_it() {
        for (value, accepted) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("*", true),
            ("gzip;q=0", false),
            ("br", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(accepts_gzip(&headers), accepted, "{value}");
        }
    }
}
