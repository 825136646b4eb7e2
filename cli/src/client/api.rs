//! HTTP to the leading master, which also relays to agents and to the services framework.

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chapada_model::chain;
use chapada_tls::{ByUri, Dialer, Farewell, TlsError};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::Cluster;

/// A listing page is far below this; more means that something else answers.
const BODY_LIMIT: usize = 64 << 20;
/// A leader answers a page in milliseconds, an agent starts a program in some dozen; this bounds a hung one.
const ANSWER_WITHIN: Duration = Duration::from_secs(45);
/// A standby names the leader, and the leader may have just changed once more.
const REDIRECTS: usize = 3;

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("{0}")]
    NotFound(String),
    #[error("nobody answers at {address}: {why}; name the master with --master or CHAPADA_MASTER")]
    Unreachable { address: String, why: String },
    #[error("{address} cannot do it now: {why}; try again in a moment")]
    Unavailable { address: String, why: String },
    #[error("{status}: {message}")]
    Refused { status: StatusCode, message: String },
    #[error("{path} answered what is no JSON: {source}")]
    Garbled { path: String, source: serde_json::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A body that is still arriving.
pub(crate) type Body = Incoming;
/// A body that is sent, whole or as it comes to be.
pub(crate) type Sending = UnsyncBoxBody<Bytes, std::io::Error>;
/// What a request says beside its body.
pub(crate) type Said = [(&'static str, &'static str)];

const AS_JSON: &Said =
    &[("accept", "application/json, text/event-stream"), ("content-type", "application/json")];

/// A connection to one cluster.
#[derive(Debug)]
pub(crate) struct Api {
    client: Client<ByUri, Sending>,
    /// What the leader is reached by.
    scheme: &'static str,
    /// What a connection ended with.
    farewell: Farewell,
    /// Of the leader, as far as is known.
    address: Mutex<String>,
}

impl Api {
    /// Finds the leader when the address is a `zk://` one; otherwise only notes the address.
    pub(crate) async fn find(cluster: &Cluster) -> Result<Self, ApiError> {
        let unreachable = |why: String| ApiError::Unreachable { address: cluster.master.clone(), why };
        let dialer = Dialer::with(&cluster.tls)?;
        let address = super::leader::find(&cluster.master, &dialer, ANSWER_WITHIN).await;
        let (connector, address) = (dialer.by_uri(), Mutex::new(address.map_err(unreachable)?));
        let farewell = connector.farewell();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, scheme: dialer.scheme(), farewell, address })
    }

    /// A GET whose answer is JSON.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.json(Method::GET, path, None).await
    }

    /// Any call with JSON in and JSON out; an empty answer is null.
    pub(crate) async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let response = self.open(method, path, body).await?;
        let bytes = self.collect(response).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|source| ApiError::Garbled { path: path.to_owned(), source })
    }

    /// The answer's body as it arrives, without an end to wait for.
    pub(crate) async fn stream(&self, path: &str) -> Result<Body, ApiError> {
        Ok(self.open(Method::GET, path, None).await?.into_body())
    }

    /// Any call with whatever body and headers; the answer's body is still arriving.
    pub(crate) async fn post(
        &self,
        path: &str,
        said: &Said,
        body: Bytes,
    ) -> Result<Response<Incoming>, ApiError> {
        self.ask(Method::POST, path, said, body).await
    }

    /// A POST whose body comes to be while it is sent, to the master that answered last. It may take as long as it likes.
    pub(crate) async fn post_stream(
        &self,
        path: &str,
        said: &Said,
        body: Sending,
    ) -> Result<Response<Incoming>, ApiError> {
        let address = self.address().clone();
        let request = self.request(&address, &Method::POST, path, said, body)?;
        let answer = self.client.request(request).await;
        self.checked(path, answer.map_err(|error| self.broken(&error))?).await
    }

    async fn open(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response<Incoming>, ApiError> {
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        self.ask(method, path, AS_JSON, bytes).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        said: &Said,
        body: Bytes,
    ) -> Result<Response<Incoming>, ApiError> {
        for _ in 0..=REDIRECTS {
            let address = self.address().clone();
            let whole = Full::new(body.clone()).map_err(|never| match never {}).boxed_unsync();
            let response = self.send(self.request(&address, &method, path, said, whole)?).await?;
            if response.status() != StatusCode::TEMPORARY_REDIRECT {
                return self.checked(path, response).await;
            }
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let Some(leader) = location.and_then(authority) else {
                return Err(self.unreachable("it redirects to nowhere"));
            };
            leader.clone_into(&mut self.address());
        }
        Err(self.unreachable("the masters redirect to each other; a new leader may be coming up"))
    }

    fn request(
        &self,
        address: &str,
        method: &Method,
        path: &str,
        said: &Said,
        body: Sending,
    ) -> Result<Request<Sending>, ApiError> {
        let request = Request::builder().method(method).uri(format!("{}://{address}{path}", self.scheme));
        let request = said.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(body);
        request.map_err(|error| self.unreachable(&format!("{address}{path} is no address: {error}")))
    }

    async fn send(&self, request: Request<Sending>) -> Result<Response<Incoming>, ApiError> {
        match tokio::time::timeout(ANSWER_WITHIN, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(_) => Err(self.unreachable(&format!("no answer within {} s", ANSWER_WITHIN.as_secs()))),
        }
    }

    /// Success as it is; anything else as an error with the server's own words.
    async fn checked(
        &self,
        path: &str,
        response: Response<Incoming>,
    ) -> Result<Response<Incoming>, ApiError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = self.collect(response).await?;
        let message = message_in(&bytes);
        Err(match status {
            StatusCode::NOT_FOUND if message.is_empty() => ApiError::NotFound(format!("there is no {path}")),
            StatusCode::NOT_FOUND => ApiError::NotFound(message),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
                ApiError::Unavailable { address: self.address().clone(), why: message }
            }
            status => ApiError::Refused { status, message },
        })
    }

    async fn collect(&self, response: Response<Incoming>) -> Result<Bytes, ApiError> {
        let body = Limited::new(response.into_body(), BODY_LIMIT).collect();
        match tokio::time::timeout(ANSWER_WITHIN, body).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) => Err(self.unreachable(&format!("the answer broke off: {error}"))),
            Err(_) => Err(self.unreachable("the answer did not end within 45 s")),
        }
    }

    fn broken(&self, error: &hyper_util::client::legacy::Error) -> ApiError {
        let why = self.farewell.take().unwrap_or_else(|| chain(error));
        self.unreachable(&why)
    }

    fn unreachable(&self, why: &str) -> ApiError {
        ApiError::Unreachable { address: self.address().clone(), why: why.to_owned() }
    }

    /// Nothing that holds it can leave it half changed.
    fn address(&self) -> MutexGuard<'_, String> {
        self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `host:port` out of `//host:port/path` or `http://host:port/path`.
fn authority(location: &str) -> Option<&str> {
    let rest = location.split_once("//")?.1;
    let authority = rest.split('/').next()?;
    (!authority.is_empty()).then_some(authority)
}

/// The `message` of a JSON error body with its details, or the body itself.
fn message_in(bytes: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<Value>(bytes) else {
        return String::from_utf8_lossy(bytes).trim().to_owned();
    };
    let mut text = body["message"].as_str().map_or_else(|| body.to_string(), str::to_owned);
    for detail in body["details"].as_array().into_iter().flatten() {
        let errors: Vec<_> =
            detail["errors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let _ = write!(text, "; {}: {}", detail["path"].as_str().unwrap_or("/"), errors.join(", "));
    }
    text
}

/// A path component with everything escaped that has a meaning in a URL.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_names_the_leader_with_and_without_a_scheme() {
        assert_eq!(authority("//10.0.0.1:5050/query/v1/overview"), Some("10.0.0.1:5050"));
        assert_eq!(authority("http://m2:5050"), Some("m2:5050"));
        assert_eq!(authority("/elsewhere"), None);
    }

    #[test]
    fn error_bodies_keep_their_details() {
        let body =
            br#"{"message":"Object is not valid","details":[{"path":"/cpus","errors":["error.min"]}]}"#;
        assert_eq!(message_in(body), "Object is not valid; /cpus: error.min");
        assert_eq!(message_in(b"plain words\n"), "plain words");
    }

    #[test]
    fn ids_cannot_leave_their_component() {
        assert_eq!(escaped("a/../b?c"), "a%2F..%2Fb%3Fc");
    }
}
