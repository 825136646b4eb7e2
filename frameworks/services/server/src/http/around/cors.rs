//! Reading by pages of other origins, where the operator has named them. Changes stay refused by the listener.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, Method};

pub(super) const REQUEST_HEADERS: HeaderName = ACCESS_CONTROL_REQUEST_HEADERS;

/// Adds what a browser wants to see before it hands an answer to a page of another origin.
pub(super) fn apply(origins: &[String], method: &Method, asked: &HeaderMap, answer: &mut HeaderMap) {
    let allowed = match asked.get(ORIGIN) {
        _ if origins.iter().any(|origin| origin == "*") => HeaderValue::from_static("*"),
        Some(origin)
            if origins.iter().any(|known| origin.as_bytes().eq_ignore_ascii_case(known.as_bytes())) =>
        {
            answer.append(VARY, HeaderValue::from_static("Origin"));
            origin.clone()
        }
        Some(_) | None => return,
    };
    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    if method == Method::OPTIONS {
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, OPTIONS"));
        answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
        if let Some(headers) = asked.get(REQUEST_HEADERS) {
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
        }
    }
}
