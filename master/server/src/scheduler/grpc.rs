//! `chapada.v1.scheduler.SchedulerService`: the same calls and events, one stream each way.

use std::pin::Pin;
use std::sync::Arc;

use chapada_listener::{Action, Decision, Object, Policy, Principal};
use chapada_master_core::{CallRefused, Caller, ErrorCode, StreamId};
use chapada_model::FrameworkId;
use chapada_wire::check_required;
use chapada_wire::v1::scheduler::scheduler_service_server::SchedulerService;
use chapada_wire::v1::scheduler::{self as wire, CallAccepted};
use futures_util::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::event::error;
use super::http::principal;
use super::parse::{Parsed, parse};
use super::subscription;
use crate::shell::{Led, Shell};

const STREAM_ID: &str = "mesos-stream-id";

/// Serves schedulers over gRPC.
pub(crate) struct SchedulerGrpc {
    pub(crate) shell: Arc<Shell>,
}

type Events = Pin<Box<dyn Stream<Item = Result<wire::Event, Status>> + Send>>;

#[tonic::async_trait]
impl SchedulerService for SchedulerGrpc {
    type ConnectStream = Events;

    async fn connect(&self, request: Request<Streaming<wire::Call>>) -> Result<Response<Events>, Status> {
        let caller = Authority::of(&request)?;
        let led = self.shell.leading().map_err(|elsewhere| elsewhere.status())?;
        let mut calls = request.into_inner();
        let first = calls
            .message()
            .await?
            .ok_or_else(|| Status::invalid_argument("the first call must be SUBSCRIBE"))?;
        let subscribing = match checked(first)? {
            Parsed::Subscribe(subscribing) => *subscribing,
            Parsed::Unacceptable(message) => {
                let events: Events = Box::pin(futures_util::stream::iter([Ok(error(
                    ErrorCode::InvalidSubscription,
                    &message,
                ))]));
                return Ok(Response::new(events));
            }
            Parsed::Call { .. } | Parsed::UnknownFramework => {
                return Err(Status::invalid_argument("the first call must be SUBSCRIBE"));
            }
        };
        if let Some(id) = &subscribing.framework.id {
            caller.check(id)?;
        }
        let opened =
            subscription::open(&self.shell, led.clone(), subscribing, &caller.principal, |event| event)
                .await
                .map_err(|stopped| Status::unavailable(stopped.to_string()))?;
        let (stream, ends) = (opened.stream.clone(), (opened.deaf, opened.over));
        tokio::spawn(later_calls(led, calls, stream, caller, ends));
        let events: Events = Box::pin(opened.events.map(Ok));
        let mut response = Response::new(events);
        let id = opened.stream.0.parse().expect("a UUID is valid metadata");
        response.metadata_mut().insert(STREAM_ID, id);
        Ok(response)
    }

    async fn send(&self, request: Request<wire::Call>) -> Result<Response<CallAccepted>, Status> {
        let caller = Authority::of(&request)?;
        let led = self.shell.leading().map_err(|elsewhere| elsewhere.status())?;
        let stream =
            request.metadata().get(STREAM_ID).and_then(|id| id.to_str().ok()).map(|id| StreamId(id.into()));
        make(&led, request.into_inner(), stream, &caller).await?;
        Ok(Response::new(CallAccepted {}))
    }
}

/// Calls that follow on the stream of a subscription. There is nowhere to answer them, so a refusal goes to the log. When no more
/// can be read (one was too large, or no call at all) the subscription ends.
async fn later_calls(
    led: Arc<Led>,
    mut calls: Streaming<wire::Call>,
    stream: StreamId,
    caller: Authority,
    (deaf, over): (CancellationToken, CancellationToken),
) {
    loop {
        let call = tokio::select! {
            call = calls.message() => call,
            () = led.ended.cancelled() => return,
        };
        match call {
            Ok(Some(call)) => {
                tokio::select! {
                    biased; // the call first: it is handed in at once when there is room, whoever waits for the verdict
                    verdict = make(&led, call, Some(stream.clone()), &caller) => if let Err(status) = verdict {
                        tracing::warn!(stream = %stream.0, why = status.message(), "refused a call");
                    },
                    () = over.cancelled() => {}
                }
            }
            Ok(None) => return,
            Err(status) => {
                tracing::warn!(stream = %stream.0, why = status.message(), "cannot read the calls of a scheduler");
                return deaf.cancel();
            }
        }
    }
}

async fn make(
    led: &Led,
    call: wire::Call,
    stream: Option<StreamId>,
    caller: &Authority,
) -> Result<(), Status> {
    match checked(call)? {
        Parsed::Subscribe(_) | Parsed::Unacceptable(_) => {
            Err(Status::invalid_argument("SUBSCRIBE must be the first call of Connect"))
        }
        Parsed::UnknownFramework => Err(refusal(&CallRefused::UnknownFramework)),
        Parsed::Call { framework, call } => {
            caller.check(&framework)?;
            let caller = Caller { framework, stream, principal: principal(&caller.principal) };
            let verdict = led.core.call(caller, *call).await;
            verdict
                .map_err(|stopped| Status::unavailable(stopped.to_string()))?
                .map_err(|refused| refusal(&refused))
        }
    }
}

fn checked(call: wire::Call) -> Result<Parsed, Status> {
    check_required(&call).map_err(|error| Status::invalid_argument(error.to_string()))?;
    parse(call).map_err(|invalid| Status::invalid_argument(invalid.to_string()))
}

fn refusal(refused: &CallRefused) -> Status {
    let message = refused.to_string();
    match refused {
        CallRefused::NotSubscribed => Status::failed_precondition(message),
        CallRefused::UnknownFramework => Status::not_found(message),
        CallRefused::PrincipalDiffers { .. } => Status::permission_denied(message),
        CallRefused::StreamIdMissing | CallRefused::StreamIdDiffers { .. } => {
            Status::failed_precondition(message)
        }
        CallRefused::Invalid(_) => Status::invalid_argument(message),
    }
}

/// Who calls, and the rules for what they may do.
struct Authority {
    principal: Principal,
    policy: Arc<Policy>,
}

impl Authority {
    fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let missing = || Status::internal("the listener did not say who called");
        let principal = request.extensions().get::<Principal>().cloned().ok_or_else(missing)?;
        let policy = request.extensions().get::<Arc<Policy>>().cloned().ok_or_else(missing)?;
        Ok(Self { principal, policy })
    }

    /// Asks whether the caller may act as this framework.
    fn check(&self, framework: &FrameworkId) -> Result<(), Status> {
        let object = Object::Named { kind: "framework", id: framework.as_str() };
        match self.policy.authorise(&self.principal, Action::ActAsFramework, &object) {
            Decision::Allow => Ok(()),
            Decision::Deny(why) => Err(Status::permission_denied(why)),
        }
    }
}
