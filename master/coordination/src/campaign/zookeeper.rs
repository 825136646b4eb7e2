//! The election recipe: an ephemeral sequential znode each, the smallest leads, each watches the one before it.
//!
//! The crate's own lock recipe is not used: its layout is not Mesos', and it leaks a candidate when cancelled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use zookeeper_client::{Client, CreateMode, Error, SessionState, Stat, StateWatcher};

use super::{Leadership, Lease, LostReason, Term};
use crate::address::ZkAddress;
use crate::backoff::{Pace, session_backoff};
use crate::detect::{CANDIDATE_PREFIX, candidates, is_nobodys};
use crate::leader::LeaderInfo;
use crate::session::{
    SessionError, ZkOptions, connect, outcome_unknown, public_acls, reconnected, session_over,
};

/// How long a resigning leader waits for its znode to go before it leaves that to its session's end.
const RESIGN_WITHIN: Duration = Duration::from_secs(2);

/// How often a lease is renewed before it would be over.
const RENEWALS: u32 = 3;

/// What a write must check: the leader's own election znode.
#[derive(Clone, Debug)]
pub(crate) struct Fence {
    pub(crate) client: Client,
    pub(crate) address: ZkAddress,
    /// The election znode.
    pub(crate) path: String,
    /// Cancelled when the term is over; whoever holds the client lets go of it then, so that the session can close.
    pub(crate) ended: CancellationToken,
    pub(crate) lease: Lease,
}

pub(super) struct Candidate {
    pub(super) address: ZkAddress,
    pub(super) options: ZkOptions,
    pub(super) info: LeaderInfo,
    pub(super) state: watch::Sender<Leadership>,
    /// Why it does not stand in line, when it does not.
    pub(super) problem: watch::Sender<Option<Arc<SessionError>>>,
    pub(super) stop: CancellationToken,
}

/// How one session's candidacy ended.
enum Ended {
    /// It never led: try again with a new session.
    TryAgain(SessionError),
    Over(LostReason),
}

impl Candidate {
    pub(super) async fn run(self) {
        let mut backoff = session_backoff();
        loop {
            match self.run_one_session().await {
                Ended::Over(reason) => {
                    tracing::info!(%reason, "leadership lost");
                    self.state.send_replace(Leadership::Lost(reason));
                    return;
                }
                Ended::TryAgain(error) => {
                    let cause =
                        std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    tracing::warn!(%error, cause, "cannot run for leader; trying again");
                    self.problem.send_replace(Some(Arc::new(error)));
                }
            }
            let wait = tokio::time::sleep(backoff.next_wait());
            if self.stop.run_until_cancelled(wait).await.is_none() {
                self.state.send_replace(Leadership::Lost(LostReason::Resigned));
                return;
            }
        }
    }

    async fn run_one_session(&self) -> Ended {
        let connected = self.stop.run_until_cancelled(connect(&self.address, &self.options)).await;
        let client = match connected {
            None => return Ended::Over(LostReason::Resigned),
            Some(Err(error)) => return Ended::TryAgain(error),
            Some(Ok(client)) => client,
        };
        // Not cancelled: a znode made for a request that was given up would stand for a candidate that is none.
        let path = match self.announce(&client).await {
            Ok(path) => path,
            Err(error) => return Ended::TryAgain(error),
        };
        self.problem.send_if_modified(|problem| problem.take().is_some());
        let outcome = match self.stop.run_until_cancelled(self.await_turn(&client, &path)).await {
            None => Ended::Over(LostReason::Resigned),
            Some(Err(error)) => Ended::TryAgain(error),
            Some(Ok(())) => Ended::Over(self.lead(&client, &path).await),
        };
        self.withdraw(&client, &path).await;
        outcome
    }

    /// Makes the election znode. When the outcome is unknown the session is given up, and a znode with it.
    async fn announce(&self, client: &Client) -> Result<String, SessionError> {
        let parent = &self.address.path;
        let acls = public_acls(&self.address);
        client
            .mkdir(parent, &CreateMode::Persistent.with_acls(acls))
            .await
            .map_err(|source| SessionError::new("create", parent, source))?;
        let prefix = format!("{parent}/{CANDIDATE_PREFIX}");
        let options = CreateMode::EphemeralSequential.with_acls(acls);
        let created = client.create(&prefix, &self.info.to_json(), &options).await;
        let (_, sequence) = created.map_err(|source| SessionError::new("create", &prefix, source))?;
        Ok(format!("{prefix}{sequence}"))
    }

    /// Returns when no candidate is before ours.
    async fn await_turn(&self, client: &Client, path: &str) -> Result<(), SessionError> {
        loop {
            match self.look_ahead(client, path).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(source) if outcome_unknown(&source) && reconnected(client).await => {}
                Err(source) => return Err(SessionError::new("wait in line as", path, source)),
            }
        }
    }

    /// True when ours is the first; otherwise waits until the one before it is gone. What belongs to no session is none of the
    /// candidates: no leader ever came of it, and it would stand for ever.
    async fn look_ahead(&self, client: &Client, path: &str) -> Result<bool, Error> {
        let mut before = candidates(client.list_children(&self.address.path).await?);
        let own = path.rsplit('/').next().unwrap_or_default();
        before.truncate(before.iter().position(|name| name == own).ok_or(Error::NoNode)?);
        for name in before.into_iter().rev() {
            let znode = format!("{}/{name}", self.address.path);
            let (stat, watch) = client.check_and_watch_stat(&znode).await?;
            match stat {
                Some(stat) if is_nobodys(&stat) => tracing::warn!(
                    znode,
                    "passed over in the election, since it belongs to no session: delete it; clients of Mesos may take it for the leader"
                ),
                Some(_) if watch.changed().await.session_state.is_terminated() => {
                    return Err(Error::SessionExpired);
                }
                Some(_) | None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Leads until it is lost or given away.
    async fn lead(&self, client: &Client, path: &str) -> LostReason {
        let ended = CancellationToken::new();
        let _ends_term = ended.clone().drop_guard();
        let (address, path_of_ours, lease) = (self.address.clone(), path.to_owned(), Lease::over());
        let fence = Fence { client: client.clone(), address, path: path_of_ours, ended, lease };
        let term = Term::fenced(fence);
        let (mut states, mut pace) = (client.state_watcher(), Pace::default());
        loop {
            let held = tokio::select! {
                biased; // giving up first; then what takes the right to lead away; then what may confirm it
                () = self.stop.cancelled() => return LostReason::Resigned,
                lost = self.hold(client, path, &mut states, &term, &mut pace) => lost,
            };
            if let Some(reason) = held {
                return reason;
            }
        }
    }

    /// Confirms that the znode stands and says who leads, leads until something happens, and suspends while disconnected.
    async fn hold(
        &self,
        client: &Client,
        path: &str,
        states: &mut StateWatcher,
        term: &Term,
        pace: &mut Pace,
    ) -> Option<LostReason> {
        let (asked, lasts) = (Instant::now(), client.session_timeout().min(self.options.session_timeout));
        let (data, stat, watch) = match client.get_and_watch_data(path).await {
            Ok(found) if found.1.ephemeral_owner == client.session_id().0 => found,
            Ok(_) => return Some(LostReason::Deposed(path.to_owned())),
            Err(error) => return self.not_held(client, path, error, pace).await,
        };
        if states.peek_state() != SessionState::SyncConnected {
            return self.suspend(client).await;
        }
        term.lease().renew(asked, lasts);
        let is_ours = data == self.info.to_json();
        self.state.send_if_modified(|state| {
            let news = is_ours && !matches!(state, Leadership::Leading(_));
            if news {
                tracing::info!(znode = path, "leading");
                *state = Leadership::Leading(term.clone());
            }
            news
        });
        tokio::select! {
            biased; // a broken connection before news that arrived over it
            state = states.changed() => match state {
                SessionState::SyncConnected => None,
                _ => self.suspend(client).await,
            },
            lost = self.write_back(client, path, stat.version, pace), if !is_ours => lost,
            // What is to be written back is not looked at again before it was: whoever changes it in a loop would set the pace.
            event = watch.changed(), if is_ours => event.session_state.is_terminated().then_some(LostReason::SessionExpired),
            () = self.renew(client, path, &stat, (lasts, term.lease())) => None,
        }
    }

    /// Puts what this leader wrote in place of what somebody else did: nobody could find it otherwise. The znode is its own, by its
    /// session, so no other master ever writes it; and what has been changed again meanwhile is looked at first.
    async fn write_back(
        &self,
        client: &Client,
        path: &str,
        version: i32,
        pace: &mut Pace,
    ) -> Option<LostReason> {
        pace.wait().await;
        tracing::warn!(
            znode = path,
            "the leader's election znode was changed by somebody else: it is written back"
        );
        match client.set_data(path, &self.info.to_json(), Some(version)).await {
            Ok(_) | Err(Error::BadVersion) => None,
            Err(error) => self.not_held(client, path, error, pace).await,
        }
    }

    /// What it means that the znode could not be read or written.
    async fn not_held(
        &self,
        client: &Client,
        path: &str,
        error: Error,
        pace: &mut Pace,
    ) -> Option<LostReason> {
        match error {
            Error::NoNode => Some(LostReason::Deposed(path.to_owned())),
            error if session_over(&error) => Some(LostReason::SessionExpired),
            // Nobody else can read it either, or it cannot say who leads: another znode can.
            error @ (Error::NoAuth | Error::QuotaExceeded) => {
                Some(LostReason::Spoilt { znode: path.to_owned(), why: error.to_string() })
            }
            _ => {
                let lost = self.suspend(client).await;
                if lost.is_none() {
                    // The connection may have stood all the while.
                    pace.wait().await;
                }
                lost
            }
        }
    }

    /// Renews the lease for as long as the znode is found to stand as it was read, and who may read it: nobody who may not is told of a
    /// change.
    async fn renew(&self, client: &Client, path: &str, read: &Stat, (lasts, lease): (Duration, Lease)) {
        let standing = (client.session_id().0, read.version, read.aversion);
        loop {
            tokio::time::sleep(lasts / RENEWALS).await;
            let asked = Instant::now();
            match client.check_stat(path).await {
                Ok(Some(stat)) if (stat.ephemeral_owner, stat.version, stat.aversion) == standing => {
                    lease.renew(asked, lasts);
                }
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Tells that nothing may be promised, and waits for the connection or the session's end.
    async fn suspend(&self, client: &Client) -> Option<LostReason> {
        self.state.send_if_modified(|state| {
            let news = matches!(state, Leadership::Leading(_));
            if news {
                tracing::warn!("leadership suspended: no connection to ZooKeeper");
                *state = Leadership::Suspended;
            }
            news
        });
        if reconnected(client).await { None } else { Some(LostReason::SessionExpired) }
    }

    /// Removes the znode at once, so that the next in line need not wait for the session to end.
    async fn withdraw(&self, client: &Client, path: &str) {
        let deleted = tokio::time::timeout(RESIGN_WITHIN, client.delete(path, None)).await;
        match deleted.unwrap_or(Err(Error::Timeout)) {
            Ok(()) | Err(Error::NoNode | Error::SessionExpired | Error::ClientClosed) => {}
            Err(error) => {
                tracing::warn!(%error, znode = path, "left the election znode to the session's end")
            }
        }
    }
}
