//! One scheduler among several processes: the elected one runs, the others wait.

use chapada_coordination::{Coordination, LeaderInfo};
use tokio_util::sync::CancellationToken;

use crate::config::FrameworkConfig;
use crate::election::{Candidate, Ending, Replica, Turn, run_in_turns};
use crate::run::{RunError, connect, drive};
use crate::scheduler::{Scheduler, SchedulerError};
use crate::store::OpenedStore;

/// Runs for leader, and while leading runs the scheduler that `make` puts together from the store; begins again when the place is
/// lost: its callback is dropped where it stands, and what it has called and was not sent yet is not sent. Returns when the
/// scheduler ends by itself or `stop` is cancelled; the place is free at once then.
///
/// While the connection to ZooKeeper is broken the scheduler runs on, but its writes wait: one that stores its intents before it
/// launches does nothing that a successor would not know of. Should the successor subscribe before this process has heard that its
/// session is over, the master says so, and the place is lost as well.
///
/// # Errors
/// [`RunError`] when the store cannot be opened or the scheduler fails, but not when another process took over
/// ([`RunError::ends_term`]) or ZooKeeper was out of reach. With a file nobody else can take over, so that is an error too.
pub async fn run_elected<S: Scheduler>(
    coordination: &Coordination,
    candidate: Candidate,
    config: FrameworkConfig,
    mut make: impl FnMut(&OpenedStore) -> Result<S, SchedulerError> + Send,
    stop: CancellationToken,
) -> Result<(), RunError> {
    run_in_turns(coordination, candidate, &mut Elected { config, make: &mut make }, stop).await
}

/// A scheduler is put together anew for each turn.
struct Elected<'a, S> {
    config: FrameworkConfig,
    make: &'a mut (dyn FnMut(&OpenedStore) -> Result<S, SchedulerError> + Send),
}

impl<S: Scheduler> Replica for Elected<'_, S> {
    type Error = RunError;

    fn standby(&mut self, leader: Option<&LeaderInfo>) {
        tracing::debug!(leader = leader.map(|leader| &*leader.hostname), "waiting to be elected");
    }

    async fn lead(&mut self, mut turn: Turn) -> Result<Ending, RunError> {
        let mut scheduler = (self.make)(&turn.opened)
            .map_err(|source| RunError::Scheduler { event: "its start".to_owned(), source })?;
        let (driver, events) = connect(self.config.clone(), Some(&turn.opened));
        let running = Box::pin(drive(&driver, events, &mut scheduler, self.config.tick));
        let stop = turn.stop.clone();
        let stopping = async {
            stop.cancelled().await;
            // The run ends when the last calls have gone out.
            driver.stop();
            std::future::pending().await
        };
        tokio::select! {
            biased; // once the place is lost, not one more callback goes on
            () = turn.lost() => {
                driver.abandon();
                Ok(Ending::HandOver)
            }
            outcome = running => outcome.map(|()| Ending::Done),
            ending = stopping => ending,
        }
    }

    fn ends_term(error: &RunError) -> bool {
        error.ends_term()
    }
}
