//! Who we are, and whether we live.

use std::sync::Arc;

use chapada_listener::{Call, json as answer_json, text};
use http::StatusCode;
use serde_json::{Value, json};

use super::Api;
use super::answer::{Answer, error, ok, unavailable};

/// The version of Marathon's API that is spoken; clients branch on it.
const API_VERSION: &str = "1.11.24";

pub(crate) async fn info(api: Arc<Api>, _call: Call) -> Answer {
    let identity = &api.identity;
    let config = &identity.config;
    let registration = identity.registration();
    let mut body = json!({
        "name": "marathon",
        "version": API_VERSION,
        "buildref": concat!("chapada-", env!("CARGO_PKG_VERSION")),
        "elected": true,
        "leader": &*identity.host_port,
        "marathon_config": {
            "master": config.master.to_string(),
            "failover_timeout": config.failover_timeout.as_secs(),
            "framework_name": config.framework_name,
            "ha": config.zk.is_some(),
            "checkpoint": true,
            "local_port_min": 10_000,
            "local_port_max": 20_000,
            "executor": "//cmd",
            "hostname": identity.host_port.rsplit_once(':').map(|(host, _)| host),
            "webui_url": identity.url(),
            "mesos_role": config.role,
            "task_launch_timeout": 300_000,
            "task_reservation_timeout": 20_000,
            "reconciliation_initial_delay": 15_000,
            "reconciliation_interval": 600_000,
            "mesos_user": Value::Null,
            "leader_proxy_connection_timeout_ms": 5_000,
            "leader_proxy_read_timeout_ms": 10_000,
            "mesos_leader_ui_url": registration.master_url,
            "features": [],
        },
        "zookeeper_config": {
            "zk": config.zk.as_ref().map(ToString::to_string),
            "zk_timeout": 10_000,
            "zk_session_timeout": 10_000,
            "zk_max_versions": 50,
        },
        "http_config": {"http_port": port_of(&identity.host_port), "https_port": Value::Null},
    });
    if let Some(framework) = registration.framework {
        body["frameworkId"] = json!(framework);
    }
    ok(&body)
}

fn port_of(host_port: &str) -> Option<u16> {
    host_port.rsplit_once(':')?.1.parse().ok()
}

pub(crate) async fn leader(api: Arc<Api>, _call: Call) -> Answer {
    ok(&json!({"leader": &*api.identity.host_port}))
}

pub(crate) async fn abdicate(_api: Arc<Api>, _call: Call) -> Answer {
    let message = "leadership cannot be given up by request yet; stop this process instead";
    Err(error(StatusCode::METHOD_NOT_ALLOWED, message))
}

pub(crate) async fn plugins(_api: Arc<Api>, _call: Call) -> Answer {
    ok(&json!({"plugins": []}))
}

pub(crate) async fn ping(_api: Arc<Api>, call: Call) -> Answer {
    match call.header("accept") {
        Some(accept) if accept.starts_with("application/json") => {
            Ok(answer_json(StatusCode::OK, &json!("pong")))
        }
        Some(_) | None => Ok(text(StatusCode::OK, "pong")),
    }
}

/// Whether this process can do its work, for people and monitors.
pub(crate) async fn status(api: Arc<Api>, _call: Call) -> Answer {
    let (connected, apps) = match api.identity.turn.is_leading() {
        false => (false, None),
        true => {
            let read =
                api.services.read(|services, _| (services.is_connected(), Some(services.apps().count())));
            read.await.map_err(unavailable)?
        }
    };
    ok(&json!({
        "leading": api.identity.turn.is_leading(),
        "connected": connected,
        "frameworkId": api.identity.registration().framework,
        "apps": apps,
        "uptimeSeconds": api.identity.started.elapsed().as_secs(),
    }))
}

pub(crate) async fn unknown(_api: Arc<Api>, _call: Call) -> Answer {
    Err(error(StatusCode::NOT_FOUND, "URI not found"))
}
