//! Finding again what an earlier process launched.

use std::sync::Arc;

use chapada_shim::{RecoveredContainer, RecoveredState, ShimClient};
use tokio::io::unix::AsyncFd;
use tokio_util::task::TaskTracker;

use super::NotNew;
use super::record::Record;
use super::watch::{end_of, settle, unknown_end, watch};
use crate::attach::{ContainerPath, watched};
use crate::containers::Means;

/// A container of no task, as it was found.
#[derive(Debug)]
pub(crate) struct Found {
    record: Record,
    container: RecoveredContainer,
    /// What it is in runs, if it is in another.
    is_held: bool,
}

/// Parts what an earlier process launched from what is of the books. Blocks.
pub(crate) fn recover(all: Vec<RecoveredContainer>) -> (Vec<RecoveredContainer>, Vec<Found>) {
    let runs: Vec<String> = all
        .iter()
        .filter(|found| matches!(found.state, RecoveredState::Running { .. }))
        .map(|found| found.id.clone())
        .collect();
    let (mut of_the_books, mut others) = (Vec::new(), Vec::new());
    for container in all {
        match Record::read(&container.runtime_dir) {
            Ok(Some(record)) => {
                let is_held = record.within.iter().all(|above| runs.contains(above));
                others.push(Found { record, container, is_held });
            }
            Ok(None) => of_the_books.push(container),
            Err(error) => {
                let name = container.id.as_str();
                tracing::error!(container_id = name, %error, "cannot read what was launched; it is destroyed");
                of_the_books.push(container);
            }
        }
    }
    (of_the_books, others)
}

/// Stays with them again; those whose container is over go with it.
pub(crate) fn adopt(means: &Arc<Means>, found: Vec<Found>, tasks: &TaskTracker) {
    for Found { record, container, is_held } in found {
        let Some(path) = ContainerPath::of(&record.path) else { continue };
        let (launched, signals) = match means.nested.add(path, record) {
            Ok(added) => added,
            Err(NotNew::Exists | NotNew::TooMany) => {
                tracing::error!(container_id = container.id, "two containers of one name; this one stays");
                continue;
            }
        };
        let client = match &container.state {
            RecoveredState::Running { pid } => {
                pid.iter().for_each(|pid| launched.started(*pid));
                connect(&container).map(Some)
            }
            RecoveredState::Exited(report) => {
                launched.conclude(end_of(report));
                Ok(None)
            }
            RecoveredState::Dead => {
                launched.conclude(unknown_end());
                Ok(None)
            }
        };
        if !is_held {
            launched.going.cancel();
        }
        let means = means.clone();
        tasks.spawn(async move {
            let client = match client {
                Ok(client) => client,
                Err(error) => {
                    // It has ended since it was found, and left a report.
                    let end = settle(&means, &launched, &error).await;
                    launched.conclude(end);
                    None
                }
            };
            watch(means, launched, client, signals).await;
        });
    }
}

fn connect(container: &RecoveredContainer) -> Result<AsyncFd<ShimClient>, String> {
    let client = ShimClient::connect(&container.runtime_dir).map_err(|error| error.to_string())?;
    watched(client).map_err(|error| error.to_string())
}
