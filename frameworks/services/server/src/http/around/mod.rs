//! What stands around every call, whatever its route: who leads, how much goes on at once, and what every answer carries.

mod compress;
mod cors;
mod proxy;

use std::sync::Arc;

use chapada_listener::{Call, HttpResponse, Next};
use chapada_tls::Dialer;
use http::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, EXPIRES, HeaderName, HeaderValue, LOCATION, ORIGIN, PRAGMA,
    X_FRAME_OPTIONS,
};
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::Semaphore;

use super::Api;
use super::answer::error;
use crate::config::ServicesConfig;
use crate::standing::Standing;

pub(crate) use proxy::Proxy;

/// What each process answers for itself, leading or not.
const OWN: [&str; 8] =
    ["/", "/ui", "/ping", "/status", "/metrics", "/metrics/prometheus", "/logging", "/help"];

/// What every call shares beyond its handler.
pub(crate) struct Surroundings {
    proxy: Proxy,
    places: Option<Semaphore>,
}

impl Surroundings {
    pub(crate) fn new(config: &ServicesConfig, dialer: &Dialer, own: &str) -> Self {
        Self {
            proxy: Proxy::new(config, dialer, own),
            places: config.http_max_concurrent_requests.map(|most| Semaphore::new(most as usize)),
        }
    }
}

/// Answers a call.
pub(crate) async fn answer(api: Arc<Api>, mut call: Call, next: Next) -> HttpResponse {
    let asked = Asked::of(&call);
    call.path = single_slashes(&call.path);
    api.figures.on_request(&call.method);
    let place = api.surroundings.places.as_ref().map(Semaphore::try_acquire).transpose();
    let response = match place {
        Ok(_place) => placed(&api, call, next).await,
        Err(_) => error(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once; try again later"),
    };
    let response = asked.finish(&api, response).await;
    api.figures.on_response(response.status());
    response
}

async fn placed(api: &Api, call: Call, next: Next) -> HttpResponse {
    let own = call.method == Method::OPTIONS || is_own(&call.path);
    let standing = if own { Standing::Leading } else { api.identity.turn.known().await };
    match standing {
        Standing::Leading => next.answer(call).await,
        Standing::Following(leader) if call.path.trim_end_matches('/') == "/v2/events" => {
            to_leader(&leader, &call)
        }
        Standing::Following(leader) => api.surroundings.proxy.ask(&leader, call).await,
        Standing::Unknown => {
            error(StatusCode::BAD_GATEWAY, "no services process leads at the moment; try again later")
        }
    }
}

fn is_own(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    OWN.contains(&path) || path.is_empty() || path == "/openapi.json" || path.starts_with("/ui/")
}

/// A stream is not relayed: its reader goes to the leader.
fn to_leader(leader: &str, call: &Call) -> HttpResponse {
    let query = if call.raw_query.is_empty() { "" } else { "?" };
    let mut response = error(StatusCode::FOUND, format!("the leading process is at {leader}"));
    if let Ok(place) = HeaderValue::from_str(&format!("{leader}{}{query}{}", call.path, call.raw_query)) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}

/// Doubled slashes mean one: clients put an id with its slash behind a path that ends in one.
fn single_slashes(path: &str) -> String {
    let mut single = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !single.ends_with('/') {
            single.push(c);
        }
    }
    single
}

/// What of a request its answer depends on.
struct Asked {
    method: Method,
    headers: HeaderMap,
}

impl Asked {
    fn of(call: &Call) -> Self {
        let mut headers = HeaderMap::new();
        for name in [ACCEPT_ENCODING, ORIGIN, cors::REQUEST_HEADERS] {
            if let Some(value) = call.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        Self { method: call.method.clone(), headers }
    }

    async fn finish(self, api: &Api, mut response: HttpResponse) -> HttpResponse {
        if self.method == Method::OPTIONS && response.status() == StatusCode::METHOD_NOT_ALLOWED {
            response = methods(&response);
        }
        let config = &api.identity.config;
        cors::apply(&config.access_control_allow_origin, &self.method, &self.headers, response.headers_mut());
        with_headers(response.headers_mut(), api);
        if config.disable_http_compression || self.method == Method::HEAD {
            return response;
        }
        compress::apply(&self.headers, response).await
    }
}

/// What may be asked of a path, from the refusal of a method that may not.
fn methods(refusal: &HttpResponse) -> HttpResponse {
    let known = refusal.headers().get(ALLOW).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let head = if known.split(", ").any(|method| method == "GET") { "HEAD, " } else { "" };
    let mut response = chapada_listener::empty(StatusCode::OK);
    if let Ok(allow) = HeaderValue::from_str(&format!("{known}, {head}OPTIONS")) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// The headers of every answer of Marathon's.
fn with_headers(headers: &mut HeaderMap, api: &Api) {
    let fixed = [
        (CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
        (PRAGMA, "no-cache"),
        (EXPIRES, "0"),
        (X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("x-xss-protection"), "1; mode=block"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let leader = match api.identity.turn.now() {
        Standing::Following(leader) => leader,
        Standing::Leading => api.identity.url(),
        Standing::Unknown => return,
    };
    if let Ok(leader) = HeaderValue::from_str(&leader) {
        headers.insert(HeaderName::from_static("x-marathon-leader"), leader);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubled_slashes_are_one() {
        for (path, single) in [("/v2//apps///a", "/v2/apps/a"), ("//", "/"), ("/a%2F%2Fb/", "/a%2F%2Fb/")] {
            assert_eq!(single_slashes(path), single);
        }
    }
}
