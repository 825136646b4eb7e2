//! A fake of the master's scheduler service, for tests of the SDK alone: the test reads every call and writes every event. It keeps
//! no books and knows no agents. The system tests run the same schedulers against the real master.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use chapada_sdk::wire;
use chapada_sdk::wire::scheduler::call::Type as CallType;
use chapada_sdk::wire::scheduler::event::Type as EventType;
use chapada_sdk::wire::scheduler::scheduler_service_server::{SchedulerService, SchedulerServiceServer};
use chapada_sdk::wire::scheduler::{Call, CallAccepted, Event, event};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Request, Response, Status, Streaming};

use super::soon;

/// Listens on a free port of loopback until dropped.
pub(crate) struct ScriptedMaster {
    address: SocketAddr,
    subscriptions: mpsc::Receiver<Subscription>,
    refused: Arc<AtomicU32>,
    _stop: DropGuard,
}

/// One scheduler's connection.
pub(crate) struct Subscription {
    calls: Streaming<Call>,
    events: mpsc::Sender<Result<Event, Status>>,
}

struct Service {
    subscriptions: mpsc::Sender<Subscription>,
    /// Who leads instead.
    elsewhere: Option<SocketAddr>,
    /// How many connections it refuses because it cannot serve yet,
    refusing: u32,
    /// and how many it has.
    refused: Arc<AtomicU32>,
}

#[tonic::async_trait]
impl SchedulerService for Service {
    type ConnectStream = ReceiverStream<Result<Event, Status>>;

    async fn connect(
        &self,
        request: Request<Streaming<Call>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        if let Some(leader) = self.elsewhere {
            let mut status = Status::unavailable("another master leads");
            status.metadata_mut().insert("leader", leader.to_string().parse().expect("an address is ASCII"));
            return Err(status);
        }
        if self.refused.load(Ordering::SeqCst) < self.refusing {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(Status::unavailable("Master has not finished recovery"));
        }
        let (events, outgoing) = mpsc::channel(64);
        let subscription = Subscription { calls: request.into_inner(), events };
        self.subscriptions.send(subscription).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn send(&self, _: Request<Call>) -> Result<Response<CallAccepted>, Status> {
        Err(Status::unimplemented("scripted tests use the stream"))
    }
}

impl ScriptedMaster {
    pub(crate) async fn start() -> Self {
        Self::serve(None, 0).await
    }

    /// Refuses so many connections before it serves, as a master that recovers.
    pub(crate) async fn serving_after(refusing: u32) -> Self {
        Self::serve(None, refusing).await
    }

    /// Sends everybody to this address.
    pub(crate) async fn sending_to(leader: SocketAddr) -> Self {
        Self::serve(Some(leader), 0).await
    }

    async fn serve(elsewhere: Option<SocketAddr>, refusing: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, subscriptions) = mpsc::channel(16);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let refused = Arc::new(AtomicU32::new(0));
        let service = Service { subscriptions: sender, elsewhere, refusing, refused: refused.clone() };
        tokio::spawn(stopped.clone().run_until_cancelled_owned(async move {
            let service = SchedulerServiceServer::new(service);
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = TowerToHyperService::new(service.clone());
                tokio::spawn(stopped.clone().run_until_cancelled_owned(async move {
                    // A connection that the other side breaks is no failure of the test.
                    drop(
                        Builder::new(TokioExecutor::new())
                            .serve_connection(TokioIo::new(stream), service)
                            .await,
                    );
                }));
            }
        }));
        Self { address, subscriptions, refused, _stop: stop.drop_guard() }
    }

    /// How many connections it has refused.
    pub(crate) fn refused(&self) -> u32 {
        self.refused.load(Ordering::SeqCst)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection, once its SUBSCRIBE has come.
    pub(crate) async fn next_subscription(&mut self) -> (Subscription, Call) {
        let mut subscription = soon("a connection", self.subscriptions.recv()).await.unwrap();
        let call = subscription.expect(CallType::Subscribe).await;
        (subscription, call)
    }

    /// The next connection, subscribed under this id with this heartbeat, the first reconciliation seen.
    pub(crate) async fn subscribed(&mut self, id: &str, heartbeat_seconds: f64) -> (Subscription, Call) {
        let (mut subscription, call) = self.next_subscription().await;
        subscription.accept(id, heartbeat_seconds).await;
        let everything = subscription.expect(CallType::Reconcile).await;
        assert!(everything.reconcile.unwrap().tasks.is_empty());
        (subscription, call)
    }
}

impl Subscription {
    pub(crate) async fn accept(&mut self, id: &str, heartbeat_seconds: f64) {
        let subscribed = event::Subscribed {
            framework_id: Some(wire::FrameworkId { value: Some(id.to_owned()) }),
            heartbeat_interval_seconds: Some(heartbeat_seconds),
            master_info: None,
        };
        self.send(EventType::Subscribed, |event| event.subscribed = Some(subscribed)).await;
    }

    /// The next call, which must be of this kind.
    pub(crate) async fn expect(&mut self, kind: CallType) -> Call {
        let call = soon(kind.as_str_name(), self.calls.message()).await.unwrap();
        let call = call.unwrap_or_else(|| panic!("the scheduler left instead of {}", kind.as_str_name()));
        assert_eq!(call.r#type(), kind, "{call:?}");
        call
    }

    /// The next call of this kind; others before it are passed over.
    pub(crate) async fn wait_for(&mut self, kind: CallType) -> Call {
        loop {
            let call = soon(kind.as_str_name(), self.calls.message()).await.unwrap();
            let call = call.unwrap_or_else(|| panic!("the scheduler left instead of {}", kind.as_str_name()));
            if call.r#type() == kind {
                return call;
            }
        }
    }

    /// The next call of any kind; none when the scheduler has left.
    pub(crate) async fn next(&mut self) -> Option<Call> {
        self.calls.message().await.ok().flatten()
    }

    /// Nothing more comes: the scheduler has left.
    pub(crate) async fn expect_end(&mut self) {
        while let Ok(Some(call)) = soon("the end", self.calls.message()).await {
            assert_eq!(call.r#type(), CallType::Acknowledge, "{call:?}");
        }
    }

    pub(crate) async fn send(&self, kind: EventType, fill: impl FnOnce(&mut Event)) {
        let mut event = Event::default();
        event.set_type(kind);
        fill(&mut event);
        self.events.send(Ok(event)).await.unwrap();
    }

    /// An offer of 4 cpus, 1024 MiB of memory and 1000 MiB of disk of agent `a1`.
    pub(crate) async fn offer(&self, id: &str) {
        let value = |text: &str| Some(text.to_owned());
        let scalar = |name: &str, amount: f64| {
            let mut resource = wire::Resource {
                name: value(name),
                scalar: Some(wire::value::Scalar { value: Some(amount) }),
                allocation_info: Some(wire::resource::AllocationInfo { role: value("*") }),
                ..Default::default()
            };
            resource.set_type(wire::value::Type::Scalar);
            resource
        };
        let offer = wire::Offer {
            id: Some(wire::OfferId { value: value(id) }),
            framework_id: Some(wire::FrameworkId { value: value("f1") }),
            agent_id: Some(wire::AgentId { value: value("a1") }),
            hostname: value("h1"),
            resources: vec![scalar("cpus", 4.0), scalar("mem", 1024.0), scalar("disk", 1000.0)],
            allocation_info: Some(wire::resource::AllocationInfo { role: value("*") }),
            ..Default::default()
        };
        self.send(EventType::Offers, |event| event.offers = Some(event::Offers { offers: vec![offer] }))
            .await;
    }

    /// An update with a uuid, so that it must be acknowledged.
    pub(crate) async fn update(&self, task: &str, state: wire::TaskState) {
        let mut status = wire::TaskStatus {
            task_id: Some(wire::TaskId { value: Some(task.to_owned()) }),
            agent_id: Some(wire::AgentId { value: Some("a1".to_owned()) }),
            uuid: Some(vec![7; 16]),
            ..Default::default()
        };
        status.set_state(state);
        self.send(EventType::Update, |event| event.update = Some(event::Update { status: Some(status) }))
            .await;
    }

    /// The outcome of an operation with a uuid, so that it must be acknowledged.
    pub(crate) async fn operation(&self, operation: &str, state: wire::OperationState) {
        let mut status = wire::OperationStatus {
            operation_id: Some(wire::OperationId { value: Some(operation.to_owned()) }),
            agent_id: Some(wire::AgentId { value: Some("a1".to_owned()) }),
            uuid: Some(wire::Uuid { value: Some(vec![8; 16]) }),
            ..Default::default()
        };
        status.set_state(state);
        let update = event::UpdateOperationStatus { status: Some(status) };
        self.send(EventType::UpdateOperationStatus, |event| event.update_operation_status = Some(update))
            .await;
    }

    pub(crate) async fn error(&self, message: &str) {
        let error = event::Error { message: Some(message.to_owned()), code: None };
        self.send(EventType::Error, |event| event.error = Some(error)).await;
    }
}

/// The tasks that an accept launches.
pub(crate) fn launched(call: &Call) -> Vec<wire::TaskInfo> {
    let operations = call.accept.as_ref().map(|accept| accept.operations.clone()).unwrap_or_default();
    operations.into_iter().filter_map(|operation| operation.launch).flat_map(|l| l.task_infos).collect()
}
