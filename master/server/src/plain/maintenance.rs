//! `/maintenance/schedule`, `/maintenance/status`, `/machine/down` and `/machine/up`: maintenance in the form before `/api/v1`.

use std::sync::Arc;

use chapada_listener::{Action, BodyError, Call, HttpResponse, Routes, text};
use chapada_master_core::MaintenanceCall;
use chapada_wire::Json;
use chapada_wire::v1::maintenance::Schedule;
use chapada_wire::v1::master::call::{StartMaintenance, StopMaintenance};
use http::{Method, StatusCode};

use super::endpoints::path_and_query;
use crate::operator::maintenance;
use crate::shell::Shell;

/// Reads what a body asks for; `Err` is the answer.
type Read = fn(&[u8]) -> Result<MaintenanceCall, HttpResponse>;

const CHANGES: [(&str, Read); 6] = [
    ("/maintenance/schedule", schedule),
    ("/master/maintenance/schedule", schedule),
    ("/machine/down", down),
    ("/master/machine/down", down),
    ("/machine/up", up),
    ("/master/machine/up", up),
];

/// Adds the routes that change something; those that show something are among the other pages.
pub(crate) fn maintenance_routes(mut routes: Routes, shell: &Arc<Shell>) -> Routes {
    for (pattern, read) in CHANGES {
        let shell = shell.clone();
        routes = routes.on(Method::POST, pattern, Action::OperateCluster, move |call| {
            let shell = shell.clone();
            async move {
                match asked(&shell, call, read).await {
                    Ok(response) | Err(response) => response,
                }
            }
        });
    }
    routes
}

async fn asked(shell: &Shell, call: Call, read: Read) -> Result<HttpResponse, HttpResponse> {
    let led = shell.leading().map_err(|elsewhere| elsewhere.response(&path_and_query(&call)))?;
    let body = call.read_body().await.map_err(BodyError::into_response)?;
    maintenance::carry_out(&led, read(&body)?).await
}

#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
fn schedule(body: &[u8]) -> Result<MaintenanceCall, HttpResponse> {
    let schedule = Schedule::from_json(body).map_err(|why| unreadable(&why.to_string()))?;
    maintenance::update_schedule(&schedule)
}

#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
fn down(body: &[u8]) -> Result<MaintenanceCall, HttpResponse> {
    let named = StartMaintenance::from_json(&list(body)?).map_err(|why| unreadable(&why.to_string()))?;
    maintenance::start(&named.machines)
}

#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
fn up(body: &[u8]) -> Result<MaintenanceCall, HttpResponse> {
    let named = StopMaintenance::from_json(&list(body)?).map_err(|why| unreadable(&why.to_string()))?;
    maintenance::stop(&named.machines)
}

/// A list of machines under its name. It must be one whole value before it may stand inside another.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
fn list(body: &[u8]) -> Result<Vec<u8>, HttpResponse> {
    let whole = serde_json::from_slice::<Vec<serde::de::IgnoredAny>>(body);
    whole.map_err(|why| unreadable(&format!("a list of machines is wanted: {why}")))?;
    Ok([b"{\"machines\":", body, b"}"].concat())
}

fn unreadable(why: &str) -> HttpResponse {
    text(StatusCode::BAD_REQUEST, format!("Failed to parse JSON: {why}"))
}
