//! Marathon's REST API: the table of routes, and the headers that every answer carries.
#![expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]

mod answer;
mod apps;
mod around;
mod bodies;
mod deployments;
mod document;
mod events;
mod groups;
mod home;
mod info;
mod logging;
mod looks;
mod metrics;
mod pages;
mod params;
mod path;
mod pods;
mod selector;
mod settings;
mod tasks;
mod underway;
mod walk;
mod why;

use std::future::Future;
use std::sync::Arc;

use chapada_listener::{Action, Call, ContentRule, Logging, RouteEntry, Routes};
use http::{Method, StatusCode};

use crate::figures::Figures;
use crate::handle::ServicesHandle;
use crate::hub::Hub;
use crate::identity::Identity;
use crate::secrets::Secrets;

pub(crate) use answer::Answer;
pub(crate) use around::Surroundings;
pub(crate) use bodies::Bodies;
pub(crate) use looks::Looks;

/// What every handler can reach, on behalf of its caller.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) services: ServicesHandle,
    pub(crate) hub: Hub,
    pub(crate) identity: Identity,
    pub(crate) figures: Figures,
    pub(crate) surroundings: Arc<Surroundings>,
    pub(crate) logging: Logging,
    pub(crate) secrets: Secrets,
    pub(crate) bodies: Bodies,
    pub(crate) looks: Looks,
}

/// Every route of the API.
pub(crate) fn routes(api: Arc<Api>) -> Routes {
    use Action::{ChangeApps, OperateServices, ViewApps, ViewEvents, ViewHealth, ViewMetrics};
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
        .on(&post, "/v2/groups/{*path}", ChangeApps, groups::post)
        .on(&put, "/v2/groups/{*path}", ChangeApps, groups::put)
        .on(&patch, "/v2/groups/{*path}", ChangeApps, groups::patch)
        .on(&delete, "/v2/groups/{*path}", ChangeApps, groups::delete)
        .on(&Method::HEAD, "/v2/pods/{*path}", ViewApps, pods::head)
        .on(&get, "/v2/pods/{*path}", ViewApps, pods::get)
        .on(&post, "/v2/pods/{*path}", ChangeApps, pods::post)
        .on(&put, "/v2/pods/{*path}", ChangeApps, pods::put)
        .on(&delete, "/v2/pods/{*path}", ChangeApps, pods::delete)
        .on(&get, "/v2/events", ViewEvents, events::stream)
        .on(&get, "/v2/info", ViewHealth, info::info)
        .on(&get, "/v2/leader", ViewHealth, info::leader)
        .on(&delete, "/v2/leader", OperateServices, info::abdicate)
        .on(&get, "/v2/plugins", ViewHealth, info::plugins)
        .on(&get, "/ping", ViewHealth, info::ping)
        .on(&get, "/status", ViewHealth, info::status)
        .on(&get, "/metrics", ViewMetrics, metrics::json_or_text)
        .on(&get, "/metrics/prometheus", ViewMetrics, metrics::text)
        .on(&get, "/logging", OperateServices, logging::get)
        .on(&post, "/logging", OperateServices, logging::post)
        .on(&get, "/", ViewHealth, home::root)
        .on(&get, "/ui/{*path}", ViewHealth, home::ui)
        .on(&get, "/help", ViewHealth, home::help)
        .finish()
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
            let services = api.services.on_behalf_of(call.caller());
            let api = Arc::new(Api { services, bodies: api.bodies.of_call(), ..Api::clone(&api) });
            async move {
                match answer::check_content_type(&call) {
                    Ok(()) => handler(api, call).await.unwrap_or_else(|refusal| refusal),
                    Err(refusal) => refusal,
                }
            }
        });
        self
    }

    fn finish(self) -> Routes {
        let entry = RouteEntry {
            method: Some(Method::GET),
            pattern: document::PATH,
            action: Action::ViewHealth,
            content: ContentRule::Handler,
        };
        let table: Vec<RouteEntry> = self.routes.table().into_iter().chain([entry.clone()]).collect();
        let document = Arc::new(document::of(&table, info::API_VERSION));
        let routes = self.routes.add(entry, move |_call: Call| {
            let document = document.clone();
            async move { chapada_listener::json(StatusCode::OK, &document) }
        });
        let api = self.api;
        routes.refusing(answer::refused).around(move |call, next| around::answer(api.clone(), call, next))
    }
}
