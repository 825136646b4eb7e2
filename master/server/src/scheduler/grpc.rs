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
use crate::core_loop::{Core, Stopped, Verdict};
use crate::shell::Shell;

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
        tokio::spawn(later_calls(led.core.clone(), led.ended.clone(), calls, stream, caller, ends));
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
        let verdict = handed_in(&led.core, request.into_inner(), stream, &caller).await?;
        judged(verdict).await?;
        Ok(Response::new(CallAccepted {}))
    }
}

/// Calls that follow on the stream of a subscription. There is nowhere to answer them, so a refusal goes to the log. When no more
/// can be read (one was too large, or no call at all) the subscription ends. Every call that was read is handed in, also when the
/// subscription has ended meanwhile; nobody waits for its verdict then.
async fn later_calls(
    core: Core,
    ended: CancellationToken,
    mut calls: impl Stream<Item = Result<wire::Call, Status>> + Unpin,
    stream: StreamId,
    caller: Authority,
    (deaf, over): (CancellationToken, CancellationToken),
) {
    loop {
        let call = tokio::select! {
            call = calls.next() => call,
            () = ended.cancelled() => return,
        };
        let made = match call {
            Some(Ok(call)) => match handed_in(&core, call, Some(stream.clone()), &caller).await {
                Ok(verdict) => over.run_until_cancelled(judged(verdict)).await.unwrap_or(Ok(())),
                Err(status) => Err(status),
            },
            None => return,
            Some(Err(status)) => {
                tracing::warn!(stream = %stream.0, why = status.message(), "cannot read the calls of a scheduler");
                return deaf.cancel();
            }
        };
        if let Err(status) = made {
            tracing::warn!(stream = %stream.0, why = status.message(), "refused a call");
        }
    }
}

/// Hands a call in; waits for room.
async fn handed_in(
    core: &Core,
    call: wire::Call,
    stream: Option<StreamId>,
    caller: &Authority,
) -> Result<Verdict, Status> {
    match checked(call)? {
        Parsed::Subscribe(_) | Parsed::Unacceptable(_) => {
            Err(Status::invalid_argument("SUBSCRIBE must be the first call of Connect"))
        }
        Parsed::UnknownFramework => Err(refusal(&CallRefused::UnknownFramework)),
        Parsed::Call { framework, call } => {
            caller.check(&framework)?;
            let caller = Caller { framework, stream, principal: principal(&caller.principal) };
            core.hand_in(caller, *call).await.map_err(|stopped| Status::unavailable(stopped.to_string()))
        }
    }
}

/// Waits for what became of a call.
async fn judged(verdict: Verdict) -> Result<(), Status> {
    let verdict = verdict.await.map_err(|_| Status::unavailable(Stopped.to_string()))?;
    verdict.map_err(|refused| refusal(&refused))
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

#[cfg(test)]
mod tests {
    use chapada_wire::v1;
    use chapada_wire::v1::scheduler::call::{Kill, Type};
    use futures_util::{FutureExt, stream};

    use super::*;
    use crate::core_loop::Input;

    fn kill(task: &str) -> wire::Call {
        let task_id = v1::TaskId { value: Some(task.to_owned()) };
        wire::Call {
            framework_id: Some(v1::FrameworkId { value: Some("f".to_owned()) }),
            r#type: Some(Type::Kill.into()),
            kill: Some(Kill { task_id: Some(task_id), ..Kill::default() }),
            ..wire::Call::default()
        }
    }

    /// The task that is to be killed by the call that was handed in first, and who waits for the verdict.
    fn taken(
        inputs: &mut tokio::sync::mpsc::Receiver<Input>,
    ) -> (String, tokio::sync::oneshot::Sender<Result<(), CallRefused>>) {
        match inputs.try_recv() {
            Ok(Input::Call { call, reply, .. }) => match *call {
                chapada_master_core::Call::Kill { task, .. } => (task.to_string(), reply),
                call => panic!("{call:?}"),
            },
            _ => panic!("no call was handed in"),
        }
    }

    #[tokio::test]
    async fn calls_that_were_read_are_handed_in_though_the_stream_ends_while_the_loop_has_no_room() {
        let (core, mut inputs) = Core::without_loop(1);
        let calls = stream::iter([Ok(kill("a")), Ok(kill("b")), Ok(kill("c"))]);
        let caller = Authority { principal: Principal::Anonymous, policy: Arc::new(Policy::allow_all()) };
        let (ended, deaf, over) = Default::default();
        let ends: (CancellationToken, CancellationToken) = (deaf, over);
        let over = ends.1.clone();
        let mut calling =
            Box::pin(later_calls(core.clone(), ended, calls, StreamId("s".into()), caller, ends));
        assert!(calling.as_mut().now_or_never().is_none(), "it waits for the verdict on the first");
        let (first, _verdict) = taken(&mut inputs);
        assert_eq!(first, "a");
        let full = Input::Settle(tokio::sync::oneshot::channel().0);
        core.send(full).now_or_never().expect("there is room").expect("it is open");
        over.cancel();
        assert!(calling.as_mut().now_or_never().is_none(), "it waits for room");
        assert!(matches!(inputs.try_recv(), Ok(Input::Settle(_))));
        assert!(calling.as_mut().now_or_never().is_none(), "it waits for room again");
        assert_eq!(taken(&mut inputs).0, "b");
        assert!(calling.as_mut().now_or_never().is_some(), "there are no more calls");
        assert_eq!(taken(&mut inputs).0, "c");
    }
}
