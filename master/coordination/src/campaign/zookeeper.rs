//! The election recipe: an ephemeral sequential znode each, the smallest leads, each watches the one before it.
//!
//! The crate's own lock recipe is not used: its layout is not Mesos', and it leaks a candidate when cancelled.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use zookeeper_client::{Client, CreateMode, Error, SessionState, StateWatcher};

use super::{Leadership, Lease, LostReason, Term};
use crate::address::ZkAddress;
use crate::backoff::session_backoff;
use crate::detect::{CANDIDATE_PREFIX, candidates};
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

    /// True when ours is the first; otherwise waits until the one before it is gone.
    async fn look_ahead(&self, client: &Client, path: &str) -> Result<bool, Error> {
        let names = candidates(client.list_children(&self.address.path).await?);
        let own = path.rsplit('/').next().unwrap_or_default();
        let place = names.iter().position(|name| name == own).ok_or(Error::NoNode)?;
        let Some(before) = place.checked_sub(1).and_then(|index| names.get(index)) else {
            return Ok(true);
        };
        let (stat, watch) = client.check_and_watch_stat(&format!("{}/{before}", self.address.path)).await?;
        if stat.as_ref().is_some_and(|stat| stat.ephemeral_owner == 0) {
            tracing::warn!(
                znode = before,
                "stands in line before this candidate and belongs to no session, so it would do so for ever: delete it"
            );
        }
        if stat.is_some() && watch.changed().await.session_state.is_terminated() {
            return Err(Error::SessionExpired);
        }
        Ok(false)
    }

    /// Leads until it is lost or given away.
    async fn lead(&self, client: &Client, path: &str) -> LostReason {
        let ended = CancellationToken::new();
        let _ends_term = ended.clone().drop_guard();
        let (address, path_of_ours, lease) = (self.address.clone(), path.to_owned(), Lease::over());
        let fence = Fence { client: client.clone(), address, path: path_of_ours, ended, lease };
        let term = Term::fenced(fence);
        let mut states = client.state_watcher();
        loop {
            let held = tokio::select! {
                biased; // giving up first; then what takes the right to lead away; then what may confirm it
                () = self.stop.cancelled() => return LostReason::Resigned,
                lost = self.hold(client, path, &mut states, &term) => lost,
            };
            if let Some(reason) = held {
                return reason;
            }
        }
    }

    /// Confirms that the znode stands, leads until something happens, and suspends while disconnected.
    async fn hold(
        &self,
        client: &Client,
        path: &str,
        states: &mut StateWatcher,
        term: &Term,
    ) -> Option<LostReason> {
        let (asked, lasts) = (Instant::now(), client.session_timeout().min(self.options.session_timeout));
        let watch = match client.check_and_watch_stat(path).await {
            Ok((Some(stat), watch)) if stat.ephemeral_owner == client.session_id().0 => watch,
            Ok(_) => return Some(LostReason::Deposed(path.to_owned())),
            Err(error) if session_over(&error) => return Some(LostReason::SessionExpired),
            Err(_) => return self.suspend(client).await,
        };
        if states.peek_state() != SessionState::SyncConnected {
            return self.suspend(client).await;
        }
        term.lease().renew(asked, lasts);
        self.state.send_if_modified(|state| {
            let news = !matches!(state, Leadership::Leading(_));
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
            event = watch.changed() => event.session_state.is_terminated().then_some(LostReason::SessionExpired),
            () = self.renew(client, path, lasts, term.lease()) => None,
        }
    }

    /// Renews the lease for as long as the znode is found to stand.
    async fn renew(&self, client: &Client, path: &str, lasts: Duration, lease: Lease) {
        loop {
            tokio::time::sleep(lasts / RENEWALS).await;
            let asked = Instant::now();
            match client.check_stat(path).await {
                Ok(Some(stat)) if stat.ephemeral_owner == client.session_id().0 => lease.renew(asked, lasts),
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
