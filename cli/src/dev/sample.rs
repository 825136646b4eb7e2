//! The sample app of a development cluster.

use anyhow::Result;
use http::Method;
use serde_json::{Value, json};

use crate::client::{Api, ApiError};

/// Its id.
pub(super) const APP: &str = "/hello";
const SERVICES: &str = "/proxy/services";

/// Two instances that say which they are, twice a second.
fn definition() -> Value {
    json!({
        "id": APP,
        "cmd": "echo listening on $PORT0; while true; do echo \"$(date +%T) hello from $MESOS_TASK_ID\"; sleep 0.5; done",
        "cpus": 0.1,
        "mem": 32.0,
        "instances": 2,
        "labels": { "sample": "true" },
    })
}

/// Waits for the services framework; an app that is there from an earlier run is kept.
pub(super) async fn deploy(api: &Api) -> Result<()> {
    let ready = || async {
        let pong = api.stream(&format!("{SERVICES}/ping")).await;
        pong.ok().map(|_| ())
    };
    super::until("the services framework answers", ready).await?;
    match api.json(Method::POST, &format!("{SERVICES}/v2/apps"), Some(&definition())).await {
        Ok(_) => Ok(()),
        Err(ApiError::Refused { status, .. }) if status == http::StatusCode::CONFLICT => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Ends every app there is, so that no task outlives the cluster.
pub(super) async fn remove_all(api: &Api) -> Result<()> {
    let apps = api.get(&format!("{SERVICES}/v2/apps")).await?;
    for app in apps["apps"].as_array().into_iter().flatten() {
        let id = app["id"].as_str().unwrap_or_default();
        api.json(Method::DELETE, &format!("{SERVICES}/v2/apps{id}?force=true"), None).await?;
    }
    Ok(())
}
