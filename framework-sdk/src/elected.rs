//! One scheduler among several processes: the elected one runs, the others wait.

use chapada_coordination::{
    Coordination, LeaderInfo, Leadership, LostReason, OpenRegistryError, Schema, WriteError,
};
use tokio_util::sync::CancellationToken;

use crate::config::FrameworkConfig;
use crate::run::{RunError, run};
use crate::scheduler::{Scheduler, SchedulerError};
use crate::store::{OpenedStore, Store};

/// Runs for leader, and while leading runs the scheduler that `make` puts together from the store; begins again when the place is
/// lost. Returns when the scheduler ends by itself or `stop` is cancelled.
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
        let scheduler =
            make(&opened).map_err(|source| RunError::Scheduler { event: "its start".to_owned(), source })?;
        let stop_scheduler = stop.child_token();
        let mut leadership = campaign.watch();
        let lost = async move {
            // An error means that the campaign's task is gone, and the place with it.
            drop(leadership.wait_for(|state| matches!(state, Leadership::Lost(_))).await);
        };
        let mut running = Box::pin(run(config.clone(), Some(&opened), scheduler, stop_scheduler.clone()));
        let outcome = tokio::select! {
            outcome = &mut running => outcome,
            () = lost => {
                stop_scheduler.cancel();
                running.await
            }
        };
        let deposed = matches!(campaign.state(), Leadership::Lost(reason) if reason != LostReason::Resigned);
        campaign.resign().await;
        match outcome {
            _ if deposed => tracing::warn!("another process takes over"),
            Err(error) if is_deposed(&error) => tracing::warn!("another process takes over"),
            Ok(_) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Who runs for leader, and what the store holds.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What others see of it.
    pub info: LeaderInfo,
    /// Name and version of the scheduler's records.
    pub schema: Schema,
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
