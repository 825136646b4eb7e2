//! Finding again what an earlier process launched.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chapada_shim::{RecoveredContainer, RecoveredState, ShimClient};
use tokio::io::unix::AsyncFd;
use tokio_util::task::TaskTracker;

use super::NotNew;
use super::record::Record;
use super::watch::{end_of, is_over, settle, unknown_end, watch};
use crate::attach::{ContainerPath, watched};
use crate::containers::Means;
use crate::sweep::age_from_end;

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

/// When one ended that does not run; without a word from its shim, when that was first seen.
fn ended(record: &mut Record, container: &RecoveredContainer, now: SystemTime) -> Option<SystemTime> {
    let ended_ms = match &container.state {
        RecoveredState::Running { .. } => return None,
        RecoveredState::Exited(report) => report.ended_ms,
        RecoveredState::Dead => *record.found_over_ms.get_or_insert_with(|| {
            let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
        }),
    };
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ended_ms))
}

/// The sandbox of one that ended while no agent ran is kept for a while from when the first hears of it. Blocks.
fn begin_age(mut record: Record, container: &RecoveredContainer) -> Record {
    let before = record.found_over_ms;
    if let Some(ended) = ended(&mut record, container, SystemTime::now()) {
        age_from_end(&record.sandbox, ended);
    }
    if record.found_over_ms != before
        && let Err(error) = record.write(&container.runtime_dir)
    {
        tracing::warn!(container_id = container.id, %error, "its sandbox may be kept for longer");
    }
    record
}

/// Stays with them again; those whose container is over go with it. To be called before sandboxes are removed. Blocks for a
/// look at those of what has ended.
pub(crate) fn adopt(means: &Arc<Means>, found: Vec<Found>, tasks: &TaskTracker) {
    for Found { mut record, container, is_held } in found {
        let Some(path) = ContainerPath::of(&record.path) else { continue };
        if path.parent().is_none() {
            record = begin_age(record, &container);
        }
        let (launched, signals) = match means.nested.add(path, record) {
            Ok(added) => added,
            Err(NotNew::Exists | NotNew::TooMany | NotNew::Claimed) => {
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
                    is_over(&means, &launched, end);
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn found(state: RecoveredState, runtime_dir: &Path) -> RecoveredContainer {
        RecoveredContainer { id: "s".to_owned(), runtime_dir: runtime_dir.to_owned(), state }
    }

    fn changed(sandbox: &Path) -> SystemTime {
        std::fs::metadata(sandbox).unwrap().modified().unwrap()
    }

    #[test]
    fn the_age_of_a_sandbox_begins_when_an_agent_first_hears_of_the_end_and_not_again() {
        let place = tempfile::tempdir().unwrap();
        let (sandbox, runtime_dir) = (place.path().join("sandbox"), place.path().join("s"));
        std::fs::create_dir_all(&sandbox).unwrap();
        let report =
            r#"{"version":1,"outcome":{"exited":{"code":0}},"oom":null,"ended_ms":1700000000000,"usage":{}}"#;
        let reported = RecoveredState::Exited(serde_json::from_str(report).unwrap());
        for state in [reported, RecoveredState::Dead] {
            let record = serde_json::json!({ "version": 1, "path": ["a"], "shim": "s", "within": [], "sandbox": sandbox,
                "variables": [], "user": null, "resources": "" });
            let record: Record = serde_json::from_value(record).unwrap();
            let set = |at| std::fs::File::open(&sandbox).unwrap().set_modified(at).unwrap();
            set(SystemTime::UNIX_EPOCH);
            let container = found(state, &runtime_dir);
            let before = SystemTime::now();
            let record = begin_age(record, &container);
            let begun = changed(&sandbox);
            assert!(begun > before - Duration::from_secs(1), "{container:?}");
            // What the next agent finds.
            let record = Record::read(&runtime_dir).unwrap().unwrap_or(record);
            let hour_ago = begun - Duration::from_secs(3600);
            let ended = ended(&mut record.clone(), &container, begun).unwrap();
            let since = if ended < hour_ago { hour_ago } else { begun };
            set(since);
            begin_age(record, &container);
            assert_eq!(changed(&sandbox), since, "{container:?}");
        }
    }
}
