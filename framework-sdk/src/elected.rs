//! One scheduler among several processes: the elected one runs, the others wait.

use chapada_coordination::{Coordination, Leadership, LostReason, OpenRegistryError, WriteError};
use tokio_util::sync::CancellationToken;

use crate::config::FrameworkConfig;
use crate::election::Candidate;
use crate::run::{RunError, connect, drive};
use crate::scheduler::{Scheduler, SchedulerError};
use crate::store::{OpenedStore, Store};

/// Runs for leader, and while leading runs the scheduler that `make` puts together from the store; begins again when the place is
/// lost: its callback is dropped where it stands, and what it has called and was not sent yet is not sent. Returns when the
/// scheduler ends by itself or `stop` is cancelled; the place is free at once then.
///
/// While the connection to ZooKeeper is broken the scheduler runs on, but its writes wait: one that stores its intents before it
/// launches does nothing that a successor would not know of.
///
/// # Errors
/// [`RunError`] when the store cannot be opened or the scheduler fails, but not when another process took over.
pub async fn run_elected<S: Scheduler>(
    coordination: &Coordination,
    candidate: Candidate,
    config: FrameworkConfig,
    mut make: impl FnMut(&OpenedStore) -> Result<S, SchedulerError>,
    stop: CancellationToken,
) -> Result<(), RunError> {
    while !stop.is_cancelled() {
        let mut campaign = coordination.campaign(candidate.info.clone());
        let term = match stop.run_until_cancelled(campaign.wait_until_leading()).await {
            None => {
                campaign.resign().await;
                return Ok(());
            }
            Some(Err(reason)) => {
                tracing::warn!(%reason, "not elected");
                continue;
            }
            Some(Ok(term)) => term,
        };
        let opened = match Store::open(&term, candidate.schema).await {
            Ok(opened) => opened,
            Err(OpenRegistryError::Deposed) => continue,
            Err(error) => return Err(RunError::Open(error)),
        };
        let mut scheduler =
            make(&opened).map_err(|source| RunError::Scheduler { event: "its start".to_owned(), source })?;
        let (driver, events) = connect(config.clone(), Some(&opened));
        let mut leadership = campaign.watch();
        let lost = async move {
            // An error means that the campaign's task is gone, and the place with it.
            drop(leadership.wait_for(|state| matches!(state, Leadership::Lost(_))).await);
        };
        let running = Box::pin(drive(&driver, events, &mut scheduler, config.tick));
        let stopping = async {
            stop.cancelled().await;
            driver.stop();
            std::future::pending::<()>().await;
        };
        let outcome = tokio::select! {
            biased; // once the place is lost, not one more callback goes on
            () = lost => {
                driver.abandon();
                Ok(())
            }
            outcome = running => outcome,
            () = stopping => Ok(()),
        };
        let deposed = matches!(campaign.state(), Leadership::Lost(reason) if reason != LostReason::Resigned);
        campaign.resign().await;
        match outcome {
            _ if deposed => tracing::warn!("another process takes over"),
            Err(error) if is_deposed(&error) => tracing::warn!("another process takes over"),
            Ok(()) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether it failed because a write was refused that only the leader may make.
fn is_deposed(error: &RunError) -> bool {
    let write = match error {
        RunError::Store(write) => Some(write),
        RunError::Scheduler { source, .. } => source.downcast_ref(),
        RunError::Refused { .. } | RunError::Aborted(_) | RunError::Open(_) => None,
    };
    matches!(write, Some(WriteError::Deposed | WriteError::OutcomeUnknown))
}
