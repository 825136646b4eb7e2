//! Answers.

use bytes::Bytes;
use futures_util::Stream;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use warp::Reply;

/// What a handler answers with: warp's own response, so that anything that is a [`warp::Reply`] will do.
pub type HttpResponse = warp::reply::Response;

/// A short sentence as plain text.
pub fn text(status: StatusCode, message: impl Into<String>) -> HttpResponse {
    bytes(status, "text/plain; charset=utf-8", message.into())
}

/// No body at all.
pub fn empty(status: StatusCode) -> HttpResponse {
    let mut response = Response::new(Bytes::new()).into_response();
    *response.status_mut() = status;
    response
}

/// A whole body of the given content type; its length is announced.
pub fn bytes(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> HttpResponse {
    let mut response = Response::new(body.into()).into_response();
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// `value` as JSON. A value that cannot be written (a map with keys that are no strings) is a 500.
pub fn json(status: StatusCode, value: &impl serde::Serialize) -> HttpResponse {
    match serde_json::to_vec(value) {
        Ok(body) => bytes(status, "application/json", body),
        Err(error) => {
            text(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to write the answer as JSON: {error}"))
        }
    }
}

/// A body that is sent as it comes, each item in an HTTP chunk of its own. An error ends the connection.
pub fn stream<S, E>(status: StatusCode, content_type: &'static str, items: S) -> HttpResponse
where
    S: Stream<Item = Result<Bytes, E>> + Send + Sync + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    let mut response = warp::reply::stream(items).into_response();
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
