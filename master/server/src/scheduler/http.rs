//! `POST /api/v1/scheduler`. The order of checks is Mesos' own, because clients tell errors apart by it.

use std::sync::Arc;

use bytes::Bytes;
use chapada_listener::{
    Action, Call as HttpCall, HttpResponse, Object, Principal, empty, form_accepted, form_of_body, stream,
    text,
};
use chapada_master_core::{Call, CallRefused, Caller, ErrorCode, StreamId};
use chapada_wire::Media;
use chapada_wire::v1::scheduler as wire;
use futures_util::StreamExt;
use http::header::{ALLOW, HeaderValue};
use http::{Method, StatusCode};

use super::event::error;
use super::parse::{Parsed, Subscribing, parse};
use super::subscription;
use crate::shell::{Led, Shell};

const STREAM_ID: &str = "mesos-stream-id";

/// Answers a call of a scheduler.
pub(crate) async fn handle(shell: Arc<Shell>, call: HttpCall) -> HttpResponse {
    match answer(&shell, call).await {
        Ok(response) | Err(response) => response,
    }
}

async fn answer(shell: &Shell, call: HttpCall) -> Result<HttpResponse, HttpResponse> {
    let led = shell.leading().map_err(|elsewhere| elsewhere.response(&call.path))?;
    if call.method != Method::POST {
        return Err(wrong_method(&call.method));
    }
    let media = form_of_body(&call, &Media::KNOWN)?;
    let body = call.read_body().await.map_err(chapada_listener::BodyError::into_response)?;
    let message: wire::Call =
        media.decode(&body, "Call").map_err(|error| text(StatusCode::BAD_REQUEST, error.to_string()))?;
    let parsed = parse(message).map_err(|invalid| text(StatusCode::BAD_REQUEST, invalid.to_string()))?;
    match parsed {
        Parsed::Subscribe(subscribing) => {
            let accepted = accepted(&call)?;
            subscribe(shell, led, &call, *subscribing, accepted).await
        }
        Parsed::Unacceptable(message) => {
            let media = accepted(&call)?;
            Ok(refused_subscription(media, &message))
        }
        Parsed::UnknownFramework => Err(refusal(&CallRefused::UnknownFramework)),
        Parsed::Call { framework, call: asked } => {
            call.authorise(
                Action::ActAsFramework,
                &Object::Named { kind: "framework", id: framework.as_str() },
            )?;
            let caller = Caller {
                framework,
                stream: call.header(STREAM_ID).map(|id| StreamId(id.into())),
                principal: principal(&call.principal),
            };
            let success = success(&asked);
            match led.core.call(caller, *asked).await {
                Ok(Ok(())) => Ok(empty(success)),
                Ok(Err(refused)) => Err(refusal(&refused)),
                Err(stopped) => Err(text(StatusCode::SERVICE_UNAVAILABLE, stopped.to_string())),
            }
        }
    }
}

/// What the caller accepts, once it is known that it subscribes.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
fn accepted(call: &HttpCall) -> Result<Media, HttpResponse> {
    let media = form_accepted(call, &Media::KNOWN)?;
    if call.headers.contains_key(STREAM_ID) {
        let message = "Subscribe calls should not include the 'Mesos-Stream-Id' header";
        return Err(text(StatusCode::BAD_REQUEST, message));
    }
    Ok(media)
}

async fn subscribe(
    shell: &Shell,
    led: Arc<Led>,
    call: &HttpCall,
    subscribing: Subscribing,
    media: Media,
) -> Result<HttpResponse, HttpResponse> {
    if let Some(id) = &subscribing.framework.id {
        call.authorise(Action::ActAsFramework, &Object::Named { kind: "framework", id: id.as_str() })?;
    }
    let encode = move |event: wire::Event| media.record(&event);
    let opened = subscription::open(shell, led, subscribing, &call.principal, encode)
        .await
        .map_err(|stopped| text(StatusCode::SERVICE_UNAVAILABLE, stopped.to_string()))?;
    let mut response =
        stream(StatusCode::OK, media.content_type(), opened.events.map(Ok::<_, std::io::Error>));
    name_stream(&mut response, &opened.stream.0);
    Ok(response)
}

/// A subscription that cannot be is answered on its own stream, as Mesos does.
fn refused_subscription(media: Media, message: &str) -> HttpResponse {
    let record: Bytes = media.record(&error(ErrorCode::InvalidSubscription, message));
    let records = futures_util::stream::iter([Ok::<_, std::io::Error>(record)]);
    let mut response = stream(StatusCode::OK, media.content_type(), records);
    name_stream(&mut response, &uuid::Uuid::new_v4().to_string());
    response
}

fn name_stream(response: &mut HttpResponse, id: &str) {
    let value = HeaderValue::from_str(id).expect("a UUID is a valid header value");
    response.headers_mut().insert(STREAM_ID, value);
}

fn success(call: &Call) -> StatusCode {
    match call {
        Call::UpdateFramework { .. } => StatusCode::OK,
        _ => StatusCode::ACCEPTED,
    }
}

/// The answer to a refused call.
fn refusal(refused: &CallRefused) -> HttpResponse {
    let status = match refused {
        CallRefused::NotSubscribed => StatusCode::FORBIDDEN,
        CallRefused::UnknownFramework
        | CallRefused::PrincipalDiffers { .. }
        | CallRefused::StreamIdMissing
        | CallRefused::StreamIdDiffers { .. }
        | CallRefused::Invalid(_) => StatusCode::BAD_REQUEST,
    };
    text(status, refused.to_string())
}

pub(crate) fn principal(principal: &Principal) -> Option<chapada_model::Text> {
    match principal {
        Principal::Anonymous => None,
        Principal::Named(name) => Some(name.as_str().into()),
    }
}

/// The 405 of a door that only takes POST.
pub(crate) fn wrong_method(method: &Method) -> HttpResponse {
    let message = format!("405 Method Not Allowed. Expecting one of {{ 'POST' }}, but received '{method}'.");
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, message);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}
