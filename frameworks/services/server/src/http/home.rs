//! Where people begin.

use std::sync::Arc;

use chapada_listener::{Call, empty};
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use serde_json::json;

use super::Api;
use super::answer::{Answer, error, ok};

fn elsewhere(place: &str) -> Answer {
    let mut response = empty(StatusCode::FOUND);
    let place = HeaderValue::from_str(place).map_err(|why| error(StatusCode::INTERNAL_SERVER_ERROR, why))?;
    response.headers_mut().insert(LOCATION, place);
    Ok(response)
}

pub(crate) async fn root(_api: Arc<Api>, _call: Call) -> Answer {
    elsewhere("/ui/")
}

/// The web UI is the master's: it shows apps beside everything else.
pub(crate) async fn ui(api: Arc<Api>, _call: Call) -> Answer {
    match api.identity.registration().master_url {
        Some(master) => elsewhere(&format!("{master}/")),
        None => elsewhere("/help"),
    }
}

pub(crate) async fn help(_api: Arc<Api>, _call: Call) -> Answer {
    ok(&json!({
        "about": "Marathon's REST API, of Chapada's services framework",
        "openapi": "/openapi.json",
        "apps": "/v2/apps",
        "events": "/v2/events",
        "info": "/v2/info",
        "metrics": "/metrics/prometheus",
        "status": "/status",
    }))
}
