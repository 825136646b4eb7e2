//! One scheduler among several processes: the elected one runs, the others wait.

use std::marker::PhantomData;

use chapada_coordination::{Coordination, LeaderInfo, WriteError};
use tokio_util::sync::CancellationToken;

use crate::config::FrameworkConfig;
use crate::election::{Candidate, Ending, Over, Replica, Turn, run_in_turns};
use crate::run::{RunError, connect, drive};
use crate::scheduler::{Scheduler, SchedulerError};
use crate::store::OpenedStore;

/// Runs for leader, and while leading runs the scheduler that `make` puts together from the store; begins again when the place is
/// lost: its callback is dropped where it stands, and what it has called and was not sent yet is not sent. Returns when the
/// scheduler ends by itself or `stop` is cancelled; the place is free at once then.
///
/// While the connection to ZooKeeper is broken the scheduler runs on, but its writes wait: one that stores its intents before it
/// launches does nothing that a successor would not know of.
///
/// A program with a loop of its own, or one that serves others while it waits, implements [`Replica`] instead.
///
/// # Errors
/// [`RunError`] when the store cannot be opened or the scheduler fails, but not when another process took over.
pub async fn run_elected<S: Scheduler>(
    coordination: &Coordination,
    candidate: Candidate,
    config: FrameworkConfig,
    make: impl FnMut(&OpenedStore) -> Result<S, SchedulerError>,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let mut elected = Elected { config, make, scheduler: PhantomData };
    run_in_turns(coordination, candidate, &mut elected, stop).await
}

/// A scheduler that is made anew for each turn.
struct Elected<S, M> {
    config: FrameworkConfig,
    make: M,
    scheduler: PhantomData<fn() -> S>,
}

impl<S, M> Replica for Elected<S, M>
where
    S: Scheduler,
    M: FnMut(&OpenedStore) -> Result<S, SchedulerError>,
{
    type Error = RunError;

    fn standby(&mut self, _: Option<&LeaderInfo>) {}

    async fn lead(&mut self, mut turn: Turn) -> Result<Ending, RunError> {
        let mut scheduler = (self.make)(&turn.opened)
            .map_err(|source| RunError::Scheduler { event: "its start".to_owned(), source })?;
        let (driver, events) = connect(self.config.clone(), Some(&turn.opened));
        let mut running = Box::pin(drive(&driver, events, &mut scheduler, self.config.tick));
        tokio::select! {
            biased; // once the place is lost, not one more callback goes on
            over = turn.over() => match over {
                Over::Lost => {
                    driver.abandon();
                    return Ok(Ending::HandOver);
                }
                Over::Stopped => driver.stop(),
            },
            outcome = &mut running => return outcome.map(|()| Ending::Done),
        }
        tokio::select! {
            biased;
            () = turn.lost() => driver.abandon(),
            outcome = running => outcome?,
        }
        Ok(Ending::Done)
    }

    fn refused_write(error: &RunError) -> Option<&WriteError> {
        match error {
            RunError::Store(write) => Some(write),
            RunError::Scheduler { source, .. } => source.downcast_ref(),
            RunError::Refused { .. } | RunError::Aborted(_) | RunError::Open(_) => None,
        }
    }
}
