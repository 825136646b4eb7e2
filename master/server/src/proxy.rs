//! `/proxy/<framework>/…`: a framework's own pages and API through the master, at the one address it registered.
//!
//! It keeps the web UI on one origin. Nothing else can be reached: no other host, no redirect is followed, and what
//! identifies the caller to the master is not passed on. Under TLS the framework is shown the master's own certificate, so that no
//! framework may have the cluster's own daemons called: they would take its words for the master's.

mod daemons;

use std::sync::Arc;

use bytes::Bytes;
use chapada_listener::{Call, HttpResponse, text};
use chapada_master_core::Snapshot;
use chapada_model::FrameworkId;
use chapada_tls::{ByUri, Dialer};
use futures_util::StreamExt;
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue,
    LOCATION, ORIGIN, REFERER, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::forward::{self, passed_on};
use crate::plain::path_and_query;
use crate::shell::Shell;

/// How long a framework may take to begin its answer.
const ANSWER_LIMIT: std::time::Duration = std::time::Duration::from_secs(60);
/// How long it may take to take a connection.
const CONNECT_LIMIT: std::time::Duration = std::time::Duration::from_secs(5);

/// What names the caller to the master, and what the framework would take for another site's.
const PRIVATE: [HeaderName; 6] = [COOKIE, AUTHORIZATION, HOST, ORIGIN, REFERER, CONTENT_LENGTH];

/// Passes requests on.
pub(crate) struct Proxy {
    client: Client<ByUri, Full<Bytes>>,
}

impl Proxy {
    /// Frameworks with an `https` address are dialled as `dialer` does it.
    pub(crate) fn new(dialer: &Dialer) -> Self {
        let connector = dialer.by_uri().within(CONNECT_LIMIT);
        Self { client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// Answers with what the framework answers.
    pub(crate) async fn handle(&self, shell: Arc<Shell>, call: Call) -> HttpResponse {
        match self.answer(&shell, call).await {
            Ok(response) | Err(response) => response,
        }
    }

    async fn answer(&self, shell: &Shell, call: Call) -> Result<HttpResponse, HttpResponse> {
        let books = shell.books().await;
        let (_, books) = books.map_err(|elsewhere| elsewhere.response(&path_and_query(&call)))?;
        let named = call.param("framework").to_owned();
        let base = address(&books, &named)?;
        if let Some(daemon) = daemons::at(shell, &books, &base).await {
            let at = base.authority().map(|authority| authority.as_str()).unwrap_or_default();
            let message = format!(
                "framework {named} has registered {at}, where {daemon} listens: only a framework's own pages are passed on"
            );
            return Err(text(StatusCode::FORBIDDEN, message));
        }
        drop(books);
        let uri = target(&base, &call, &named)?;
        let stop = call.stop.clone();
        let body = call.read_body().await.map_err(chapada_listener::BodyError::into_response)?;
        let mut request = Request::builder().method(call.method.clone()).uri(uri);
        if let Some(headers) = request.headers_mut() {
            *headers = passed_on(&call.headers, &PRIVATE);
        }
        let request = request.body(Full::new(body)).map_err(|error| bad(error.to_string()))?;
        let answer = tokio::time::timeout(ANSWER_LIMIT, self.client.request(request)).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let why = std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string);
                let message = format!("framework {named} does not answer at {base}: {why}");
                return Err(text(StatusCode::BAD_GATEWAY, message));
            }
            Err(_) => {
                return Err(text(StatusCode::GATEWAY_TIMEOUT, format!("framework {named} does not answer")));
            }
        };
        Ok(relay(answer, &base, &named, stop))
    }
}

/// The address that the framework of this id or name registered.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
fn address(books: &Snapshot, named: &str) -> Result<Uri, HttpResponse> {
    let by_id = named.parse::<FrameworkId>().ok().and_then(|id| books.frameworks.get(&id));
    let by_name = || {
        let found = || books.frameworks.values().filter(|framework| *framework.description.name == *named);
        found().find(|framework| framework.stream().is_some()).or_else(|| found().next())
    };
    let framework = by_id
        .or_else(by_name)
        .ok_or_else(|| text(StatusCode::NOT_FOUND, format!("there is no framework {named}")))?;
    let url = framework.description.webui_url.as_deref().unwrap_or_default();
    let missing = || text(StatusCode::NOT_FOUND, format!("framework {named} has registered no http address"));
    let uri: Uri = url.parse().map_err(|_| missing())?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(authority)) if !authority.as_str().contains('@') => Ok(uri),
        _ => Err(missing()),
    }
}

/// Where the request goes: what follows the framework's name, below the address it registered.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
fn target(base: &Uri, call: &Call, named: &str) -> Result<Uri, HttpResponse> {
    // As it came, still encoded: an encoded slash in an app's id must stay one.
    let rest = call.path.trim_start_matches('/').splitn(3, '/').nth(2).unwrap_or("");
    let authority = base.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let path = format!("{}/{rest}", base.path().trim_end_matches('/'));
    let query = if call.raw_query.is_empty() { String::new() } else { format!("?{}", call.raw_query) };
    let uri = format!("{}://{authority}{path}{query}", scheme(base));
    uri.parse().map_err(|error| bad(format!("no address of framework {named}: {error}")))
}

fn scheme(base: &Uri) -> &str {
    base.scheme_str().unwrap_or("http")
}

fn bad(message: String) -> HttpResponse {
    text(StatusCode::BAD_REQUEST, message)
}

/// The answer, piece by piece as it comes, so that an event stream is one.
fn relay(
    answer: http::Response<hyper::body::Incoming>,
    base: &Uri,
    named: &str,
    stop: tokio_util::sync::CancellationToken,
) -> HttpResponse {
    let (parts, body) = answer.into_parts();
    let mut response =
        forward::answer(parts.status, forward::pieces(body).take_until(stop.cancelled_owned()));
    let mut headers = passed_on(&parts.headers, &[SET_COOKIE]);
    rebase(&mut headers, base, named);
    // A framework's page must not act as the master's own: it gets an origin of its own, and no guess at its type.
    headers.append(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox allow-scripts allow-forms allow-popups"),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    *response.headers_mut() = headers;
    response
}

/// A redirect within the framework stays below the proxy.
fn rebase(headers: &mut HeaderMap, base: &Uri, named: &str) {
    let Some(location) = headers.get(LOCATION).and_then(|value| value.to_str().ok()) else { return };
    let own = format!("{}://{}", scheme(base), base.authority().map(|a| a.as_str()).unwrap_or_default());
    let path = location.strip_prefix(&own).unwrap_or(location);
    let below = base.path().trim_end_matches('/');
    let path = path.strip_prefix(below).filter(|rest| rest.starts_with('/')).unwrap_or(path);
    if path.starts_with('/')
        && !path.starts_with("//")
        && let Ok(value) = format!("/proxy/{named}{path}").parse()
    {
        headers.insert(LOCATION, value);
    }
}
