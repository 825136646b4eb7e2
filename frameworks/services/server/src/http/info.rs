//! Who we are, and whether we live.

use std::sync::Arc;

use chapada_listener::{Call, empty, form_accepted, json as answer_json, text};
use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answer, error, ok, unavailable};
use super::{Api, settings};

/// The version of Marathon's API that is spoken; clients branch on it.
pub(super) const API_VERSION: &str = "1.11.24";

pub(crate) async fn info(api: Arc<Api>, _call: Call) -> Answer {
    let identity = &api.identity;
    let registration = identity.registration();
    let mut body = json!({
        "name": "marathon",
        "version": API_VERSION,
        "buildref": concat!("chapada-", env!("CARGO_PKG_VERSION")),
        "elected": true,
        "leader": &*identity.host_port,
        "marathon_config": settings::marathon(identity, registration.master_url),
        "zookeeper_config": settings::zookeeper(&identity.config),
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

/// Leadership is given away; this process waits for its next turn.
pub(crate) async fn abdicate(api: Arc<Api>, call: Call) -> Answer {
    let query = call.query();
    for name in ["backup", "restore"] {
        if query.get(name).is_some() {
            let message =
                format!("`{name}` is not supported: records are kept by ZooKeeper or in a file, copy those");
            return Err(error(StatusCode::UNPROCESSABLE_ENTITY, message));
        }
    }
    api.identity.turn.give_up();
    ok(&json!({"message": "Leadership abdicated"}))
}

pub(crate) async fn plugins(_api: Arc<Api>, _call: Call) -> Answer {
    ok(&json!({"plugins": []}))
}

/// As text, or as JSON for who takes no text, or as nothing at all.
pub(crate) async fn ping(_api: Arc<Api>, call: Call) -> Answer {
    let forms = [("text/plain", Form::Text), ("application/json", Form::Json)];
    Ok(match form_accepted(&call, &forms) {
        Ok(Form::Text) => text(StatusCode::OK, "pong"),
        Ok(Form::Json) => answer_json(StatusCode::OK, &json!("pong")),
        Err(_) => empty(StatusCode::NO_CONTENT),
    })
}

#[derive(Clone, Copy)]
enum Form {
    Text,
    Json,
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
