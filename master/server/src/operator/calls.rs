//! `POST /api/v1`: the order of checks, and who answers which call.

use std::sync::Arc;
use std::time::Duration;

use chapada_listener::{
    Action, BodyError, Call as HttpCall, HttpResponse, Object, Principal, bytes, empty, form_accepted,
    form_of_body, text,
};
use chapada_master_core::Snapshot;
use chapada_wire::Media;
use chapada_wire::v1::master::call::Type;
use chapada_wire::v1::master::response::{self, Type as Answer};
use chapada_wire::v1::master::{Call, Response};
use chapada_wire::v1::{self};
use http::{Method, StatusCode};

use super::{agents, files, maintenance, operate, roles, state, subscribe, view};
use crate::shell::{API_VERSION, Led, Shell};

/// Answers a call of an operator.
pub(crate) async fn handle(shell: Arc<Shell>, call: HttpCall) -> HttpResponse {
    match answer(&shell, call).await {
        Ok(response) | Err(response) => response,
    }
}

async fn answer(shell: &Arc<Shell>, call: HttpCall) -> Result<HttpResponse, HttpResponse> {
    let led = shell.reading().map_err(|elsewhere| elsewhere.response(&call.path))?;
    if call.method != Method::POST {
        return Err(crate::scheduler::wrong_method(&call.method));
    }
    let media = form_of_body(&call, &Media::KNOWN)?;
    let body = call.read_body().await.map_err(BodyError::into_response)?;
    let asked: Call =
        media.decode(&body, "Call").map_err(|error| text(StatusCode::BAD_REQUEST, error.to_string()))?;
    let kind =
        asked.r#type.and_then(|number| Type::try_from(number).ok()).filter(|kind| *kind != Type::Unknown);
    let kind = kind.ok_or_else(|| invalid("Expecting 'type' to be present"))?;
    let accepted = form_accepted(&call, &Media::KNOWN)?;
    if is_change(kind) {
        call.authorise(Action::OperateCluster, &Object::Named { kind: "call", id: kind.as_str_name() })?;
        let led = shell.leading().map_err(|elsewhere| elsewhere.response(&call.path))?;
        return change(shell, &led, kind, asked, accepted, &call.principal).await;
    }
    if kind == Type::Subscribe {
        call.authorise(Action::ViewEvents, &Object::Named { kind: "call", id: kind.as_str_name() })?;
        return Ok(subscribe::open(shell.clone(), led, asked.subscribe, accepted, call.hang_up.clone()).await);
    }
    let (led, books) = shell.books().await.map_err(|elsewhere| elsewhere.response(&call.path))?;
    match state::answer(kind, &books, accepted) {
        Some(large) => Ok(large.response().await),
        None => read(shell, &led, &books, kind, asked, accepted).await,
    }
}

pub(super) fn invalid(message: &str) -> HttpResponse {
    text(StatusCode::BAD_REQUEST, format!("Failed to validate master::Call: {message}"))
}

fn is_change(kind: Type) -> bool {
    kind == Type::SetLoggingLevel
        || operate::is_change(kind)
        || roles::is_change(kind)
        || maintenance::is_change(kind)
        || agents::is_change(kind)
}

async fn read(
    shell: &Shell,
    led: &Led,
    books: &Snapshot,
    kind: Type,
    asked: Call,
    media: Media,
) -> Result<HttpResponse, HttpResponse> {
    let response = match kind {
        Type::GetHealth => Response {
            get_health: Some(response::GetHealth { healthy: Some(true) }),
            ..bare(Answer::GetHealth)
        },
        Type::GetVersion => {
            let version =
                v1::VersionInfo { version: Some(API_VERSION.to_owned()), ..v1::VersionInfo::default() };
            let version_info = Some(version);
            Response { get_version: Some(response::GetVersion { version_info }), ..bare(Answer::GetVersion) }
        }
        Type::GetFlags => {
            let flag = |(name, value)| v1::Flag { name: Some(name), value: Some(value) };
            let flags = shell.config.flags().into_iter().map(flag).collect();
            Response { get_flags: Some(response::GetFlags { flags }), ..bare(Answer::GetFlags) }
        }
        Type::GetMetrics => {
            let metric = |(name, value)| v1::Metric { name: Some(name), value: Some(value) };
            let metrics = crate::metrics::snapshot(shell).await.into_iter().map(metric).collect();
            Response { get_metrics: Some(response::GetMetrics { metrics }), ..bare(Answer::GetMetrics) }
        }
        Type::GetRoles => Response { get_roles: Some(view::roles(books)), ..bare(Answer::GetRoles) },
        Type::GetWeights => Response { get_weights: roles::weights(books), ..bare(Answer::GetWeights) },
        Type::GetQuota => Response { get_quota: Some(roles::quota(books)), ..bare(Answer::GetQuota) },
        Type::GetMaster => {
            Response { get_master: Some(view::master(led, shell.started)), ..bare(Answer::GetMaster) }
        }
        Type::GetLoggingLevel => {
            let level = Some(shell.logging.level());
            let get_logging_level = Some(response::GetLoggingLevel { level });
            Response { get_logging_level, ..bare(Answer::GetLoggingLevel) }
        }
        Type::ListFiles => files::list(&asked)?,
        Type::ReadFile => return Err(files::read(&asked)),
        Type::GetMaintenanceSchedule => {
            let get_maintenance_schedule =
                Some(response::GetMaintenanceSchedule { schedule: Some(maintenance::schedule(books)) });
            Response { get_maintenance_schedule, ..bare(Answer::GetMaintenanceSchedule) }
        }
        Type::GetMaintenanceStatus => {
            let get_maintenance_status =
                Some(response::GetMaintenanceStatus { status: Some(maintenance::status(books)) });
            Response { get_maintenance_status, ..bare(Answer::GetMaintenanceStatus) }
        }
        other => {
            let message = format!("{} is not there yet", other.as_str_name());
            return Err(text(StatusCode::NOT_IMPLEMENTED, message));
        }
    };
    Ok(bytes(StatusCode::OK, media.content_type(), media.encode(&response)))
}

pub(super) fn bare(kind: Answer) -> Response {
    Response { r#type: Some(kind.into()), ..Response::default() }
}

async fn change(
    shell: &Shell,
    led: &Led,
    kind: Type,
    asked: Call,
    accepted: Media,
    by: &Principal,
) -> Result<HttpResponse, HttpResponse> {
    match kind {
        Type::SetLoggingLevel => set_logging_level(shell, &asked),
        kind if roles::is_change(kind) => roles::change(led, kind, asked).await,
        kind if maintenance::is_change(kind) => maintenance::change(led, kind, asked).await,
        kind if agents::is_change(kind) => agents::change(led, kind, asked, accepted).await,
        kind => operate::change(led, kind, asked, by).await,
    }
}

#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
fn set_logging_level(shell: &Shell, asked: &Call) -> Result<HttpResponse, HttpResponse> {
    let set = asked.set_logging_level.as_ref();
    let set = set.ok_or_else(|| invalid("Expecting 'set_logging_level' to be present"))?;
    let nanoseconds = set.duration.as_ref().and_then(|duration| duration.nanoseconds).unwrap_or_default();
    let nanoseconds = u64::try_from(nanoseconds)
        .map_err(|_| invalid("'set_logging_level.duration' must not be negative"))?;
    let done = shell.logging.set(set.level.unwrap_or_default(), Duration::from_nanos(nanoseconds));
    match done {
        Ok(()) => Ok(empty(StatusCode::OK)),
        Err(why) => Err(text(StatusCode::NOT_IMPLEMENTED, why)),
    }
}
