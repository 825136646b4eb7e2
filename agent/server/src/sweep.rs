//! Sandboxes of what has ended are removed once they are old enough, and sooner the fuller the disk is: the oldest first, and
//! no more of them than it takes. Their age counts from the end of what they were for ([`age_from_now`]), or from a later change.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chapada_agent_core::Runner;
use chapada_model::ContainerId;
use nix::sys::statvfs::statvfs;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::containers::Means;
use crate::layout::{LATEST, Layout};
use crate::shell::Input;

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

/// One of a container of no task is made a moment before anybody knows of that container.
const BEING_LAUNCHED: Duration = Duration::from_secs(60);

/// Has the age of a sandbox begin now: what it was for has ended. Blocks.
pub(crate) fn age_from_now(sandbox: &Path) {
    let begun = fs::File::open(sandbox).and_then(|directory| directory.set_modified(SystemTime::now()));
    match begun {
        // There may have been none.
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %sandbox.display(), %error, "a sandbox may be removed too soon");
        }
        _ => {}
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
        let held = Held { of_the_books: tasks.chain(executors).collect(), others: means.nested.sandboxes() };
        let clearing = layout.clone();
        let sweeping = move || {
            found.sweep(&clearing, &held, || policy.most_age(usage(clearing.work_dir())));
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
#[derive(Debug, Default)]
struct Held {
    of_the_books: BTreeSet<ContainerId>,
    /// Those of containers of no task, by themselves.
    others: BTreeSet<PathBuf>,
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
    fn sweep(self, layout: &Layout, held: &Held, most_age: impl Fn() -> Duration) {
        let is_held = |run: &Run| match (&run.container, run.is_standalone) {
            (Some(container), false) => held.of_the_books.contains(container),
            _ => held.others.contains(&run.path),
        };
        let mut ended: Vec<Run> = self.runs.into_iter().filter(|run| !is_held(run)).collect();
        ended.sort_by_key(|run| std::cmp::Reverse(run.age));
        for run in ended {
            let most_age = most_age();
            if run.age < most_age {
                break;
            }
            // What it was for may have ended since.
            let age = fs::symlink_metadata(&run.path).map(|now| age(&now));
            if age.is_ok_and(|age| age < run.least_age(most_age)) {
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

/// Its owner may have set the time of the last change to one that has not come; then that of its last change of any kind counts,
/// which only the kernel sets. If that has not come either, the clock was set back, and it changed just now.
fn age(metadata: &Metadata) -> Duration {
    let now = SystemTime::now();
    let since = |then: SystemTime| now.duration_since(then).ok();
    let inside = Duration::new(
        u64::try_from(metadata.ctime()).unwrap_or_default(),
        u32::try_from(metadata.ctime_nsec()).unwrap_or_default(),
    );
    let modified = metadata.modified().ok().and_then(since);
    modified.or_else(|| since(SystemTime::UNIX_EPOCH + inside)).unwrap_or_default()
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

    /// Younger than that it stays, where everything older than `most_age` goes.
    fn least_age(&self, most_age: Duration) -> Duration {
        if self.is_standalone { most_age.max(BEING_LAUNCHED) } else { most_age }
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
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    use chapada_agent_core::ExecutorRecord;
    use chapada_model::{ExecutorKey, ExecutorKind, Wall};

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
        let held = Held { of_the_books: ["c2".parse().unwrap()].into(), ..Held::default() };
        Found::of(&layout).sweep(&layout, &held, || Duration::from_secs(3600));
        assert!(runs("e1").join("c1").exists(), "too young");
        let found = Found::of(&layout);
        fs::create_dir_all(runs("e1").join("c4")).unwrap();
        found.sweep(&layout, &held, || Duration::ZERO);
        assert!(!runs("e1").join("c1").exists() && runs("e1").join("c2").exists());
        assert!(runs("e1").join("c4").exists(), "whose it is was not asked");
        assert!(!layout.agents().join("a/frameworks/f/executors/e2").exists());
        assert!(Path::new("/etc/passwd").exists());
    }

    /// With no lock between the two, some of these fail.
    #[test]
    fn a_sandbox_that_is_being_made_is_not_taken_for_an_empty_directory() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned());
        let (agent, record) = ("a".parse().unwrap(), executor());
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    Found::of(&layout).sweep(&layout, &Held::default(), || Duration::from_secs(3600));
                }
            });
            let make = |_| {
                let made = layout.make_executor_sandbox(&agent, &record);
                made.and_then(fs::remove_dir).err()
            };
            let failed: Vec<_> = (0..4000).filter_map(make).collect();
            is_over.store(true, Ordering::Relaxed);
            assert!(failed.is_empty(), "{}: {:?}", failed.len(), failed.first());
        });
    }

    fn executor() -> ExecutorRecord {
        ExecutorRecord {
            key: ExecutorKey { framework: "f".parse().unwrap(), executor: "e".parse().unwrap() },
            kind: ExecutorKind::Custom,
            container: "c".parse().unwrap(),
            shutdown_grace: Duration::ZERO,
            launched: Wall(0),
            info: Vec::new().into(),
        }
    }

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3600)
    }

    fn set_changed(directory: &Path, at: SystemTime) {
        fs::File::open(directory).unwrap().set_modified(at).unwrap();
    }

    #[test]
    fn the_age_of_a_sandbox_begins_at_the_end_also_when_that_is_heard_of_late() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned());
        let runs = layout.agents().join("a/frameworks/f/executors/e/runs");
        let (ended, old) = (runs.join("ended"), runs.join("old"));
        for run in [&ended, &old] {
            fs::create_dir_all(run).unwrap();
            set_changed(run, SystemTime::now() - hours(3));
        }
        let found = Found::of(&layout);
        age_from_now(&ended);
        age_from_now(&runs.join("none"));
        found.sweep(&layout, &Held::default(), || hours(2));
        assert!(ended.exists() && !old.exists());
        Found::of(&layout).sweep(&layout, &Held::default(), || Duration::ZERO);
        assert!(!ended.exists());
    }

    #[test]
    fn a_time_that_has_not_come_keeps_no_sandbox() {
        let directory = tempfile::tempdir().unwrap();
        set_changed(directory.path(), SystemTime::now() + hours(24 * 365));
        let metadata = || fs::metadata(directory.path()).unwrap();
        let begun = std::time::Instant::now();
        while age(&metadata()) == Duration::ZERO {
            assert!(begun.elapsed() < Duration::from_secs(10), "it does not age");
            std::thread::yield_now();
        }
        assert!(age(&metadata()) < hours(1));
    }

    #[test]
    fn sandboxes_of_no_task_go_as_well_unless_they_are_used_or_just_made() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned());
        let of = |name: &str| layout.standalone().join(name);
        for (name, age) in [("used", 3), ("ended", 3), ("new", 0)] {
            fs::create_dir_all(of(name)).unwrap();
            set_changed(&of(name), SystemTime::now() - hours(age));
        }
        let held = Held { others: [of("used")].into(), ..Held::default() };
        Found::of(&layout).sweep(&layout, &held, || hours(4));
        assert!(of("ended").exists());
        Found::of(&layout).sweep(&layout, &held, || Duration::ZERO);
        assert!(of("used").exists() && !of("ended").exists() && of("new").exists());
    }

    #[test]
    fn a_full_disk_makes_sandboxes_old_sooner() {
        let policy = Policy {
            gc_delay: Duration::from_secs(1000),
            gc_disk_headroom: 0.1,
            disk_watch_interval: Duration::from_secs(60),
        };
        for (usage, age) in [(0.0, 900), (0.5, 400), (0.9, 0), (1.0, 0)] {
            let found = policy.most_age(usage).as_secs_f64().round();
            assert!((found - f64::from(age)).abs() < 1.0, "{usage}: {found}");
        }
        assert!((0.0..=1.0).contains(&usage(Path::new("/"))));
        assert!(usage(Path::new("/no/such/place")).abs() < f64::EPSILON);
    }

    #[test]
    fn the_oldest_go_first_and_no_more_than_it_takes() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned());
        let runs = layout.agents().join("a/frameworks/f/executors/e/runs");
        for (run, age) in [("young", 1), ("old", 3), ("middle", 2)] {
            fs::create_dir_all(runs.join(run)).unwrap();
            set_changed(&runs.join(run), SystemTime::now() - hours(age));
        }
        symlink("young", runs.join(LATEST)).unwrap();
        // The disk is full until two are gone.
        let left = || entries(&runs).iter().filter(|run| run.file_name() != LATEST).count();
        let age = || if left() > 1 { Duration::ZERO } else { hours(24) };
        Found::of(&layout).sweep(&layout, &Held::default(), age);
        assert!(runs.join("young").exists() && !runs.join("middle").exists() && !runs.join("old").exists());
        assert!(runs.join(LATEST).exists());
    }
}
