//! Running for leader: what a candidate learns, and what it holds once it leads.

mod lease;
mod zookeeper;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::address::ZkAddress;
use crate::coordination::Embedded;
use crate::detect::in_line;
use crate::leader::LeaderInfo;
use crate::registry::{MemoryStore, OpenRegistryError, OpenedRegistry, Schema, Store};
use crate::session::{SessionError, ZkOptions};

pub use lease::Lease;
pub(crate) use zookeeper::Fence;

/// One candidacy. Dropping it resigns without waiting; [`Campaign::resign`] waits.
///
/// It tries for ever until it leads; once it has led and lost, it is over and a new one must be begun.
#[derive(Debug)]
pub struct Campaign {
    state: watch::Receiver<Leadership>,
    problem: watch::Receiver<Option<Arc<SessionError>>>,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

/// Where a candidacy stands.
#[derive(Clone, Debug)]
pub enum Leadership {
    /// Not leading yet.
    Contending,
    /// Leading. After a suspension the same term goes on.
    Leading(Term),
    /// Was leading; cannot tell whether it still is. Promise nothing, write nothing, wait.
    Suspended,
    /// No longer, and not again in this candidacy.
    Lost(LostReason),
}

/// Why a candidacy ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LostReason {
    /// It gave the place away itself.
    #[error("resigned")]
    Resigned,
    /// The ensemble gave the place to another.
    #[error("the ZooKeeper session expired")]
    SessionExpired,
    /// Somebody removed the candidate's znode.
    #[error("the election znode {0} was deleted by somebody else")]
    Deposed(String),
    /// Somebody changed the candidate's znode so that it cannot say who leads.
    #[error("the election znode {znode} was changed by somebody else and cannot be mended: {why}")]
    Spoilt {
        /// The znode.
        znode: String,
        /// What ZooKeeper said.
        why: String,
    },
}

/// The right to write, from winning an election to losing it.
#[derive(Clone, Debug)]
pub struct Term {
    source: TermSource,
}

#[derive(Clone, Debug)]
enum TermSource {
    ZooKeeper(Box<Fence>),
    Embedded(Embedded),
    Memory(MemoryStore),
}

impl Campaign {
    pub(crate) fn zookeeper(address: ZkAddress, options: ZkOptions, info: LeaderInfo) -> Self {
        let stop = CancellationToken::new();
        let (sender, state) = watch::channel(Leadership::Contending);
        let (found, problem) = watch::channel(None);
        let candidate = zookeeper::Candidate {
            address,
            options,
            info,
            state: sender,
            problem: found,
            stop: stop.clone(),
        };
        Self { state, problem, stop, task: Some(tokio::spawn(candidate.run())) }
    }

    pub(crate) fn embedded(embedded: &Embedded, info: LeaderInfo) -> Self {
        let stop = CancellationToken::new();
        let term = Term { source: TermSource::Embedded(embedded.clone()) };
        let (sender, state) = watch::channel(Leadership::Leading(term));
        let (leader, resigned) = (embedded.leader.clone(), stop.clone());
        leader.send_replace(Some(info));
        let task = tokio::spawn(async move {
            resigned.cancelled().await;
            leader.send_replace(None);
            sender.send_replace(Leadership::Lost(LostReason::Resigned));
        });
        Self { state, problem: watch::channel(None).1, stop, task: Some(task) }
    }

    pub(crate) fn memory(store: &MemoryStore) -> Self {
        let stop = CancellationToken::new();
        let term = Term { source: TermSource::Memory(store.clone()) };
        let (mut deposals, mut suspensions, resigned) = (store.deposals(), store.suspensions(), stop.clone());
        let (sender, state) = watch::channel(match *suspensions.borrow_and_update() {
            true => Leadership::Contending,
            false => Leadership::Leading(term.clone()),
        });
        let task = tokio::spawn(async move {
            let reason = loop {
                tokio::select! {
                    biased; // one that has lost its place is not told anything else
                    () = resigned.cancelled() => break LostReason::Resigned,
                    _ = deposals.changed() => break LostReason::Deposed("in memory".to_owned()),
                    _ = suspensions.changed() => {
                        let suspended = *suspensions.borrow_and_update();
                        sender.send_replace(match suspended {
                            true => Leadership::Suspended,
                            false => Leadership::Leading(term.clone()),
                        });
                    }
                }
            };
            sender.send_replace(Leadership::Lost(reason));
        });
        Self { state, problem: watch::channel(None).1, stop, task: Some(task) }
    }

    /// Where it stands now.
    pub fn state(&self) -> Leadership {
        self.state.borrow().clone()
    }

    /// Waits until it changes and tells it. Pends for ever after [`Leadership::Lost`].
    pub async fn changed(&mut self) -> Leadership {
        match self.state.changed().await {
            Ok(()) => self.state.borrow_and_update().clone(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until this candidate leads.
    ///
    /// # Errors
    /// The reason when the candidacy ended instead.
    pub async fn wait_until_leading(&mut self) -> Result<Term, LostReason> {
        loop {
            let state = self.state.borrow_and_update().clone();
            match state {
                Leadership::Leading(term) => return Ok(term),
                Leadership::Lost(reason) => return Err(reason),
                Leadership::Contending | Leadership::Suspended => self.changed().await,
            };
        }
    }

    /// The channel itself, for use in a `select!` of one's own.
    pub fn watch(&self) -> watch::Receiver<Leadership> {
        self.state.clone()
    }

    /// Why it does not stand in line, while it does not.
    pub fn problems(&self) -> watch::Receiver<Option<Arc<SessionError>>> {
        self.problem.clone()
    }

    /// Gives the place away: the znode is gone, or as good as gone, when this returns.
    pub async fn resign(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the campaign's task failed");
        }
    }
}

impl Drop for Campaign {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Term {
    fn fenced(fence: Fence) -> Self {
        Self { source: TermSource::ZooKeeper(Box::new(fence)) }
    }

    /// Raises the epoch by one, then reads all records. From here on writes of every earlier term are refused.
    ///
    /// # Errors
    /// When the registry is of a newer version or another kind, holds something unreadable, or the term is over.
    pub async fn open_registry(&self, schema: Schema) -> Result<OpenedRegistry, OpenRegistryError> {
        let store = match &self.source {
            TermSource::ZooKeeper(fence) => Store::zookeeper(Fence::clone(fence)),
            TermSource::Embedded(embedded) => Store::Embedded(embedded.store.clone()),
            TermSource::Memory(store) => Store::Memory(store.registry()),
        };
        OpenedRegistry::open(store, schema).await
    }

    /// How long it may be taken for granted that nobody else leads.
    pub fn lease(&self) -> Lease {
        match &self.source {
            TermSource::ZooKeeper(fence) => fence.lease.clone(),
            TermSource::Embedded(_) | TermSource::Memory(_) => Lease::for_ever(),
        }
    }

    /// How many stand in line behind this leader; none when nobody ever can, because the records are this process' alone.
    ///
    /// # Errors
    /// When ZooKeeper does not say.
    pub async fn others_in_line(&self) -> Option<Result<usize, SessionError>> {
        let TermSource::ZooKeeper(fence) = &self.source else { return None };
        let path = &fence.address.path;
        let others = in_line(&fence.client, path).await.map(|candidates| candidates.saturating_sub(1));
        Some(others.map_err(|source| SessionError::new("list", path, source)))
    }
}
