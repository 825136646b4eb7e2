//! What every handler holds: who leads, and the way to the books while this master does.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chapada_coordination::{DetectError, LeaderInfo};
use chapada_listener::{HttpResponse, Logging, text};
use chapada_master_core::Snapshot;
use chapada_model::{MasterDescription, Wall, chain};
use chapada_tls::Dialer;
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::agent_api::Exchanges;
use crate::agent_link::{Handshakes, Relays};
use crate::clock::Clock;
use crate::config::MasterConfig;
use crate::core_loop::{Core, Stopped};
use crate::step_down::StepDown;

/// The version that clients compare, dotted integers only: that of the API served.
pub(crate) const API_VERSION: &str = "1.12.0";

/// From the moment at which anybody can see who is first in line to that at which the first one has read the registry.
const ELECTED_WITHIN: Duration = Duration::from_secs(1);

/// A leadership: from winning the election to losing it.
pub(crate) struct Led {
    pub(crate) core: Core,
    pub(crate) master: MasterDescription,
    pub(crate) epoch: u64,
    pub(crate) elected: Wall,
    pub(crate) relays: Relays,
    pub(crate) exchanges: Exchanges,
    /// Cancelled when the leadership ends; every stream and link ends then.
    pub(crate) ended: CancellationToken,
}

impl Led {
    /// The books.
    ///
    /// # Errors
    /// When the leadership has ended.
    pub(crate) async fn snapshot(&self) -> Result<Arc<Snapshot>, Stopped> {
        self.core.snapshot().await
    }
}

/// Where this master stands.
#[derive(Clone)]
pub(crate) enum Standing {
    /// It does not lead.
    Following,
    /// It was elected and reads the registry.
    Recovering,
    /// It leads.
    Leading(Arc<Led>),
    /// It led and cannot tell whether it still does: reads are answered, nothing else.
    Suspended(Arc<Led>),
    /// It led and gives its place to the next.
    HandingOver,
    /// It was elected and cannot lead, and has made room for others: why.
    Unable(Arc<str>),
    /// It does not stand in line: why.
    Hindered(Arc<str>),
}

/// Shared by all handlers.
pub(crate) struct Shell {
    pub(crate) config: MasterConfig,
    /// Reaches frameworks.
    pub(crate) dialer: Dialer,
    pub(crate) clock: Clock,
    pub(crate) started: Wall,
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) leader: watch::Receiver<Option<LeaderInfo>>,
    /// Why it cannot be told who leads, when it cannot.
    pub(crate) problem: watch::Receiver<Option<Arc<DetectError>>>,
    pub(crate) stop: CancellationToken,
    /// Where others reach this master.
    pub(crate) own: (IpAddr, u16),
    pub(crate) logging: Logging,
    /// Asks the leader to give its place away.
    pub(crate) step_downs: mpsc::Sender<StepDown>,
    /// Agents that are heard out.
    pub(crate) handshakes: Handshakes,
}

/// Why a call cannot be served here.
pub(crate) enum Elsewhere {
    /// That master leads.
    Leader(LeaderInfo),
    /// Nobody does, as far as is known; and why, where that is known.
    Nobody(Option<Arc<str>>),
    /// This one was elected and is not ready.
    Recovering,
    /// This one has lost its connection to ZooKeeper.
    Suspended,
    /// This one has led, and the next is on its way.
    HandingOver,
    /// Nobody does: this one was elected and could not.
    Unable(Arc<str>),
}

impl Shell {
    /// One that never leads, for looking at the table of routes.
    pub(crate) fn closed() -> Self {
        let clock = Clock::new();
        Self {
            config: MasterConfig::default(),
            dialer: Dialer::plain(),
            clock,
            started: clock.wall(),
            standing: watch::channel(Standing::Following).1,
            leader: watch::channel(None).1,
            problem: watch::channel(None).1,
            stop: CancellationToken::new(),
            own: (IpAddr::from([0, 0, 0, 0]), 0),
            logging: Logging::default(),
            step_downs: mpsc::channel(1).0,
            handshakes: Handshakes::default(),
        }
    }

    /// The leadership, for anything that changes the books.
    pub(crate) fn leading(&self) -> Result<Arc<Led>, Elsewhere> {
        match &*self.standing.borrow() {
            Standing::Leading(led) => Ok(led.clone()),
            Standing::Suspended(_) => Err(Elsewhere::Suspended),
            Standing::Recovering => Err(Elsewhere::Recovering),
            Standing::HandingOver => Err(self.elsewhere_or(Elsewhere::HandingOver)),
            Standing::Unable(why) => Err(self.elsewhere_or(Elsewhere::Unable(why.clone()))),
            Standing::Hindered(why) => Err(self.elsewhere_or(Elsewhere::Nobody(Some(why.clone())))),
            Standing::Following => Err(self.elsewhere()),
        }
    }

    /// As [`Shell::leading`], for one that comes to stay: it was told of the election by ZooKeeper, and may have heard of it
    /// before this master did, or before it has read the registry.
    pub(crate) async fn leading_soon(&self) -> Result<Arc<Led>, Elsewhere> {
        let mut standing = self.standing.clone();
        let leads = standing.wait_for(|standing| matches!(standing, Standing::Leading(_)));
        // Whatever became of the wait, the answer is what holds now.
        drop(tokio::time::timeout(ELECTED_WITHIN, leads).await);
        self.leading()
    }

    /// The leadership, for reading: also while it is suspended.
    pub(crate) fn reading(&self) -> Result<Arc<Led>, Elsewhere> {
        match &*self.standing.borrow() {
            Standing::Leading(led) | Standing::Suspended(led) => Ok(led.clone()),
            Standing::Recovering => Err(Elsewhere::Recovering),
            Standing::HandingOver => Err(self.elsewhere_or(Elsewhere::HandingOver)),
            Standing::Unable(why) => Err(self.elsewhere_or(Elsewhere::Unable(why.clone()))),
            Standing::Hindered(why) => Err(self.elsewhere_or(Elsewhere::Nobody(Some(why.clone())))),
            Standing::Following => Err(self.elsewhere()),
        }
    }

    /// The leadership and its books, for reading.
    pub(crate) async fn books(&self) -> Result<(Arc<Led>, Arc<Snapshot>), Elsewhere> {
        let led = self.reading()?;
        match led.snapshot().await {
            Ok(books) => Ok((led, books)),
            Err(Stopped) => Err(self.elsewhere()),
        }
    }

    /// The one that leads; otherwise what is known of this one.
    fn elsewhere_or(&self, here: Elsewhere) -> Elsewhere {
        match self.elsewhere() {
            Elsewhere::Leader(leader) => Elsewhere::Leader(leader),
            Elsewhere::Nobody(_)
            | Elsewhere::Recovering
            | Elsewhere::Suspended
            | Elsewhere::HandingOver
            | Elsewhere::Unable(_) => here,
        }
    }

    fn elsewhere(&self) -> Elsewhere {
        match &*self.leader.borrow() {
            // The election is won before the registry is read; nobody is sent in a circle meanwhile.
            Some(leader) if (leader.ip, leader.port) == self.own => Elsewhere::Recovering,
            Some(leader) => Elsewhere::Leader(leader.clone()),
            None => Elsewhere::Nobody(self.problem.borrow().as_deref().map(|problem| why(problem).into())),
        }
    }
}

/// What is wrong with the election, and what to do: no more of a znode's content than that it is wrong, since anybody may have
/// written it.
fn why(problem: &DetectError) -> String {
    match problem {
        DetectError::Session(error) => chain(error),
        DetectError::BadLeader { .. } | DetectError::NobodyAnswers { .. } => problem.to_string(),
    }
}

impl Elsewhere {
    /// The answer to an HTTP request for `path_and_query`.
    pub(crate) fn response(&self, path_and_query: &str) -> HttpResponse {
        match self {
            Self::Leader(leader) => redirect(&format!("//{}{path_and_query}", leader.authority())),
            Self::Nobody(_) | Self::Recovering | Self::Suspended | Self::HandingOver | Self::Unable(_) => {
                text(StatusCode::SERVICE_UNAVAILABLE, self.sentence())
            }
        }
    }

    /// The answer to a gRPC call.
    pub(crate) fn status(&self) -> tonic::Status {
        let mut status = tonic::Status::unavailable(self.sentence());
        if let Self::Leader(leader) = self
            && let Ok(address) = leader.authority().parse()
        {
            status.metadata_mut().insert("leader", address);
        }
        status
    }

    /// What to tell people.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Leader(leader) => format!("the leading master is {}", leader.authority()),
            Self::Nobody(None) => "No leader elected".to_owned(),
            Self::Nobody(Some(why)) => format!("No leader elected: {why}"),
            Self::Recovering => "Master has not finished recovery".to_owned(),
            Self::Suspended => {
                "Master has lost its connection to ZooKeeper; try again in a moment".to_owned()
            }
            Self::Unable(why) => format!("No leader elected: this master cannot lead: {why}"),
            Self::HandingOver => {
                "Master has given its place to the next one; try again in a moment".to_owned()
            }
        }
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub(crate) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A 307 to `location`.
pub(crate) fn redirect(location: &str) -> HttpResponse {
    let mut response = chapada_listener::empty(StatusCode::TEMPORARY_REDIRECT);
    match HeaderValue::from_str(location) {
        Ok(location) => {
            response.headers_mut().insert(LOCATION, location);
            response
        }
        Err(_) => text(StatusCode::BAD_REQUEST, "the path cannot be put into a Location header"),
    }
}
