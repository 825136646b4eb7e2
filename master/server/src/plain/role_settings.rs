//! `/quota` and `/weights`: the calls about roles in the form before `/api/v1`, which Mesos deprecates and tools still use.

use std::sync::Arc;

use chapada_listener::{Action, BodyError, Call, HttpResponse, Routes, bytes, text};
use chapada_master_core::{RoleCall, Snapshot};
use chapada_wire::Json;
use chapada_wire::v1::master::call::UpdateWeights;
use chapada_wire::v1::quota::QuotaRequest;
use http::{Method, StatusCode};

use super::endpoints::path_and_query;
use crate::operator::{carry_out, quota_status, remove_quota, set_quota, update_weights, weight_infos};
use crate::shell::Shell;

/// Shows the books.
type View = fn(&Snapshot) -> Vec<u8>;
/// Reads what a call asks for; `Err` is the answer.
type Read = fn(&str, &[u8]) -> Result<RoleCall, HttpResponse>;

/// Adds the routes. What lies below a path is the same, but for the role of a DELETE.
pub(crate) fn role_routes(mut routes: Routes, shell: &Arc<Shell>) -> Routes {
    for pattern in ["/quota/{*rest}", "/master/quota/{*rest}"] {
        routes = view(routes, shell, pattern, |books| quota_status(books).to_json());
        routes = change(routes, shell, (Method::POST, pattern), read_quota);
        routes = change(routes, shell, (Method::DELETE, pattern), removed_quota);
    }
    for pattern in ["/weights/{*rest}", "/master/weights/{*rest}"] {
        routes = view(routes, shell, pattern, weights);
        routes = change(routes, shell, (Method::PUT, pattern), read_weights);
    }
    routes
}

fn view(routes: Routes, shell: &Arc<Shell>, pattern: &'static str, view: View) -> Routes {
    let shell = shell.clone();
    routes.get(pattern, Action::ViewCluster, move |call| {
        let shell = shell.clone();
        async move {
            match shell.books().await {
                Ok((_, books)) => bytes(StatusCode::OK, "application/json", view(&books)),
                Err(elsewhere) => elsewhere.response(&path_and_query(&call)),
            }
        }
    })
}

fn change(
    routes: Routes,
    shell: &Arc<Shell>,
    (method, pattern): (Method, &'static str),
    read: Read,
) -> Routes {
    let shell = shell.clone();
    routes.on(method, pattern, Action::OperateCluster, move |call| {
        let shell = shell.clone();
        async move {
            match asked(&shell, call, read).await {
                Ok(response) | Err(response) => response,
            }
        }
    })
}

async fn asked(shell: &Shell, call: Call, read: Read) -> Result<HttpResponse, HttpResponse> {
    let led = shell.leading().map_err(|elsewhere| elsewhere.response(&path_and_query(&call)))?;
    let body = call.read_body().await.map_err(BodyError::into_response)?;
    carry_out(&led, read(call.param("rest"), &body)?).await
}

#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
fn read_quota(_: &str, body: &[u8]) -> Result<RoleCall, HttpResponse> {
    let request = QuotaRequest::from_json(body);
    let request = request.map_err(|why| {
        text(StatusCode::BAD_REQUEST, format!("Failed to validate set quota request JSON: {why}"))
    })?;
    set_quota(&request)
}

/// The role is what is left of the path: it may have slashes.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
fn removed_quota(role: &str, _: &[u8]) -> Result<RoleCall, HttpResponse> {
    remove_quota(role)
}

/// A list of weights, without a name around it.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
fn read_weights(_: &str, body: &[u8]) -> Result<RoleCall, HttpResponse> {
    let bad = |why: String| {
        text(StatusCode::BAD_REQUEST, format!("Failed to parse update weights request JSON: {why}"))
    };
    // It must be one whole value before it may stand inside another.
    serde_json::from_slice::<Vec<serde::de::IgnoredAny>>(body).map_err(|why| bad(why.to_string()))?;
    let named = [b"{\"weight_infos\":", body, b"}"].concat();
    let update = UpdateWeights::from_json(&named).map_err(|why| bad(why.to_string()))?;
    update_weights(&update.weight_infos)
}

/// What is asked for at one of these paths: to change a weight or quota with a body, to end a quota without one. Nothing at
/// other paths.
pub(crate) fn read_role_setting(path: &str, body: &[u8]) -> Option<Result<RoleCall, StatusCode>> {
    let (door, rest) = path.strip_prefix('/')?.split_once('/').unwrap_or((path.strip_prefix('/')?, ""));
    let read: Read = match door {
        "quota" if body.is_empty() => removed_quota,
        "quota" => read_quota,
        "weights" => read_weights,
        _ => return None,
    };
    Some(read(rest, body).map_err(|answer| answer.status()))
}

fn weights(books: &Snapshot) -> Vec<u8> {
    let infos: Vec<Vec<u8>> = weight_infos(books).iter().map(Json::to_json).collect();
    [b"[".as_slice(), &infos.join(&b','), b"]"].concat()
}
