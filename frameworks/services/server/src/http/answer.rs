//! Marathon's error bodies, and what is common to all answers.

use chapada_listener::{Call, HttpResponse, json};
use chapada_services_core::{DeploymentId, FieldError, Refusal, Reply};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::handle::Unavailable;
use crate::render;

/// What a handler gives: the second is an answer too, one that ends it early.
pub(crate) type Answer = Result<HttpResponse, HttpResponse>;

/// 200 with a body.
pub(crate) fn ok(body: &Value) -> Answer {
    Ok(json(StatusCode::OK, body))
}

/// An error with a sentence.
pub(crate) fn error(status: StatusCode, message: impl std::fmt::Display) -> HttpResponse {
    json(status, &json!({"message": message.to_string()}))
}

fn detailed(status: StatusCode, message: &str, details: &[FieldError]) -> HttpResponse {
    json(status, &json!({"message": message, "details": details}))
}

/// One wrong field.
pub(crate) fn invalid(path: &str, why: &str) -> HttpResponse {
    refusal(&Refusal::Invalid(vec![FieldError::new(path, why)]))
}

/// The status and body of each refusal.
pub(crate) fn refusal(refusal: &Refusal) -> HttpResponse {
    let message = refusal.to_string();
    match refusal {
        Refusal::WrongType(details) | Refusal::Invalid(details) => {
            detailed(StatusCode::UNPROCESSABLE_ENTITY, &message, details)
        }
        Refusal::GroupExists(_) => error(StatusCode::CONFLICT, message),
        Refusal::NoGroup(_) => error(StatusCode::NOT_FOUND, message),
        Refusal::Exists { .. } => error(StatusCode::CONFLICT, message),
        Refusal::OtherPod => error(StatusCode::BAD_REQUEST, message),
        Refusal::Locked(deployments) => {
            let deployments: Vec<Value> = deployments.iter().map(|id| json!({"id": id})).collect();
            json(StatusCode::CONFLICT, &json!({"message": message, "deployments": deployments}))
        }
        Refusal::NoApp(_)
        | Refusal::NoPod(_)
        | Refusal::NoInstance(_)
        | Refusal::NoVersion(..)
        | Refusal::NoTask(_)
        | Refusal::NoDeployment(_)
        | Refusal::NotQueued(_) => error(StatusCode::NOT_FOUND, message),
        Refusal::NotNow(_) => error(StatusCode::CONFLICT, message),
        Refusal::Denied(_) | Refusal::TooMany(_) => error(StatusCode::FORBIDDEN, message),
    }
}

/// 503 with the reason.
pub(crate) fn unavailable(why: Unavailable) -> HttpResponse {
    error(StatusCode::SERVICE_UNAVAILABLE, why)
}

/// A refusal that no handler made.
pub(crate) fn refused(status: StatusCode, why: String) -> HttpResponse {
    match status {
        StatusCode::NOT_FOUND => error(status, "URI not found"),
        _ => error(status, why),
    }
}

/// The answer to a command that was taken.
pub(crate) fn reply(reply: Reply) -> HttpResponse {
    match reply {
        Reply::Created { app, deployment } => {
            let mut response = json(StatusCode::CREATED, &render::apps::created(&app, deployment));
            set_location(&mut response, &format!("/v2/apps{}", app.definition.id));
            with_deployment(response, deployment)
        }
        Reply::Deployed { deployment, version, created } => {
            let status = if created.is_empty() { StatusCode::OK } else { StatusCode::CREATED };
            let mut response = json(status, &json!({"version": version, "deploymentId": deployment}));
            if let [app] = created.as_slice() {
                set_location(&mut response, &format!("/v2/apps{app}"));
            }
            with_deployment(response, deployment)
        }
        Reply::GroupDeployed { deployment, version, created } => {
            let status = if created.is_some() { StatusCode::CREATED } else { StatusCode::OK };
            let mut response = json(status, &json!({"version": version, "deploymentId": deployment}));
            if let Some(group) = created {
                set_location(&mut response, &format!("/v2/groups{group}"));
            }
            with_deployment(response, deployment)
        }
        Reply::Pod { app, deployment } => {
            with_deployment(json(StatusCode::OK, &render::apps::definition(&app)), deployment)
        }
        Reply::KilledInstances(_) | Reply::Killed(_) | Reply::Done => json(StatusCode::OK, &json!({})),
    }
}

fn set_location(response: &mut HttpResponse, path: &str) {
    if let Ok(value) = HeaderValue::from_str(path) {
        response.headers_mut().insert(LOCATION, value);
    }
}

pub(crate) fn with_deployment(mut response: HttpResponse, deployment: DeploymentId) -> HttpResponse {
    if let Ok(value) = HeaderValue::from_str(&deployment.to_string()) {
        response.headers_mut().insert(HeaderName::from_static("marathon-deployment-id"), value);
    }
    response
}

/// A change of state needs a content type that no web form can send. Without a body it may go without one when no browser sent
/// it.
pub(crate) fn check_content_type(call: &Call) -> Result<(), HttpResponse> {
    if !matches!(call.method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE) {
        return Ok(());
    }
    let given = call.header(CONTENT_TYPE.as_str()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    let from_browser = call.header("origin").is_some() || call.header("sec-fetch-site").is_some();
    let has_body = call.body.announced().is_some_and(|length| length > 0);
    let is_bare = given.is_empty() && !has_body && !from_browser;
    if is_bare || essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the Content-Type must be application/json"))
}
