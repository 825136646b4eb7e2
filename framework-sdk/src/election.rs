//! Several processes of which one leads: each waits for its turn, works while it leads, and stands in line again.

use std::fmt::Display;
use std::future::Future;
use std::net::Ipv4Addr;
use std::time::Duration;

use chapada_coordination::{
    Campaign, Coordination, Detector, LeaderInfo, Leadership, LostReason, OpenRegistryError, Schema, Term,
};
use chapada_sdk_core::Backoff;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::random::random;
use crate::store::{OpenedStore, Store};

/// After a turn that was lost: what has ended it may end the next one as soon.
const BEFORE_THE_NEXT: Backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(15) };
/// A turn that lasted as long does not count as one that ended soon.
const LASTED: Duration = Duration::from_secs(60);

/// A program that runs in several copies, of which one leads.
pub trait Replica {
    /// Why it cannot go on.
    type Error: From<OpenRegistryError> + Display;

    /// While it waits for its turn: this process leads, as far as is known. Called at the beginning of each wait and with each
    /// change.
    fn standby(&mut self, leader: Option<&LeaderInfo>);

    /// Does its work for as long as it leads. It ends by itself, and soon after [`Turn::over`] says so: whatever it has begun
    /// by then it ends in an order of its own, and the place is given away when it has returned.
    fn lead(&mut self, turn: Turn) -> impl Future<Output = Result<Ending, Self::Error>>;

    /// Its turn is over and the place is free. Called before the next wait.
    fn left(&mut self) -> impl Future<Output = ()> {
        async {}
    }

    /// Whether it failed because another process leads, or may lead: ask [`RunError::ends_term`](crate::RunError::ends_term),
    /// [`WriteError::ends_term`](crate::WriteError::ends_term) or
    /// [`OpenRegistryError::ends_term`](crate::OpenRegistryError::ends_term), whichever it came from. That ends the turn, not the
    /// process, unless the store is a file: then there is no other.
    fn ends_term(error: &Self::Error) -> bool;
}

/// A time of leading.
#[derive(Debug)]
pub struct Turn {
    /// The store as found. Writes fail once another process leads.
    pub opened: OpenedStore,
    leadership: watch::Receiver<Leadership>,
    pub(crate) stop: CancellationToken,
}

/// Why a turn is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// The process is to stop.
    Stopped,
    /// Another process may lead already: nothing more is to leave this one ([`Driver::abandon`](crate::Driver::abandon)).
    Lost,
}

impl Turn {
    /// Waits until the turn is to end. May be cancelled and called again.
    pub async fn over(&mut self) -> Over {
        let stop = self.stop.clone();
        tokio::select! {
            biased; // a process that is to stop and has lost its place may not act as if it had it
            () = self.lost() => Over::Lost,
            () = stop.cancelled() => Over::Stopped,
        }
    }

    /// Waits until the place is lost. May be cancelled and called again.
    pub async fn lost(&mut self) {
        // An error means that the campaign's task is gone, and the place with it.
        drop(self.leadership.wait_for(|state| matches!(state, Leadership::Lost(_))).await);
    }
}

/// What comes after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The work is done, or the process is to stop.
    Done,
    /// Somebody else shall lead; this process stands in line again.
    HandOver,
}

/// Who runs for leader, and what the store holds.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What others see of it.
    pub info: LeaderInfo,
    /// Name and version of the scheduler's records.
    pub schema: Schema,
}

impl Candidate {
    /// One that has no pages of its own to show, on this machine.
    pub fn new(schema: Schema) -> Self {
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let info = LeaderInfo {
            id: uuid::Uuid::new_v4().to_string(),
            hostname: if hostname.is_empty() { "localhost" } else { hostname.trim() }.to_owned(),
            ip: Ipv4Addr::LOCALHOST.into(),
            // It listens nowhere; the others only see who leads.
            port: 1,
            version: String::new(),
            capabilities: Vec::new(),
        };
        Self { info, schema }
    }
}

/// Runs for leader, lets `replica` lead, and begins again when the turn is over, until [`Ending::Done`] or `stop`. The place
/// is free at once when this returns.
///
/// # Errors
/// When the store cannot be opened or the replica fails, but not when another process took over ([`Replica::ends_term`]).
pub async fn run_in_turns<R: Replica>(
    coordination: &Coordination,
    candidate: Candidate,
    replica: &mut R,
    stop: CancellationToken,
) -> Result<(), R::Error> {
    let mut short_turns = 0;
    while !stop.is_cancelled() {
        let mut campaign = coordination.campaign(candidate.info.clone());
        let elected = tokio::select! {
            elected = campaign.wait_until_leading() => Some(elected),
            () = follow(coordination.detect(), &candidate.info, replica) => None,
            () = stop.cancelled() => None,
        };
        let began = Instant::now();
        let outcome = match elected {
            None => Ok(Ending::Done),
            Some(Err(reason)) => Err(Failed::Lost(reason.to_string())),
            Some(Ok(term)) => {
                lead(coordination, &campaign, term, candidate.schema, replica, stop.clone()).await
            }
        };
        campaign.resign().await;
        let wait = match outcome {
            Ok(Ending::Done) => return Ok(()),
            Ok(Ending::HandOver) => {
                tracing::info!("gave leadership away; waiting for the next turn");
                Duration::ZERO
            }
            Err(Failed::Lost(why)) => {
                tracing::warn!(%why, "lost leadership; waiting for the next turn");
                let before = if began.elapsed() >= LASTED { 0 } else { short_turns };
                short_turns = before + 1;
                BEFORE_THE_NEXT.wait(before, random())
            }
            Err(Failed::Replica(error)) => return Err(error),
        };
        replica.left().await;
        stop.run_until_cancelled(tokio::time::sleep(wait)).await;
    }
    Ok(())
}

enum Failed<E> {
    /// Its place is another's; why.
    Lost(String),
    Replica(E),
}

/// One turn.
async fn lead<R: Replica>(
    coordination: &Coordination,
    campaign: &Campaign,
    term: Term,
    schema: Schema,
    replica: &mut R,
    stop: CancellationToken,
) -> Result<Ending, Failed<R::Error>> {
    let outcome = match Store::open(&term, schema).await {
        Ok(opened) => {
            drop(term);
            replica.lead(Turn { opened, leadership: campaign.watch(), stop }).await
        }
        Err(error) => Err(error.into()),
    };
    let is_alone = matches!(coordination, Coordination::Embedded(_));
    match (campaign.state(), outcome) {
        (Leadership::Lost(reason), _) if reason != LostReason::Resigned => {
            Err(Failed::Lost(reason.to_string()))
        }
        (_, Ok(ending)) => Ok(ending),
        (_, Err(error)) if R::ends_term(&error) && !is_alone => Err(Failed::Lost(error.to_string())),
        (_, Err(error)) => Err(Failed::Replica(error)),
    }
}

/// Tells who else leads, for as long as it is polled.
async fn follow<R: Replica>(mut detector: Detector, own: &LeaderInfo, replica: &mut R) {
    // An entry with our address and another id is that of our former life, which ZooKeeper has not missed yet.
    let is_other = |leader: &&LeaderInfo| (leader.port, &leader.hostname) != (own.port, &own.hostname);
    let mut leader = detector.leader();
    loop {
        replica.standby(leader.as_ref().filter(is_other));
        leader = detector.changed().await;
    }
}

#[cfg(test)]
mod tests {
    use chapada_coordination::{MemoryStore, WriteError};

    use super::*;
    use crate::run::RunError;

    #[derive(Debug, thiserror::Error)]
    enum Failure {
        #[error(transparent)]
        Open(#[from] OpenRegistryError),
        #[error("a write was refused")]
        Write(#[from] WriteError),
        #[error("no subscription")]
        Run(#[from] RunError),
        #[error("broken")]
        Broken,
    }

    /// Does in each turn what is next on its list, and notes what happens to it.
    struct Scripted {
        store: MemoryStore,
        stop: CancellationToken,
        turns: Vec<&'static str>,
        seen: Vec<String>,
    }

    impl Replica for Scripted {
        type Error = Failure;

        fn standby(&mut self, leader: Option<&LeaderInfo>) {
            self.seen.push(format!("waits behind {:?}", leader.map(|leader| leader.port)));
        }

        async fn lead(&mut self, mut turn: Turn) -> Result<Ending, Failure> {
            let next = self.turns.remove(0);
            self.seen.push(next.to_owned());
            match next {
                "hands over" => Ok(Ending::HandOver),
                "is deposed" => {
                    self.store.depose();
                    assert_eq!(turn.over().await, Over::Lost);
                    turn.lost().await;
                    Ok(Ending::Done)
                }
                "writes when deposed" => {
                    self.store.depose();
                    turn.opened.store.put("kind", "key", b"").await?;
                    Ok(Ending::Done)
                }
                "is stopped" => {
                    self.stop.cancel();
                    assert_eq!(turn.over().await, Over::Stopped);
                    Ok(Ending::HandOver)
                }
                "is interfered with" => {
                    self.store.refuse_writes([WriteError::Interfered("by hand".to_owned())]);
                    turn.opened.store.put("kind", "key", b"").await?;
                    Ok(Ending::Done)
                }
                "is failed over" => Err(RunError::FailedOver.into()),
                "breaks" => Err(Failure::Broken),
                _ => Ok(Ending::Done),
            }
        }

        async fn left(&mut self) {
            self.seen.push("left".to_owned());
        }

        fn ends_term(error: &Failure) -> bool {
            match error {
                Failure::Write(write) => write.ends_term(),
                Failure::Run(run) => run.ends_term(),
                Failure::Open(_) | Failure::Broken => false,
            }
        }
    }

    async fn seen(turns: &[&'static str]) -> (Vec<String>, Result<(), Failure>) {
        let store = MemoryStore::default();
        seen_with(store.clone(), &Coordination::Memory(store), turns).await
    }

    async fn seen_with(
        store: MemoryStore,
        coordination: &Coordination,
        turns: &[&'static str],
    ) -> (Vec<String>, Result<(), Failure>) {
        let stop = CancellationToken::new();
        let mut replica = Scripted { store, stop: stop.clone(), turns: turns.to_vec(), seen: Vec::new() };
        let candidate = Candidate::new(Schema { name: "turns", version: 1, grouped: &[] });
        let outcome = run_in_turns(coordination, candidate, &mut replica, stop).await;
        replica.seen.retain(|what| !what.starts_with("waits"));
        (replica.seen, outcome)
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_turn_is_over_stands_in_line_again_until_it_is_done() {
        let over =
            ["hands over", "is deposed", "writes when deposed", "is interfered with", "is failed over"];
        let (seen, outcome) = seen(&[&over[..], &["works"]].concat()).await;
        let expected: Vec<&str> = over.into_iter().flat_map(|turn| [turn, "left"]).chain(["works"]).collect();
        assert_eq!(seen, expected);
        assert!(outcome.is_ok(), "{outcome:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn turns_that_are_lost_at_once_come_ever_less_often() {
        let began = Instant::now();
        let (turns, outcome) = seen(&[&["is failed over"; 30][..], &["works"]].concat()).await;
        assert_eq!((turns.len(), outcome.is_ok()), (61, true));
        // Thirty waits of 15 s at most, of which half is waited on average; without growth they would be 3 s at most.
        assert!(began.elapsed() > Duration::from_secs(30), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn one_that_keeps_a_file_has_nobody_to_lose_its_place_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let coordination = Coordination::embedded(&folder.path().join("store")).expect("a new file");
        let (turns, outcome) = seen_with(MemoryStore::default(), &coordination, &["is failed over"]).await;
        assert_eq!(turns, ["is failed over"]);
        assert!(matches!(outcome, Err(Failure::Run(RunError::FailedOver))), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_failure_of_its_own_ends_it_and_so_does_a_stop() {
        let (turns, outcome) = seen(&["breaks"]).await;
        assert_eq!(turns, ["breaks"]);
        assert!(matches!(outcome, Err(Failure::Broken)));
        let (turns, outcome) = seen(&["is stopped"]).await;
        assert_eq!(turns, ["is stopped", "left"]);
        assert!(outcome.is_ok());
    }

    #[tokio::test]
    async fn while_it_waits_it_is_told_who_leads_unless_that_is_its_own_former_life() {
        let candidate = Candidate::new(Schema { name: "turns", version: 1, grouped: &[] });
        let other = LeaderInfo { port: 8080, ..candidate.info.clone() };
        for (leader, behind) in
            [(other, "waits behind Some(8080)"), (candidate.info.clone(), "waits behind None")]
        {
            let (store, stop) = (MemoryStore::default(), CancellationToken::new());
            let mut replica = Scripted { store, stop, turns: Vec::new(), seen: Vec::new() };
            let following = follow(Detector::fixed(leader), &candidate.info, &mut replica);
            let waited = tokio::time::timeout(std::time::Duration::from_millis(10), following).await;
            assert!(waited.is_err(), "it follows for as long as it is polled");
            assert_eq!(replica.seen, [behind]);
        }
    }
}
