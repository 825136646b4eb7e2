//! Sandboxes of ended tasks are removed once they are old enough.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use chapada_agent_core::Runner;
use chapada_model::ContainerId;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::layout::{LATEST, Layout};
use crate::shell::Input;

/// How often sandboxes are looked through. Source: Mesos' `--disk_watch_interval` is a minute; nothing here is in a hurry.
const EVERY: Duration = Duration::from_secs(600);

/// Removes old sandboxes until `stop`.
pub(crate) async fn run(layout: Layout, age: Duration, inputs: mpsc::Sender<Input>, stop: CancellationToken) {
    let mut ticks = interval(EVERY);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let (reply, answer) = oneshot::channel();
        if inputs.send(Input::View(reply)).await.is_err() {
            return;
        }
        let Ok(view) = answer.await else { return };
        let tasks = view.tasks.iter().map(|task| match &task.record.runner {
            // What a task of a pod leaves is in its executor's sandbox.
            Runner::Pod { parent, .. } => parent.clone(),
            Runner::Command | Runner::Custom { .. } => task.record.container.clone(),
        });
        let executors = view.executors.iter().map(|executor| executor.record.container.clone());
        let held = tasks.chain(executors).collect();
        let layout = layout.clone();
        if let Err(error) = spawn_blocking(move || sweep(&layout, age, &held)).await {
            tracing::error!(%error, "looking through sandboxes failed");
        }
    }
}

/// Removes every sandbox that has not changed for `age` and belongs to none of these containers, and what is empty
/// then above it.
fn sweep(layout: &Layout, age: Duration, held: &BTreeSet<ContainerId>) {
    for agent in entries(&layout.agents()) {
        for framework in entries(&agent.path().join("frameworks")) {
            for executor in entries(&framework.path().join("executors")) {
                sweep_runs(&executor.path().join("runs"), age, held);
                remove_empty(&executor.path().join("runs"));
                remove_empty(&executor.path());
            }
            remove_empty(&framework.path().join("executors"));
            remove_empty(&framework.path());
        }
    }
}

fn sweep_runs(runs: &Path, age: Duration, held: &BTreeSet<ContainerId>) {
    let mut left = 0;
    for run in entries(runs) {
        let name = run.file_name();
        if name == LATEST {
            continue;
        }
        let id = name.to_str().and_then(|name| name.parse::<ContainerId>().ok());
        let known = id.is_some_and(|id| held.contains(&id));
        if known || !is_old(&run, age) {
            left += 1;
            continue;
        }
        match fs::remove_dir_all(run.path()) {
            Ok(()) => tracing::info!(path = %run.path().display(), "removed an old sandbox"),
            Err(error) => {
                tracing::warn!(path = %run.path().display(), %error, "cannot remove an old sandbox")
            }
        }
    }
    if left == 0
        && let Err(error) = fs::remove_file(runs.join(LATEST))
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %runs.display(), %error, "cannot remove the link to the latest run");
    }
}

fn is_old(run: &DirEntry, age: Duration) -> bool {
    let modified = run.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| SystemTime::now().duration_since(modified).is_ok_and(|past| past >= age))
}

fn entries(directory: &Path) -> Vec<DirEntry> {
    fs::read_dir(directory).map(|entries| entries.filter_map(Result::ok).collect()).unwrap_or_default()
}

/// A directory that is not empty stays, which is no error.
fn remove_empty(directory: &Path) {
    if let Err(error) = fs::remove_dir(directory) {
        tracing::trace!(path = %directory.display(), %error, "stays");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn old_sandboxes_go_and_held_ones_stay() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned());
        let runs = |executor: &str| {
            let framework = layout.agents().join("a/frameworks/f/executors");
            framework.join(executor).join("runs")
        };
        for (executor, run) in [("e1", "c1"), ("e1", "c2"), ("e2", "c3")] {
            fs::create_dir_all(runs(executor).join(run).join("deep")).unwrap();
        }
        symlink("/etc", runs("e2").join("c3/link")).unwrap();
        symlink("c3", runs("e2").join(LATEST)).unwrap();
        let held: BTreeSet<ContainerId> = ["c2".parse().unwrap()].into();
        sweep(&layout, Duration::from_secs(3600), &held);
        assert!(runs("e1").join("c1").exists(), "too young");
        sweep(&layout, Duration::ZERO, &held);
        assert!(!runs("e1").join("c1").exists() && runs("e1").join("c2").exists());
        assert!(!layout.agents().join("a/frameworks/f/executors/e2").exists());
        assert!(Path::new("/etc/passwd").exists());
    }
}
