//! The operator API of an agent, `POST /api/v1`, in JSON and protobuf: the order of checks, and who answers which call.

mod attach;
mod containers;
mod files;
mod images;
mod launch;
mod records;
mod session;
mod target;
mod view;

use std::sync::Arc;
use std::time::Duration;

use chapada_listener::{
    Action, BodyError, Call as HttpCall, HttpResponse, Object, bytes, empty, form_accepted, form_of_body,
    text,
};
use chapada_wire::Media;
use chapada_wire::v1;
use chapada_wire::v1::agent::call::Type;
use chapada_wire::v1::agent::response::{self, Type as Answer};
use chapada_wire::v1::agent::{Call, Response};
use http::{Method, StatusCode};

use super::{Api, executor, flags_of, insiders, metrics};

/// What clients take for the version of the API. Source: the Mesos whose API this is.
const API_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Answers a call of an operator.
pub(super) async fn handle(api: Arc<Api>, call: HttpCall) -> HttpResponse {
    match answer(&api, &call).await {
        Ok(response) => response,
        Err(refusal) => *refusal,
    }
}

/// An answer that is no success.
pub(super) type Refusal = Box<HttpResponse>;

async fn answer(api: &Arc<Api>, call: &HttpCall) -> Result<HttpResponse, Refusal> {
    if call.method != Method::POST {
        return Err(Box::new(executor::wrong_method(&call.method)));
    }
    if records::are_sent(call) {
        return Box::pin(attach::input(api, call)).await;
    }
    let media = form_of_body(call, &Media::KNOWN).map_err(Box::new)?;
    let body = call.read_body().await.map_err(BodyError::into_response).map_err(Box::new)?;
    let unreadable = |error: chapada_wire::Unreadable| refusal(StatusCode::BAD_REQUEST, error.to_string());
    let asked: Call = media.decode(&body, "Call").map_err(unreadable)?;
    let kind = asked.r#type.and_then(|number| Type::try_from(number).ok());
    let kind = kind.filter(|kind| *kind != Type::Unknown);
    let kind = kind.ok_or_else(|| invalid("Expecting 'type' to be present"))?;
    match kind {
        Type::LaunchNestedContainerSession => {
            use_containers(api, call, &asked).await?;
            return session::open(api, call, &asked).await;
        }
        Type::AttachContainerOutput => {
            use_containers(api, call, &asked).await?;
            return attach::output(api, call, &asked).await;
        }
        Type::AttachContainerInput => {
            let message = "ATTACH_CONTAINER_INPUT is a stream: send it as 'application/recordio' with 'Message-Content-Type'";
            return Err(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, message.to_owned()));
        }
        _ => {}
    }
    let accepted = form_accepted(call, &Media::KNOWN).map_err(Box::new)?;
    let object = Object::Named { kind: "call", id: kind.as_str_name() };
    call.authorise(action_of(kind), &object).map_err(Box::new)?;
    insiders::refuse_but_executors(&api.means, call, &asked, action_of(kind)).await?;
    if matches!(kind, Type::LaunchContainer | Type::LaunchNestedContainer) {
        return launch::open(api, kind, &asked).await;
    }
    match kind {
        Type::PruneImages => return images::prune(api, &asked).await,
        Type::SetLoggingLevel => return set_logging_level(api, &asked),
        _ => {}
    }
    if let Some(done) = containers::act(api, kind, &asked, accepted).await {
        return done;
    }
    let response = read(api, kind, &asked).await?;
    Ok(bytes(StatusCode::OK, accepted.content_type(), accepted.encode(&response)))
}

async fn use_containers(api: &Api, call: &HttpCall, asked: &Call) -> Result<(), Refusal> {
    let object = Object::Named { kind: "call", id: asked.r#type().as_str_name() };
    call.authorise(Action::UseContainers, &object).map_err(Box::new)?;
    insiders::refuse_but_executors(&api.means, call, asked, Action::UseContainers).await
}

fn action_of(kind: Type) -> Action {
    match kind {
        Type::GetHealth | Type::GetVersion => Action::ViewHealth,
        Type::GetFlags | Type::GetLoggingLevel => Action::ViewFlags,
        Type::GetMetrics => Action::ViewMetrics,
        Type::ListFiles | Type::ReadFile => Action::AccessSandbox,
        Type::Unknown
        | Type::GetState
        | Type::GetContainers
        | Type::GetFrameworks
        | Type::GetExecutors
        | Type::GetOperations
        | Type::GetTasks
        | Type::GetAgent
        | Type::GetResourceProviders => Action::ViewCluster,
        Type::LaunchNestedContainer
        | Type::WaitNestedContainer
        | Type::KillNestedContainer
        | Type::RemoveNestedContainer
        | Type::LaunchNestedContainerSession
        | Type::AttachContainerInput
        | Type::AttachContainerOutput
        | Type::LaunchContainer
        | Type::WaitContainer
        | Type::KillContainer
        | Type::RemoveContainer => Action::UseContainers,
        Type::SetLoggingLevel
        | Type::AddResourceProviderConfig
        | Type::UpdateResourceProviderConfig
        | Type::RemoveResourceProviderConfig
        | Type::MarkResourceProviderGone
        | Type::PruneImages => Action::OperateCluster,
    }
}

fn refusal(status: StatusCode, message: String) -> Refusal {
    Box::new(text(status, message))
}

fn invalid(message: &str) -> Refusal {
    refusal(StatusCode::BAD_REQUEST, format!("Failed to validate agent::Call: {message}"))
}

fn bare(kind: Answer) -> Response {
    Response { r#type: Some(kind.into()), ..Response::default() }
}

async fn read(api: &Arc<Api>, kind: Type, asked: &Call) -> Result<Response, Refusal> {
    Ok(match kind {
        Type::GetHealth => Response {
            get_health: Some(response::GetHealth { healthy: Some(true) }),
            ..bare(Answer::GetHealth)
        },
        Type::GetVersion => {
            let version = v1::VersionInfo { version: Some(API_VERSION.to_owned()), ..Default::default() };
            let get_version = Some(response::GetVersion { version_info: Some(version) });
            Response { get_version, ..bare(Answer::GetVersion) }
        }
        Type::GetFlags => Response { get_flags: Some(flags(api)), ..bare(Answer::GetFlags) },
        Type::GetMetrics => {
            let view = api.view().await.map_err(Box::new)?;
            let metric = |(name, value)| v1::Metric { name: Some(name), value: Some(value) };
            let metrics = metrics::measure(api, &view).into_iter().map(metric).collect();
            Response { get_metrics: Some(response::GetMetrics { metrics }), ..bare(Answer::GetMetrics) }
        }
        Type::GetLoggingLevel => {
            let get_logging_level = Some(response::GetLoggingLevel { level: Some(api.logging.level()) });
            Response { get_logging_level, ..bare(Answer::GetLoggingLevel) }
        }
        Type::ListFiles => files::list(api, asked).await?,
        Type::ReadFile => files::read(api, asked).await?,
        Type::GetAgent => {
            let view = api.view().await.map_err(Box::new)?;
            Response { get_agent: Some(view::agent(api, &view)), ..bare(Answer::GetAgent) }
        }
        Type::GetFrameworks | Type::GetExecutors | Type::GetTasks | Type::GetOperations | Type::GetState => {
            let view = api.view().await.map_err(Box::new)?;
            view::answer(api, kind, &view, &api.past(&view))
        }
        Type::GetContainers => containers::list(api, asked).await?,
        Type::GetResourceProviders => Response {
            get_resource_providers: Some(response::GetResourceProviders::default()),
            ..bare(Answer::GetResourceProviders)
        },
        other => {
            let message =
                format!("{} is not there: this agent has no resource providers", other.as_str_name());
            return Err(refusal(StatusCode::NOT_IMPLEMENTED, message));
        }
    })
}

fn set_logging_level(api: &Api, asked: &Call) -> Result<HttpResponse, Refusal> {
    let set = asked.set_logging_level.as_ref();
    let set = set.ok_or_else(|| invalid("Expecting 'set_logging_level' to be present"))?;
    let nanoseconds = set.duration.as_ref().and_then(|duration| duration.nanoseconds).unwrap_or_default();
    let nanoseconds = u64::try_from(nanoseconds)
        .map_err(|_| invalid("'set_logging_level.duration' must not be negative"))?;
    let done = api.logging.set(set.level.unwrap_or_default(), Duration::from_nanos(nanoseconds));
    done.map(|()| empty(StatusCode::OK)).map_err(|why| refusal(StatusCode::NOT_IMPLEMENTED, why))
}

fn flags(api: &Api) -> response::GetFlags {
    let flags = flags_of(&api.config);
    let flags = flags.as_object().into_iter().flatten();
    let flag = |(name, value): (&String, &serde_json::Value)| v1::Flag {
        name: Some(name.clone()),
        value: value.as_str().map(str::to_owned),
    };
    response::GetFlags { flags: flags.map(flag).collect() }
}
