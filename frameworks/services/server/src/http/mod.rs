//! Marathon's REST API: the table of routes, and the headers that every answer carries.
#![expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]

mod answer;
mod apps;
mod deployments;
mod events;
mod groups;
mod info;
mod metrics;
mod params;
mod path;
mod selector;
mod tasks;

use std::future::Future;
use std::sync::Arc;

use chapada_listener::{Action, Call, ContentRule, HttpResponse, RouteEntry, Routes};
use http::header::{CACHE_CONTROL, EXPIRES, HeaderName, HeaderValue, PRAGMA, X_FRAME_OPTIONS};
use http::{Method, StatusCode};

use crate::handle::ServicesHandle;
use crate::hub::Hub;
use crate::identity::Identity;
use crate::standing::Standing;

pub(crate) use answer::Answer;

/// What each process answers for itself, leading or not.
const ANSWERED_BY_ALL: [&str; 2] = ["/ping", "/status"];

/// What every handler can reach.
pub(crate) struct Api {
    pub(crate) services: ServicesHandle,
    pub(crate) hub: Hub,
    pub(crate) identity: Identity,
}

/// Every route of the API.
pub(crate) fn routes(api: Arc<Api>) -> Routes {
    use Action::{ChangeApps, ViewApps, ViewEvents, ViewHealth, ViewMetrics};
    let (get, post, put, patch, delete) =
        (Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE);
    let table = Table { api, routes: Routes::new() };
    table
        .on(&get, "/v2/apps/{*path}", ViewApps, apps::get)
        .on(&post, "/v2/apps/{*path}", ChangeApps, apps::post)
        .on(&put, "/v2/apps/{*path}", ChangeApps, apps::put)
        .on(&patch, "/v2/apps/{*path}", ChangeApps, apps::patch)
        .on(&delete, "/v2/apps/{*path}", ChangeApps, apps::delete)
        .on(&get, "/v2/tasks", ViewApps, tasks::list)
        .on(&post, "/v2/tasks/delete", ChangeApps, tasks::delete)
        .on(&get, "/v2/deployments", ViewApps, deployments::list)
        .on(&delete, "/v2/deployments/{id}", ChangeApps, deployments::delete)
        .on(&post, "/v2/deployments/{id}/promote", ChangeApps, deployments::promote)
        .on(&post, "/v2/deployments/{id}/pause", ChangeApps, deployments::pause)
        .on(&post, "/v2/deployments/{id}/resume", ChangeApps, deployments::resume)
        .on(&get, "/v2/queue", ViewApps, deployments::queue)
        .on(&delete, "/v2/queue/{*path}", ChangeApps, deployments::reset_delay)
        .on(&get, "/v2/groups/{*path}", ViewApps, groups::get)
        .on(&post, "/v2/groups/{*path}", ChangeApps, groups::refuse)
        .on(&put, "/v2/groups/{*path}", ChangeApps, groups::refuse)
        .on(&patch, "/v2/groups/{*path}", ChangeApps, groups::refuse)
        .on(&delete, "/v2/groups/{*path}", ChangeApps, groups::refuse)
        .on(&get, "/v2/pods/{*path}", ViewApps, groups::pods)
        .on(&post, "/v2/pods/{*path}", ChangeApps, groups::refuse_pods)
        .on(&get, "/v2/events", ViewEvents, events::stream)
        .on(&get, "/v2/info", ViewHealth, info::info)
        .on(&get, "/v2/leader", ViewHealth, info::leader)
        .on(&delete, "/v2/leader", ChangeApps, info::abdicate)
        .on(&get, "/v2/plugins", ViewHealth, info::plugins)
        .on(&get, "/ping", ViewHealth, info::ping)
        .on(&get, "/status", ViewHealth, info::status)
        .on(&get, "/metrics", ViewMetrics, metrics::json_or_text)
        .on(&get, "/metrics/prometheus", ViewMetrics, metrics::text)
        .on(&get, "/{*path}", ViewHealth, info::unknown)
        .on(&post, "/{*path}", ViewHealth, info::unknown)
        .on(&put, "/{*path}", ViewHealth, info::unknown)
        .on(&delete, "/{*path}", ViewHealth, info::unknown)
        .routes
}

struct Table {
    api: Arc<Api>,
    routes: Routes,
}

impl Table {
    fn on<H, F>(mut self, method: &Method, pattern: &'static str, action: Action, handler: H) -> Self
    where
        H: Fn(Arc<Api>, Call) -> F + Send + Sync + Copy + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let api = self.api.clone();
        let method = Some(method.clone());
        let entry = RouteEntry { method, pattern, action, content: ContentRule::Handler };
        self.routes = self.routes.add(entry, move |call: Call| {
            let api = api.clone();
            async move {
                let standing = match ANSWERED_BY_ALL.contains(&pattern) {
                    true => Standing::Leading,
                    false => api.identity.turn.known().await,
                };
                let checked = answer::check_content_type(&call);
                let response = match (checked, &standing) {
                    (Err(refusal), _) => refusal,
                    (Ok(()), Standing::Leading) => {
                        handler(api.clone(), call).await.unwrap_or_else(|refusal| refusal)
                    }
                    (Ok(()), Standing::Following(leader)) => answer::elsewhere(leader, &call),
                    (Ok(()), Standing::Unknown) => answer::error(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "no services process leads at the moment",
                    ),
                };
                with_headers(response, &api.identity, &standing)
            }
        });
        self
    }
}

/// The headers of every answer of Marathon's.
fn with_headers(mut response: HttpResponse, identity: &Identity, standing: &Standing) -> HttpResponse {
    let headers = response.headers_mut();
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
    let leader = match standing {
        Standing::Following(leader) => leader.clone(),
        Standing::Leading | Standing::Unknown => identity.url(),
    };
    if let Ok(leader) = HeaderValue::from_str(&leader) {
        headers.insert(HeaderName::from_static("x-marathon-leader"), leader);
    }
    response
}
