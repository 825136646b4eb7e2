//! The table of routes.

use std::sync::Arc;

use chapada_listener::{Action, ContentRule, GrpcRoutes, RouteEntry, Routes};
use chapada_wire::explain::explain_service_server::ExplainServiceServer;
use chapada_wire::link::agent_link_server::AgentLinkServer;
use chapada_wire::v1::scheduler::scheduler_service_server::SchedulerServiceServer;

use crate::agent_api;
use crate::agent_link::{LinkService, MAX_MESSAGE};
use crate::operator;
use crate::plain;
use crate::proxy::Proxy;
use crate::query::{self, ExplainGrpc};
use crate::scheduler::{self, SchedulerGrpc};
use crate::shell::Shell;
use crate::step_down;
use crate::ui;

/// The largest scheduler call over gRPC, in bytes: what a body over HTTP may be by default.
const MAX_CALL: usize = 8 * 1024 * 1024;

/// Everything over HTTP.
pub(crate) fn http(shell: &Arc<Shell>) -> Routes {
    let routes = apis(shell.logging.routes(Routes::new()), shell);
    let routes = plain(routes, shell);
    let routes = plain::role_routes(routes, shell);
    let routes = plain::maintenance_routes(routes, shell);
    let routes = plain::form_routes(routes, shell);
    let routes = step_down::routes(routes, shell);
    let routes = query::routes(routes, shell);
    pages(routes, shell)
}

/// Frameworks' own pages, and the web UI for everything else.
fn pages(routes: Routes, shell: &Arc<Shell>) -> Routes {
    let (shell, proxy) = (shell.clone(), Arc::new(Proxy::new(&shell.dialer)));
    let entry = RouteEntry {
        method: None,
        pattern: "/proxy/{framework}/{*rest}",
        action: Action::UseProxy,
        content: ContentRule::Listener,
    };
    let proxied = move |call| {
        let (shell, proxy) = (shell.clone(), proxy.clone());
        async move { proxy.handle(shell, call).await }
    };
    routes.add(entry, proxied).get("/{*rest}", Action::ViewUi, ui::handle)
}

/// The v1 APIs, whose order of checks is Mesos' own. What lies below a path is the nearest route above it.
fn apis(mut routes: Routes, shell: &Arc<Shell>) -> Routes {
    let entry = |pattern, action| RouteEntry { method: None, pattern, action, content: ContentRule::Handler };
    for pattern in ["/api/v1/scheduler/{*rest}", "/master/api/v1/scheduler/{*rest}"] {
        let shell = shell.clone();
        let handler = move |call| scheduler::handle(shell.clone(), call);
        routes = routes.add(entry(pattern, Action::ActAsFramework), handler);
    }
    for pattern in ["/api/v1/{*rest}", "/master/api/v1/{*rest}"] {
        let shell = shell.clone();
        let handler = move |call| operator::handle(shell.clone(), call);
        routes = routes.add(entry(pattern, Action::ViewCluster), handler);
    }
    // The second is the path by which routers of DC/OS are asked.
    for pattern in ["/agents/{agent}/api/v1", "/slave/{agent}/api/v1"] {
        let shell = shell.clone();
        let handler = move |call| agent_api::handle(shell.clone(), call);
        routes = routes.add(entry(pattern, Action::ViewHealth), handler);
    }
    routes
}

fn plain(mut routes: Routes, shell: &Arc<Shell>) -> Routes {
    for (pattern, endpoint, action) in plain::ENDPOINTS {
        let shell = shell.clone();
        routes = routes.get(pattern, *action, move |call| plain::answer(shell.clone(), *endpoint, call));
    }
    for pattern in ["/redirect/{*rest}", "/master/redirect/{*rest}"] {
        let shell = shell.clone();
        routes = routes.get(pattern, Action::ViewHealth, move |call| {
            plain::answer(shell.clone(), plain::Endpoint::Redirect, call)
        });
    }
    routes
}

/// Everything over gRPC.
pub(crate) fn grpc(shell: &Arc<Shell>) -> GrpcRoutes {
    let schedulers = SchedulerServiceServer::new(SchedulerGrpc { shell: shell.clone() });
    let agents = AgentLinkServer::new(LinkService { shell: shell.clone() });
    let reasons = ExplainServiceServer::new(ExplainGrpc { shell: shell.clone() });
    GrpcRoutes::new()
        .service(reasons, &[("Explain", Action::ViewCluster)])
        .service(
            schedulers.max_decoding_message_size(MAX_CALL),
            &[("Connect", Action::ActAsFramework), ("Send", Action::ActAsFramework)],
        )
        .service(
            agents.max_decoding_message_size(MAX_MESSAGE),
            &[("Connect", Action::ActAsAgent), ("Relay", Action::ActAsAgent)],
        )
}

/// Every HTTP route and every gRPC method of a master with what it does, for those who check them all.
pub fn doors() -> (Vec<RouteEntry>, Vec<(String, Action)>) {
    let shell = Arc::new(Shell::closed());
    (http(&shell).table(), grpc(&shell).table())
}

#[cfg(test)]
mod tests;
