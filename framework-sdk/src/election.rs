//! Several processes of which one leads: each waits for its turn, works while it leads, and stands in line again.

use std::future::Future;
use std::net::Ipv4Addr;

use chapada_coordination::{
    Campaign, Coordination, Detector, LeaderInfo, Leadership, LostReason, OpenRegistryError, Schema, Term,
    WriteError,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::store::{OpenedStore, Store};

/// A program that runs in several copies, of which one leads.
pub trait Replica {
    /// Why it cannot go on.
    type Error: From<OpenRegistryError>;

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

    /// The write that was refused, when that is what made it fail: one that only the leader may make ends the turn, not the
    /// process.
    fn refused_write(error: &Self::Error) -> Option<&WriteError>;
}

/// A time of leading.
#[derive(Debug)]
pub struct Turn {
    /// The store as found. Writes fail once another process leads.
    pub opened: OpenedStore,
    leadership: watch::Receiver<Leadership>,
    stop: CancellationToken,
}

/// Why a turn is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// The process is to stop.
    Stopped,
    /// Another process may lead already: nothing more is to leave this one.
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
/// When the store cannot be opened or the replica fails, but not when another process took over.
pub async fn run_in_turns<R: Replica>(
    coordination: &Coordination,
    candidate: Candidate,
    replica: &mut R,
    stop: CancellationToken,
) -> Result<(), R::Error> {
    while !stop.is_cancelled() {
        let mut campaign = coordination.campaign(candidate.info.clone());
        let elected = tokio::select! {
            elected = campaign.wait_until_leading() => Some(elected),
            () = follow(coordination.detect(), &candidate.info, replica) => None,
            () = stop.cancelled() => None,
        };
        let outcome = match elected {
            None => Ok(Ending::Done),
            Some(Err(reason)) => Err(Failed::Lost(reason.to_string())),
            Some(Ok(term)) => lead(&campaign, term, candidate.schema, replica, stop.clone()).await,
        };
        campaign.resign().await;
        match outcome {
            Ok(Ending::Done) => return Ok(()),
            Ok(Ending::HandOver) => tracing::info!("gave leadership away; waiting for the next turn"),
            Err(Failed::Lost(why)) => {
                tracing::warn!(%why, "another process takes over; waiting for the next turn")
            }
            Err(Failed::Replica(error)) => return Err(error),
        }
        replica.left().await;
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
        Err(error @ OpenRegistryError::Deposed) => return Err(Failed::Lost(error.to_string())),
        Err(error) => Err(error.into()),
    };
    match (campaign.state(), outcome) {
        (Leadership::Lost(reason), _) if reason != LostReason::Resigned => {
            Err(Failed::Lost(reason.to_string()))
        }
        (_, Ok(ending)) => Ok(ending),
        (_, Err(error)) => match R::refused_write(&error) {
            Some(write @ (WriteError::Deposed | WriteError::OutcomeUnknown)) => {
                Err(Failed::Lost(write.to_string()))
            }
            Some(_) | None => Err(Failed::Replica(error)),
        },
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
    use chapada_coordination::MemoryStore;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Failure {
        #[error(transparent)]
        Open(#[from] OpenRegistryError),
        #[error("a write was refused")]
        Write(#[from] WriteError),
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
                "breaks" => Err(Failure::Broken),
                _ => Ok(Ending::Done),
            }
        }

        async fn left(&mut self) {
            self.seen.push("left".to_owned());
        }

        fn refused_write(error: &Failure) -> Option<&WriteError> {
            match error {
                Failure::Write(write) => Some(write),
                Failure::Open(_) | Failure::Broken => None,
            }
        }
    }

    async fn seen(turns: &[&'static str]) -> (Vec<String>, Result<(), Failure>) {
        let (store, stop) = (MemoryStore::default(), CancellationToken::new());
        let mut replica =
            Scripted { store: store.clone(), stop: stop.clone(), turns: turns.to_vec(), seen: Vec::new() };
        let candidate = Candidate::new(Schema { name: "turns", version: 1, grouped: &[] });
        let outcome = run_in_turns(&Coordination::Memory(store), candidate, &mut replica, stop).await;
        replica.seen.retain(|what| !what.starts_with("waits"));
        (replica.seen, outcome)
    }

    #[tokio::test]
    async fn one_whose_turn_is_over_stands_in_line_again_until_it_is_done() {
        let turns = ["hands over", "is deposed", "writes when deposed", "works"];
        let (seen, outcome) = seen(&turns).await;
        let expected = ["hands over", "left", "is deposed", "left", "writes when deposed", "left", "works"];
        assert_eq!(seen, expected);
        assert!(outcome.is_ok(), "{outcome:?}");
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
