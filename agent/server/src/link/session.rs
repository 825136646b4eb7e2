//! Dialling: one session after another, each with the leader of the moment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chapada_agent_core::{Event, FromMaster};
use chapada_coordination::{Detector, LeaderInfo};
use chapada_tls::{Dialer, Farewell};
use chapada_wire::link::agent_link_client::AgentLinkClient;
use chapada_wire::link::{FromAgent, OpenRelay, ToAgent, to_agent};
use chapada_wire::v1;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use super::inward::{self, Inward, Terms};
use super::{Outbox, PROTOCOL_VERSION};
use crate::containers::Means;
use crate::shell::Input;

/// How long the master may take to admit us; its statement of all agents may take it a while.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(30);
/// Beats when the master does not say how often.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The longest wait before dialling again.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// No message of the link is longer than 256 KiB; the rest is room for a single large task.
const MAX_MESSAGE: usize = 8 * 1024 * 1024;

/// What an agent says about itself that does not change.
#[derive(Debug)]
pub(crate) struct Presentation {
    pub(crate) info: v1::AgentInfo,
    pub(crate) address: String,
    pub(crate) boot_id: String,
    pub(crate) capabilities: &'static [&'static str],
}

/// Keeps a link to whoever leads.
#[derive(Debug)]
pub(crate) struct Dialler {
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) relays: mpsc::Sender<(OpenRelay, Way)>,
    pub(crate) dialer: Dialer,
    /// The first wait before dialling again.
    pub(crate) first_wait: Duration,
    /// What orders are compared with, and where their secrets are kept.
    pub(crate) means: Arc<Means>,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("cannot reach the master")]
    Connect(#[source] tonic::transport::Error),
    #[error("the master ended the link: {}", .0.message())]
    Status(tonic::Status),
    #[error("the master ended the connection: {0}")]
    Ended(String),
    #[error("the master closed the link")]
    Closed,
    #[error("the master said nothing for {0:?}")]
    Silent(Duration),
    #[error("the master refused this agent: {0}")]
    Refused(String),
    #[error(
        "the master speaks version {0} of the link, and this agent {PROTOCOL_VERSION}: upgrade the agent"
    )]
    Version(u32),
    #[error("this agent dropped the link")]
    Dropped,
    #[error("another master leads")]
    Deposed,
    #[error("the agent is stopping")]
    Stopping,
}

/// What a link was good for.
struct Beats {
    interval: Duration,
    timeout: Duration,
    welcomed: bool,
}

impl Dialler {
    /// Dials until `stop`. Waits between attempts with full jitter; the first has none.
    pub(crate) async fn run(self, mut detector: Detector, stop: CancellationToken) {
        let mut wait = self.first_wait;
        loop {
            let leader = tokio::select! {
                () = stop.cancelled() => return,
                leader = detector.wait_for_leader() => leader,
            };
            let (outcome, welcomed) = Box::pin(self.session(&leader, &mut detector, &stop)).await;
            tracing::warn!(address = %leader.socket_addr(), error = %chapada_model::chain(&outcome), "link ended");
            if welcomed {
                wait = self.first_wait;
            }
            if matches!(outcome, SessionError::Deposed) {
                continue;
            }
            detector.doubt();
            tokio::select! {
                () = stop.cancelled() => return,
                () = next(&mut detector, &leader) => wait = self.first_wait,
                () = sleep(jittered(wait)) => wait = (wait * 2).min(LONGEST_WAIT),
            }
        }
    }

    async fn session(
        &self,
        leader: &LeaderInfo,
        detector: &mut Detector,
        stop: &CancellationToken,
    ) -> (SessionError, bool) {
        let (outbox, sent, closed) = Outbox::new();
        let mut beats = Beats { interval: HEARTBEAT, timeout: WELCOME_TIMEOUT, welcomed: false };
        let heart = outbox.share();
        let talking = self.talk(leader, outbox, sent, &mut beats, heart);
        let ended = tokio::select! {
            biased; // a stop or another leader must not wait behind a busy link
            () = stop.cancelled() => SessionError::Stopping,
            () = another(detector, leader) => SessionError::Deposed,
            () = closed.cancelled() => SessionError::Dropped,
            error = talking => error,
        };
        closed.cancel();
        self.tell(Input::Event(Event::LinkLost)).await;
        (ended, beats.welcomed)
    }

    async fn talk(
        &self,
        leader: &LeaderInfo,
        outbox: Outbox,
        sent: mpsc::Receiver<FromAgent>,
        beats: &mut Beats,
        heart: Outbox,
    ) -> SessionError {
        let way = Way::to(leader, &self.dialer);
        let channel = match way.open().await {
            Ok(channel) => channel,
            Err(error) => return SessionError::Connect(error),
        };
        let (channel, farewell) = channel;
        let broken = |status| match farewell.take() {
            Some(why) => SessionError::Ended(why),
            None => SessionError::Status(status),
        };
        self.tell(Input::Link(outbox)).await;
        let mut client = AgentLinkClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        let connected = timeout(WELCOME_TIMEOUT, client.connect(ReceiverStream::new(sent))).await;
        let mut messages = match connected {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return broken(status),
            Err(_) => return SessionError::Silent(WELCOME_TIMEOUT),
        };
        let mut beat = ticking(beats.interval);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                message = messages.message() => match message {
                    Ok(Some(message)) => {
                        heard = Instant::now();
                        if let Err(error) = self.hear(message, beats, &mut beat, &heart, &way).await {
                            return error;
                        }
                    }
                    Ok(None) => return SessionError::Closed,
                    Err(status) => return broken(status),
                },
                _ = beat.tick() => {
                    if heard.elapsed() > beats.timeout {
                        return SessionError::Silent(beats.timeout);
                    }
                    if beats.welcomed && heart.heartbeat().is_err() {
                        return SessionError::Dropped;
                    }
                }
            }
        }
    }

    async fn hear(
        &self,
        message: ToAgent,
        beats: &mut Beats,
        beat: &mut tokio::time::Interval,
        heart: &Outbox,
        way: &Way,
    ) -> Result<(), SessionError> {
        let ToAgent { epoch, sequence, message } = message;
        let Some(message) = message else {
            // A kind that this version does not know; the master must hear of it, or it waits for what never comes.
            return heart
                .refused(epoch, sequence, "this agent does not know this kind of command".to_owned())
                .map_err(|_| SessionError::Dropped);
        };
        if let to_agent::Message::Welcome(welcome) = &message {
            if welcome.protocol_version > PROTOCOL_VERSION {
                return Err(SessionError::Version(welcome.protocol_version));
            }
            beats.welcome(welcome.heartbeat_interval_ms, welcome.heartbeat_timeout_ms);
            *beat = ticking(beats.interval);
        }
        let supplies = &self.means.supplies;
        let terms = Terms { policy: &supplies.policy, secrets: &supplies.secrets };
        match inward::read(message, &terms) {
            Ok(Inward::Command(command)) => {
                let message = FromMaster { epoch, sequence, command };
                self.tell(Input::Event(Event::FromMaster(message))).await;
            }
            Ok(Inward::Nothing) => {}
            Ok(Inward::Refused(refused)) => {
                return Err(SessionError::Refused(refused.message));
            }
            Ok(Inward::OpenRelay(relay)) => {
                if self.relays.try_send((relay, way.clone())).is_err() {
                    tracing::warn!("too many files are being read; a request was not served");
                }
            }
            Err(reason) => {
                tracing::warn!(epoch, sequence, reason, "refused a command");
                heart.refused(epoch, sequence, reason).map_err(|_| SessionError::Dropped)?;
            }
        }
        Ok(())
    }

    async fn tell(&self, input: Input) {
        if self.inputs.send(input).await.is_err() {
            tracing::debug!("the agent has stopped");
        }
    }
}

impl Beats {
    fn welcome(&mut self, interval_ms: u32, timeout_ms: u32) {
        let or =
            |ms: u32, otherwise: Duration| if ms == 0 { otherwise } else { Duration::from_millis(ms.into()) };
        self.interval = or(interval_ms, HEARTBEAT);
        self.timeout = or(timeout_ms, self.interval * 4).max(self.interval * 2);
        self.welcomed = true;
    }
}

/// How a leader is reached.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    dialer: Dialer,
    pub(crate) at: SocketAddr,
    names: Vec<String>,
}

impl Way {
    fn to(leader: &LeaderInfo, dialer: &Dialer) -> Self {
        Self { dialer: dialer.clone(), at: leader.socket_addr(), names: leader.names() }
    }

    /// Opens a connection, and gives what may tell why it ended.
    pub(crate) async fn open(&self) -> Result<(Channel, Farewell), tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("{}://{}", self.dialer.scheme(), self.at))?;
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let towards = self.dialer.towards(self.at, &names);
        let farewell = towards.farewell();
        Ok((endpoint.connect_with_connector(towards).await?, farewell))
    }
}

/// Waits until somebody else, or nobody, leads.
async fn another(detector: &mut Detector, leader: &LeaderInfo) {
    while detector
        .leader()
        .as_ref()
        .is_some_and(|now| now.id == leader.id && now.socket_addr() == leader.socket_addr())
    {
        detector.changed().await;
    }
}

/// Waits until somebody else leads.
async fn next(detector: &mut Detector, leader: &LeaderInfo) {
    loop {
        another(detector, leader).await;
        if detector.leader().is_some() {
            return;
        }
        detector.changed().await;
    }
}

fn ticking(period: Duration) -> tokio::time::Interval {
    let mut ticking = interval(period);
    ticking.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticking
}

/// Anything between nothing and `wait`, so that agents that lost the same master do not return in step.
fn jittered(wait: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_u128() as u64;
    let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX).max(1);
    Duration::from_nanos(random % nanos)
}
