//! The table of routes.

use std::sync::Arc;

use chapada_listener::{Action, ContentRule, GrpcRoutes, RouteEntry, Routes};
use chapada_wire::link::agent_link_server::AgentLinkServer;
use chapada_wire::v1::scheduler::scheduler_service_server::SchedulerServiceServer;

use crate::agent_link::{LinkService, MAX_MESSAGE};
use crate::scheduler::{self, SchedulerGrpc};
use crate::shell::Shell;

/// The largest scheduler call over gRPC, in bytes: what a body over HTTP may be by default.
const MAX_CALL: usize = 8 * 1024 * 1024;

/// Everything over HTTP.
pub(crate) fn http(shell: &Arc<Shell>) -> Routes {
    let mut routes = Routes::new();
    for pattern in ["/api/v1/scheduler", "/master/api/v1/scheduler"] {
        let shell = shell.clone();
        let entry = RouteEntry {
            method: None,
            pattern,
            action: Action::ActAsFramework,
            content: ContentRule::Handler,
        };
        routes = routes.add(entry, move |call| scheduler::handle(shell.clone(), call));
    }
    routes
}

/// Everything over gRPC.
pub(crate) fn grpc(shell: &Arc<Shell>) -> GrpcRoutes {
    let schedulers = SchedulerServiceServer::new(SchedulerGrpc { shell: shell.clone() });
    let agents = AgentLinkServer::new(LinkService { shell: shell.clone() });
    GrpcRoutes::new()
        .service(
            schedulers.max_decoding_message_size(MAX_CALL),
            &[("Connect", Action::ActAsFramework), ("Send", Action::ActAsFramework)],
        )
        .service(
            agents.max_decoding_message_size(MAX_MESSAGE),
            &[("Connect", Action::ActAsAgent), ("Relay", Action::ActAsAgent)],
        )
}
