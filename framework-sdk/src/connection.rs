//! The task that keeps a subscription: finds the leader, subscribes, passes events on, and begins again when it breaks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chapada_coordination::{Detector, LeaderInfo};
use chapada_model::{Filters, FrameworkId};
use chapada_wire::v1;
use chapada_wire::v1::scheduler as api;
use chapada_wire::v1::scheduler::event::error::Code;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Status;

use crate::config::{FrameworkConfig, Reconcile};
use crate::convert;
use crate::driver::Shared;
use crate::event::{Event, Subscribed};
use crate::link::Inbound;
use crate::random::random;
use crate::run::RunError;
use crate::store::Store;

/// Calls that may wait for the connection: more than a scheduler makes in one callback.
const CALL_QUEUE: usize = 256;
/// From the subscription to the first event.
const SUBSCRIBE_WITHIN: Duration = Duration::from_secs(15);
/// A connection without so many heartbeats is dead. Source: the v1 API asks for several.
const MISSED_HEARTBEATS: u32 = 5;
/// When the master does not say how often it sends them.
const USUAL_HEARTBEAT: Duration = Duration::from_secs(15);
/// For calls on their way when the scheduler stops.
const FLUSH_WITHIN: Duration = Duration::from_millis(300);
/// For the master to end a subscription that was torn down.
const TEARDOWN_WITHIN: Duration = Duration::from_secs(5);
/// To look up the name of a leader that another master named.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(5);
/// The metadata by which a master that does not lead says who does.
const LEADER: &str = "leader";

pub(crate) struct Connection {
    pub(crate) config: FrameworkConfig,
    pub(crate) store: Option<Store>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) detector: Detector,
    pub(crate) events: mpsc::Sender<Result<Event, RunError>>,
}

/// How a subscription ended, or the attempt at one.
enum Ended {
    /// Nothing more is wanted of it.
    Over,
    /// Trying again would not help.
    Fatal(RunError),
    /// Try again.
    Broken {
        /// Whether it is no failure of the master that was tried: the next attempt need not wait longer than the last.
        lasted: bool,
        why: String,
        /// `host:port` of the master that leads instead, by the word of one that does not.
        leader: Option<String>,
    },
}

/// An accepted subscription.
struct Subscription {
    inbound: Inbound,
    heartbeat: Duration,
    leader: LeaderInfo,
}

impl Connection {
    pub(crate) async fn run(mut self) {
        let outcome = self.keep_subscribed().await;
        self.shared.close();
        let ending = match (outcome, self.shared.aborted()) {
            (Err(error), _) => error,
            (Ok(()), Some(why)) => RunError::Aborted(why),
            (Ok(()), None) => return,
        };
        if self.events.send(Err(ending)).await.is_err() {
            tracing::debug!("nobody waits for the end of this framework's run");
        }
    }

    async fn keep_subscribed(&mut self) -> Result<(), RunError> {
        let stop = self.shared.stop.clone();
        let mut failures = 0;
        let mut hint = None;
        let mut detected = None;
        loop {
            let leader = match hint.take() {
                Some(leader) => leader,
                None => match stop.run_until_cancelled(self.detector.wait_for_leader()).await {
                    Some(leader) => {
                        detected = Some(leader.socket_addr());
                        leader
                    }
                    None => return Ok(()),
                },
            };
            match self.subscription(leader, detected).await {
                Ended::Over => return Ok(()),
                Ended::Fatal(error) => return Err(error),
                Ended::Broken { lasted, why, leader } => {
                    failures = if lasted { 0 } else { failures + 1 };
                    tracing::warn!(why, failures, "no subscription");
                    self.detector.doubt();
                    hint = resolve(leader).await;
                }
            }
            if self.shared.close() && !self.deliver(Event::Disconnected).await {
                return Ok(());
            }
            if stop.run_until_cancelled(self.wait_before_next(&mut failures)).await.is_none() {
                return Ok(());
            }
        }
    }

    /// The back-off, cut short when another master is found to lead.
    async fn wait_before_next(&mut self, failures: &mut u32) {
        let wait = self.config.resubscribe.wait(*failures, random());
        let news = async { while self.detector.changed().await.is_none() {} };
        if timeout(wait, news).await.is_ok() {
            *failures = 0;
            tokio::time::sleep(self.config.resubscribe.wait(0, random())).await;
        }
    }

    /// `detected` is whom the detector named when it was asked last. It may still do so when that one has named another.
    async fn subscription(&mut self, leader: LeaderInfo, detected: Option<SocketAddr>) -> Ended {
        let (calls, outgoing) = mpsc::channel(CALL_QUEUE);
        let known = [Some(leader.socket_addr()), detected];
        let subscribed = tokio::select! {
            biased;
            () = self.shared.stop.cancelled() => return Ended::Over,
            subscribed = self.subscribe(leader, calls.clone(), outgoing) => subscribed,
            // It need not answer any more, and that may take long.
            () = news(&self.detector, known) => {
                let why = "another master leads".to_owned();
                return Ended::Broken { lasted: true, why, leader: None };
            }
        };
        let (mut subscription, first) = match subscribed {
            Ok(subscribed) => subscribed,
            Err(ended) => return ended,
        };
        let ended = match self.begin(&subscription, first, calls).await {
            Ok(true) => self.serve(&mut subscription).await,
            Ok(false) => Ended::Over,
            Err(error) => Ended::Fatal(error),
        };
        if matches!(ended, Ended::Over) && !self.shared.is_abandoned() {
            // What was called before is still on its way; the last sender is gone, so the master sees the end.
            self.shared.close();
            let drained = async { while let Ok(Some(_)) = subscription.inbound.message().await {} };
            if timeout(FLUSH_WITHIN, drained).await.is_err() {
                tracing::debug!("left without waiting for the master to end the subscription");
            }
        }
        ended
    }

    async fn subscribe(
        &self,
        leader: LeaderInfo,
        calls: mpsc::Sender<api::Call>,
        outgoing: mpsc::Receiver<api::Call>,
    ) -> Result<(Subscription, api::event::Subscribed), Ended> {
        let broken = |why: String| Ended::Broken { lasted: false, why, leader: None };
        let address = leader.socket_addr();
        let call = self.subscribe_call();
        calls.try_send(call).map_err(|error| broken(error.to_string()))?;
        let way = self.config.link.reach(&leader, &self.config.dialer).await;
        let way = way.map_err(|status| refused(&status, false))?;
        let first_event = async {
            let mut inbound = way.open(outgoing).await?;
            let first = inbound.message().await?;
            Ok::<_, Status>((inbound, first))
        };
        let (inbound, first) = match timeout(SUBSCRIBE_WITHIN, first_event).await {
            Err(_) => return Err(broken(format!("{address}: no answer to the subscription"))),
            Ok(Err(status)) => return Err(refused(&status, false)),
            Ok(Ok((inbound, first))) => (inbound, first.unwrap_or_default()),
        };
        match first.r#type() {
            api::event::Type::Subscribed => {
                let first = first.subscribed.unwrap_or_default();
                let heartbeat = first.heartbeat_interval_seconds.unwrap_or_default();
                let heartbeat = Duration::try_from_secs_f64(heartbeat).unwrap_or_default();
                let heartbeat = if heartbeat.is_zero() { USUAL_HEARTBEAT } else { heartbeat };
                Ok((Subscription { inbound, heartbeat, leader }, first))
            }
            api::event::Type::Error => Err(Ended::Fatal(error_event(first))),
            other => Err(broken(format!("{address}: {} instead of SUBSCRIBED", other.as_str_name()))),
        }
    }

    fn subscribe_call(&self) -> api::Call {
        let id = self.shared.framework();
        let config = self.shared.config();
        let info = v1::FrameworkInfo::from(&config.description(id.clone()));
        let mut call = api::Call {
            framework_id: id.as_ref().map(Into::into),
            subscribe: Some(api::call::Subscribe {
                framework_info: Some(info),
                suppressed_roles: config.suppressed_roles.iter().map(ToString::to_string).collect(),
                offer_constraints: config.offer_constraints.clone(),
            }),
            ..Default::default()
        };
        call.set_type(api::call::Type::Subscribe);
        call
    }

    /// Stores the id, opens the way for calls and tells the scheduler. False when nobody listens any more.
    async fn begin(
        &mut self,
        subscription: &Subscription,
        first: api::event::Subscribed,
        calls: mpsc::Sender<api::Call>,
    ) -> Result<bool, RunError> {
        let framework: FrameworkId =
            convert::id("framework_id", first.framework_id.as_ref()).map_err(|error| RunError::Refused {
                message: format!("the master's SUBSCRIBED makes no sense: {error}"),
            })?;
        let new = self.shared.framework().as_ref() != Some(&framework);
        if let (true, Some(store)) = (new, &self.store) {
            // However long that takes, unless it is told to stop.
            match self.shared.stop.run_until_cancelled(store.save_framework_id(&framework)).await {
                Some(saved) => saved.map_err(RunError::Store)?,
                None => return Ok(false),
            }
        }
        self.shared.open(&framework, calls, subscription.leader.clone());
        let now = self.shared.now();
        let rounds = match self.config.reconcile {
            Reconcile::Automatically => self.shared.reconciliation().begin(now, []),
            Reconcile::Explicitly => Vec::new(),
        };
        tracing::info!(framework_id = %framework, master = %subscription.leader.socket_addr(), new, "subscribed");
        let master = first.master_info.as_ref().and_then(|master| master.try_into().ok());
        let delivered = self.deliver(Event::Subscribed(Subscribed { framework, master, new })).await;
        rounds.into_iter().for_each(|round| self.shared.try_reconcile(round));
        Ok(delivered)
    }

    async fn serve(&mut self, subscription: &mut Subscription) -> Ended {
        let silence = subscription.heartbeat * MISSED_HEARTBEATS;
        let mut dead_at = Instant::now() + silence;
        // One that ends sooner counts as a failure: a master that breaks each at once is asked ever less often.
        let lasts_from = Instant::now() + subscription.heartbeat;
        let mut torn_down_at = None;
        let shared = Arc::clone(&self.shared);
        loop {
            let next_round = shared.reconciliation().next().map(|next| shared.instant(next));
            let why = tokio::select! {
                biased; // leaving first; then what has arrived, which also proves that the master lives; then time
                () = shared.stop.cancelled() => return Ended::Over,
                message = subscription.inbound.message() => match message {
                    Ok(Some(event)) => {
                        dead_at = Instant::now() + silence;
                        match self.handle(event).await {
                            Ok(true) => continue,
                            Ok(false) => return Ended::Over,
                            Err(error) => return Ended::Fatal(error),
                        }
                    }
                    Ok(None) | Err(_) if shared.is_tearing_down() => return Ended::Over,
                    Ok(None) => "the master ended the subscription".to_owned(),
                    Err(status) => return refused(&status, Instant::now() >= lasts_from),
                },
                leader = self.detector.changed() => match leader {
                    Some(leader) if leader.socket_addr() != subscription.leader.socket_addr() => {
                        let why = "another master leads".to_owned();
                        return Ended::Broken { lasted: true, why, leader: None };
                    }
                    Some(_) | None => continue,
                },
                () = shared.rearmed.notified() => continue,
                () = shared.finish.cancelled(), if torn_down_at.is_none() => {
                    torn_down_at = Some(Instant::now() + TEARDOWN_WITHIN);
                    continue;
                }
                () = at(torn_down_at) => return Ended::Over,
                () = at(next_round) => {
                    let round = shared.reconciliation().on_time(shared.now(), random());
                    round.into_iter().for_each(|round| shared.try_reconcile(round));
                    continue;
                }
                () = sleep_until(dead_at) => format!("no heartbeat for {silence:?}"),
            };
            return Ended::Broken { lasted: Instant::now() >= lasts_from, why, leader: None };
        }
    }

    /// False when nobody listens any more.
    async fn handle(&mut self, event: api::Event) -> Result<bool, RunError> {
        if event.r#type() == api::event::Type::Error {
            // The master's last word on a framework that was torn down is that it was removed.
            return if self.shared.is_tearing_down() { Ok(false) } else { Err(error_event(event)) };
        }
        let converted = match convert::event(event) {
            Ok(converted) => converted,
            Err(error) => {
                tracing::warn!(%error, "left out an event of the master that makes no sense");
                return Ok(true);
            }
        };
        for (offer, error) in converted.refused {
            tracing::warn!(%error, "declined an offer that makes no sense");
            let offer = offer.as_ref().and_then(|offer| offer.try_into().ok());
            let driver = crate::Driver { shared: Arc::clone(&self.shared) };
            if driver.decline(offer, Filters::default()).await.is_err() {
                tracing::debug!("the offer is void by now");
            }
        }
        let Some(event) = converted.event else { return Ok(true) };
        if let Event::Update(status) = &event {
            let now = self.shared.now();
            self.shared.reconciliation().on_update(now, status);
            tracing::debug!(task_id = %status.task, state = status.state.name(), "update");
        }
        Ok(self.deliver(event).await)
    }

    /// Waits for the scheduler to have room. False when it is gone, or is to stop.
    async fn deliver(&self, event: Event) -> bool {
        let sent = self.shared.stop.run_until_cancelled(self.events.send(Ok(event))).await;
        matches!(sent, Some(Ok(())))
    }
}

/// A leader known only by its address. None when it has none, or cannot be found.
async fn resolve(leader: Option<String>) -> Option<LeaderInfo> {
    let leader = leader?;
    let found = timeout(LOOK_UP_WITHIN, tokio::net::lookup_host(&leader)).await;
    let address = match found.ok()?.map(|mut addresses| addresses.next()) {
        Ok(address) => address?,
        Err(error) => {
            tracing::warn!(leader, %error, "cannot find the master that leads");
            return None;
        }
    };
    Some(LeaderInfo {
        id: String::new(),
        hostname: leader.rsplit_once(':').map_or(leader.as_str(), |(host, _)| host).to_owned(),
        ip: address.ip(),
        port: address.port(),
        version: String::new(),
        capabilities: Vec::new(),
    })
}

/// Waits until the detector names another leader than these.
async fn news(detector: &Detector, known: [Option<SocketAddr>; 2]) {
    let is_news = |leader: &LeaderInfo| !known.contains(&Some(leader.socket_addr()));
    let mut leaders = detector.watch();
    if leaders.wait_for(|leader| leader.as_ref().is_some_and(is_news)).await.is_err() {
        // Nothing changes any more.
        std::future::pending().await
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// What a gRPC status means for the subscription.
fn refused(status: &Status, lasted: bool) -> Ended {
    match status.code() {
        tonic::Code::InvalidArgument | tonic::Code::PermissionDenied | tonic::Code::Unauthenticated => {
            Ended::Fatal(RunError::Refused { message: status.message().to_owned() })
        }
        code => Ended::Broken {
            lasted,
            why: format!("{code}: {}", status.message()),
            leader: status.metadata().get(LEADER).and_then(|leader| leader.to_str().ok()).map(str::to_owned),
        },
    }
}

fn error_event(event: api::Event) -> RunError {
    let error = event.error.unwrap_or_default();
    // Masters before this one say it in words only.
    let failed_over = error.code() == Code::FrameworkFailedOver
        || error.message().trim().eq_ignore_ascii_case("framework failed over");
    match failed_over {
        true => RunError::FailedOver,
        false => RunError::Refused { message: error.message.unwrap_or_default() },
    }
}
