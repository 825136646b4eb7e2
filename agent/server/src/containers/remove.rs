//! Removing what a container leaves.

use std::sync::Arc;
use std::time::Duration;

use chapada_agent_core::Exit;
use chapada_model::ContainerId;
use chapada_shim::{CleanupError, ExitReport, cleanup, runtime_dir};
use tokio::task::spawn_blocking;

use super::Means;
use super::exit::exit_of;
use crate::networks;

/// Removal is tried so often; what still resists is found again at the next start.
const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Kills what still runs and removes cgroups, runtime directory, root and networks.
pub(super) async fn remove(means: Arc<Means>, container: ContainerId) {
    remove_traces(&means, &container).await;
    networks::leave(&means.supplies.networks, container.as_str()).await;
}

async fn remove_traces(means: &Arc<Means>, container: &ContainerId) {
    let Ok(_permit) = means.removing.acquire().await else { return };
    let mut pause = FIRST_PAUSE;
    for attempt in 1..=ATTEMPTS {
        let (shared, id) = (means.clone(), container.clone());
        let removed = spawn_blocking(move || {
            cleanup(shared.launcher.cgroups(), &shared.runtime_dir, id.as_str())?;
            shared.supplies.release(id.as_str());
            Ok::<(), CleanupError>(())
        });
        let removed = removed.await;
        match removed {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                tracing::warn!(container_id = %container, %error, attempt, "cannot remove the container")
            }
            Err(error) => tracing::error!(container_id = %container, %error, "removing the container failed"),
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    tracing::error!(container_id = %container, "the container stays until the agent is restarted");
}

/// After a shim fell silent: kills what is left of its container, and reads what it may have written. Blocks.
pub(super) fn settle(means: &Means, container: &ContainerId) -> Option<Exit> {
    let group = means.launcher.cgroups().group(container.as_str());
    if let Err(error) = group.kill() {
        tracing::error!(container_id = %container, %error, "cannot kill the container");
    }
    let directory = means.runtime_dir.join(container.as_str());
    match runtime_dir::read_record::<ExitReport>(&directory, runtime_dir::EXIT) {
        Ok(report) => report.as_ref().map(exit_of),
        Err(error) => {
            tracing::error!(container_id = %container, %error, "cannot read how the container ended");
            None
        }
    }
}

/// Cgroups without a runtime directory: an agent that died in the middle of a removal left them. To be asked before the
/// first launch, or that would count as one.
pub(crate) fn orphan_groups(means: &Means, known: &[String]) -> Vec<String> {
    match means.launcher.cgroups().containers() {
        Ok(groups) => groups.into_iter().filter(|group| !known.contains(group)).collect(),
        Err(error) => {
            tracing::error!(%error, "cannot list the cgroups of before");
            Vec::new()
        }
    }
}

/// Kills what is in these cgroups and removes them. Blocks.
pub(crate) fn remove_groups(means: &Means, groups: &[String]) {
    for group in groups {
        match cleanup(means.launcher.cgroups(), &means.runtime_dir, group) {
            Ok(()) => tracing::info!(container_id = group, "removed a cgroup that nobody owned"),
            Err(error) => {
                tracing::error!(container_id = group, %error, "cannot remove a cgroup that nobody owns")
            }
        }
    }
}
