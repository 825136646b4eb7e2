//! Who leads, followed for as long as anybody asks.

mod hosts;
mod zookeeper;

pub(crate) use zookeeper::{CANDIDATE_PREFIX, candidates, in_line, is_nobodys};

use std::sync::Arc;

use chapada_tls::Dialer;
use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::address::MasterAddress;
use crate::leader::{InvalidLeaderInfo, LeaderInfo};
use crate::session::{SessionError, ZkOptions};

/// Follows the leader by itself, reconnecting with back-off; dropping it ends that.
#[derive(Clone, Debug)]
pub struct Detector {
    leader: watch::Receiver<Option<LeaderInfo>>,
    problem: watch::Receiver<Option<Arc<DetectError>>>,
    doubts: Arc<Notify>,
    _stop: Option<Arc<DropGuard>>,
}

/// Why the leader cannot be told at the moment. Detection goes on.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// ZooKeeper.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The leader's znode has other content than a leader's.
    #[error("znode {path} does not say who leads: delete it if nothing of this cluster wrote it")]
    BadLeader {
        /// The znode.
        path: String,
        /// What is wrong with it.
        #[source]
        source: InvalidLeaderInfo,
    },
    /// No address could be resolved or asked.
    #[error("no master at {hosts} says who leads")]
    NobodyAnswers {
        /// All that were asked.
        hosts: String,
        /// What the last one said.
        #[source]
        source: std::io::Error,
    },
}

/// Where a detecting task puts what it learns.
struct Findings {
    leader: watch::Sender<Option<LeaderInfo>>,
    problem: watch::Sender<Option<Arc<DetectError>>>,
}

impl Detector {
    /// Begins to follow; must be called within a tokio runtime.
    pub fn start(address: &MasterAddress, options: ZkOptions) -> Self {
        Self::start_with(address, options, Dialer::plain())
    }

    /// The same, and masters that are asked who leads are dialled by `dialer`.
    pub fn start_with(address: &MasterAddress, options: ZkOptions, dialer: Dialer) -> Self {
        let stop = CancellationToken::new();
        let (leader, leader_seen) = watch::channel(None);
        let (problem, problem_seen) = watch::channel(None);
        let findings = Findings { leader, problem };
        let (detecting, doubts) = (stop.clone(), Arc::new(Notify::new()));
        let doubted = Arc::clone(&doubts);
        match address.clone() {
            MasterAddress::ZooKeeper(zk) => tokio::spawn(async move {
                detecting.run_until_cancelled(zookeeper::follow(&zk, &options, &findings)).await;
            }),
            MasterAddress::Hosts(hosts) => tokio::spawn(async move {
                detecting.run_until_cancelled(hosts::follow(&hosts, &dialer, &doubted, &findings)).await;
            }),
        };
        let (leader, problem) = (leader_seen, problem_seen);
        Self { leader, problem, doubts, _stop: Some(Arc::new(stop.drop_guard())) }
    }

    pub(crate) fn following(leader: watch::Receiver<Option<LeaderInfo>>) -> Self {
        let (_, problem) = watch::channel(None);
        Self { leader, problem, doubts: Arc::default(), _stop: None }
    }

    /// For one that is known to lead and stays; nothing is asked.
    pub fn fixed(leader: LeaderInfo) -> Self {
        Self::following(watch::Sender::new(Some(leader)).subscribe())
    }

    /// Who leads as far as is known now.
    pub fn leader(&self) -> Option<LeaderInfo> {
        self.leader.borrow().clone()
    }

    /// Waits until it changes and tells it. Pends for ever once nothing can change any more.
    pub async fn changed(&mut self) -> Option<LeaderInfo> {
        match self.leader.changed().await {
            Ok(()) => self.leader.borrow_and_update().clone(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until somebody leads.
    pub async fn wait_for_leader(&mut self) -> LeaderInfo {
        loop {
            if let Some(leader) = self.leader.borrow_and_update().clone() {
                return leader;
            }
            self.changed().await;
        }
    }

    /// The channel itself, for use in a `select!` of one's own. It ends when every clone of the detector is gone.
    pub fn watch(&self) -> watch::Receiver<Option<LeaderInfo>> {
        self.leader.clone()
    }

    /// Says that a link to the leader has ended: one that was found by asking is asked at once whether it still leads. Of an
    /// election in ZooKeeper nothing needs to be asked.
    pub fn doubt(&self) {
        self.doubts.notify_one();
    }

    /// Why the leader cannot be told, when it cannot.
    pub fn problem(&self) -> Option<Arc<DetectError>> {
        self.problem.borrow().clone()
    }

    /// The same as a channel, which ends as that of [`Detector::watch`] does.
    pub fn problems(&self) -> watch::Receiver<Option<Arc<DetectError>>> {
        self.problem.clone()
    }
}

impl Findings {
    fn publish(&self, leader: Option<LeaderInfo>) {
        self.problem.send_if_modified(|problem| problem.take().is_some());
        self.leader.send_if_modified(|known| {
            let news = *known != leader;
            if news {
                match &leader {
                    Some(leader) => {
                        tracing::info!(id = leader.id, address = %leader.socket_addr(), "leader detected")
                    }
                    None => tracing::info!("no leader"),
                }
                *known = leader;
            }
            news
        });
    }

    /// Tells what is wrong, and that nobody is known to lead.
    fn fail(&self, error: DetectError) {
        self.publish(None);
        self.keep_in_spite_of(error);
    }

    /// Tells what is wrong while the leader known before is still believed to lead.
    fn keep_in_spite_of(&self, error: DetectError) {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let said = |error: &DetectError| format!("{error}: {:?}", std::error::Error::source(error));
        let is_news = self.problem.borrow().as_ref().is_none_or(|known| said(known) != said(&error));
        // Several times a second the same would only hide the rest of the log.
        if is_news {
            tracing::warn!(%error, cause, "cannot detect the leader");
            self.problem.send_replace(Some(Arc::new(error)));
        }
    }
}
