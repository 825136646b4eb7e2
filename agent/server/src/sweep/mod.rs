//! Sandboxes of what has ended are removed once they are old enough, and sooner the fuller the disk is: the oldest first, and
//! no more of them than it takes. Their age counts from the end of what they were for ([`Ages`]), or from a later change.

mod age;

pub(crate) use age::{Ages, age_from_end};

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chapada_agent_core::Runner;
use chapada_model::ContainerId;
use nix::sys::statvfs::statvfs;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::containers::Means;
use crate::containers::nested::{Claim, Nested};
use crate::layout::{LATEST, Layout};
use crate::shell::Input;
use age::age;

/// When sandboxes go. Source: Mesos' flags of these names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// How long they are kept when the disk is empty.
    pub(crate) gc_delay: Duration,
    /// The share of the disk that is to stay free: at less, every sandbox of an ended task is old enough.
    pub(crate) gc_disk_headroom: f64,
    /// How often they are looked through.
    pub(crate) disk_watch_interval: Duration,
}

impl Policy {
    /// The age at which a sandbox goes, with so much of the disk in use.
    fn most_age(&self, usage: f64) -> Duration {
        self.gc_delay.mul_f64((1.0 - self.gc_disk_headroom - usage).clamp(0.0, 1.0))
    }
}

/// Removes old sandboxes until `stop`.
pub(crate) async fn run(
    means: Arc<Means>,
    policy: Policy,
    inputs: mpsc::Sender<Input>,
    stop: CancellationToken,
) {
    let layout = means.layout.clone();
    let mut ticks = interval(policy.disk_watch_interval.max(Duration::from_secs(1)));
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let looking = layout.clone();
        let found = match spawn_blocking(move || Found::of(&looking)).await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "looking through sandboxes failed");
                continue;
            }
        };
        // Asked after looking: whose sandbox has been made since is neither found nor missed.
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
        let of_the_books = tasks.chain(executors).collect();
        let means = means.clone();
        let sweeping = move || {
            let layout = &means.layout;
            let held = Held { of_the_books, nested: &means.nested, ages: &means.ages };
            found.sweep(layout, &held, || policy.most_age(usage(layout.work_dir())));
        };
        if let Err(error) = spawn_blocking(sweeping).await {
            tracing::error!(%error, "removing old sandboxes failed");
        }
    }
}

/// How much of the disk is in use, from 0 to 1, of its room or of the files that it can have. What is kept for root counts as
/// used.
fn usage(directory: &Path) -> f64 {
    match statvfs(directory) {
        Ok(disk) => {
            let used = |all: u64, free: u64| if all > 0 { 1.0 - free as f64 / all as f64 } else { 0.0 };
            // Some file systems make files as long as there is room, and say 0.
            used(disk.blocks(), disk.blocks_available()).max(used(disk.files(), disk.files_available()))
        }
        Err(error) => {
            tracing::warn!(path = %directory.display(), %error, "cannot tell how full the disk is");
            0.0
        }
    }
}

/// Whose sandboxes stay.
struct Held<'a> {
    of_the_books: BTreeSet<ContainerId>,
    nested: &'a Nested,
    ages: &'a Ages,
}

impl Held<'_> {
    /// The sandbox of one of the books, which is no other's afterwards.
    fn is_of_the_books(&self, run: &Run) -> bool {
        run.container.as_ref().is_some_and(|container| self.of_the_books.contains(container))
    }

    /// Asked right before a sandbox is removed: nobody has it, and, where its name can be another's by now, nobody will get it
    /// until that is done. Whether its age is being set is asked last, for that begins before its container is over.
    fn let_go_of(&self, run: &Run) -> Option<Option<Claim<'_>>> {
        let claim = match run.is_standalone {
            true => Some(self.nested.claim(&run.path)?),
            false => None,
        };
        (!self.ages.is_being_set(&run.path)).then_some(claim)
    }
}

/// What there is of sandboxes at one moment.
struct Found {
    runs: Vec<Run>,
    above: Vec<Above>,
}

impl Found {
    fn of(layout: &Layout) -> Self {
        let (mut found, mut above) = (Vec::new(), Vec::new());
        for agent in entries(&layout.agents()) {
            for framework in entries(&agent.path().join("frameworks")) {
                let executors = framework.path().join("executors");
                for executor in entries(&executors) {
                    let runs = executor.path().join("runs");
                    found.extend(entries(&runs).iter().filter_map(Run::of));
                    above.extend([Above::Runs(runs), Above::Folder(executor.path())]);
                }
                above.extend([Above::Folder(executors), Above::Folder(framework.path())]);
            }
        }
        let others = entries(&layout.standalone());
        found.extend(others.iter().filter_map(Run::of).map(|run| Run {
            container: None,
            is_standalone: true,
            ..run
        }));
        Self { runs: found, above }
    }

    /// Removes the sandboxes that belong to none of these containers and have not changed for `most_age`, the oldest first,
    /// and what is empty then above them. The age is asked for each, for the disk empties on the way.
    fn sweep(self, layout: &Layout, held: &Held<'_>, most_age: impl Fn() -> Duration) {
        let mut ended: Vec<Run> = self.runs.into_iter().filter(|run| !held.is_of_the_books(run)).collect();
        ended.sort_by_key(|run| std::cmp::Reverse(run.age));
        for run in ended {
            let most_age = most_age();
            if run.age < most_age {
                break;
            }
            let Some(_claim) = held.let_go_of(&run) else { continue };
            // What it was for may have ended since.
            let age = fs::symlink_metadata(&run.path).map(|now| age(&now));
            if age.is_ok_and(|age| age < most_age) {
                continue;
            }
            match fs::remove_dir_all(&run.path) {
                Ok(()) => {
                    tracing::info!(path = %run.path.display(), age = ?run.age, "removed an old sandbox")
                }
                Err(error) => {
                    tracing::warn!(path = %run.path.display(), %error, "cannot remove an old sandbox");
                }
            }
        }
        for above in &self.above {
            // One that is empty may be so because a sandbox in it is just being made.
            let _clearing = layout.clearing();
            above.remove_if_empty();
        }
    }
}

/// A sandbox.
struct Run {
    path: PathBuf,
    /// Whose it is; `None` when its name is that of no container.
    container: Option<ContainerId>,
    is_standalone: bool,
    /// Since its last change.
    age: Duration,
}

impl Run {
    fn of(run: &DirEntry) -> Option<Self> {
        let name = run.file_name();
        if name == LATEST {
            return None;
        }
        let age = age(&run.metadata().ok()?);
        let container = name.to_str().and_then(|name| name.parse().ok());
        Some(Self { path: run.path(), container, is_standalone: false, age })
    }
}

/// A directory above sandboxes.
enum Above {
    /// Right above, with a link to the newest.
    Runs(PathBuf),
    Folder(PathBuf),
}

impl Above {
    fn remove_if_empty(&self) {
        let path = match self {
            Self::Folder(path) => path,
            Self::Runs(runs) => {
                let is_left = entries(runs).iter().any(|run| run.file_name() != LATEST);
                if !is_left
                    && let Err(error) = fs::remove_file(runs.join(LATEST))
                    && error.kind() != io::ErrorKind::NotFound
                {
                    tracing::warn!(path = %runs.display(), %error, "cannot remove the link to the latest run");
                }
                runs
            }
        };
        remove_empty(path);
    }
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
mod tests;
