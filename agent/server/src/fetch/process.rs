//! The process that fetches, in a container of its own: made, told, heard, and removed with whoever waits for it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chapada_fetcher::child::{CAPABILITIES, MAX_ORDER_BYTES, REPORT};
use chapada_fetcher::{Job, Order, Report};
use chapada_shim::{
    ClientError, Command, ContainerSpec, Event, ExitReport, Launcher, Limits, LogLimits, Outcome, Privileges,
    ShimClient, TemporaryFiles, VolumeMount, VolumeSource, cleanup,
};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::program::Program;
use super::{FetchFailed, Payer, sight};
use crate::containers::watch;

/// Set for a process that is to fetch and do nothing else: where its order is.
const MARK: &str = "CHAPADA_FETCHER";
const ORDER: &str = "/order";
const PROGRAM: &str = "/fetcher";
/// Where its report goes.
const SAID: &str = "/said";
/// Its report, and whatever it says besides, is shorter.
const MOST_REPORT_BYTES: u64 = 256 * 1024;
/// It has a handful of threads.
const MOST_PROCESSES: u64 = 64;
const MOST_TEMPORARY_BYTES: u64 = 1 << 20;
/// Removal is tried so often: on a disk that stands still a shim cannot write how its container ended.
const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Unpacking needs memory for as much as the archive says, which is no less for a small task: 65 MiB for the strongest of `xz`.
const LEAST_MEMORY_BYTES: u64 = 128 << 20;

/// Where the processes that fetch are made.
#[derive(Debug)]
pub(super) struct Workshop {
    launcher: Arc<Launcher>,
    runtime_dir: PathBuf,
    /// A directory in it for each that runs.
    directory: PathBuf,
    program: Program,
    count: AtomicU64,
    /// What is being removed.
    removals: TaskTracker,
}

/// One that runs. Dropping it ends and removes it.
struct Running {
    workshop: Arc<Workshop>,
    id: String,
    /// Whether nobody wants it any more. Held while it is made.
    unwanted: Arc<Mutex<bool>>,
    /// Given back when all of it is gone.
    slot: Option<OwnedSemaphorePermit>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let (workshop, id, slot) = (self.workshop.clone(), std::mem::take(&mut self.id), self.slot.take());
        let unwanted = self.unwanted.clone();
        self.workshop.removals.spawn(async move {
            let mut pause = FIRST_PAUSE;
            for attempt in 1..=ATTEMPTS {
                let (workshop, id, unwanted) = (workshop.clone(), id.clone(), unwanted.clone());
                let removing = spawn_blocking(move || {
                    *unwanted.lock().unwrap_or_else(PoisonError::into_inner) = true;
                    workshop.remove(&id, attempt)
                });
                if removing.await.unwrap_or(true) {
                    break;
                }
                sleep(pause).await;
                pause *= 2;
            }
            drop(slot);
        });
    }
}

impl Workshop {
    /// What an earlier process left in `directory` is removed; its containers are found among all others.
    pub(super) fn new(
        launcher: Arc<Launcher>,
        runtime_dir: PathBuf,
        directory: PathBuf,
        program: Program,
    ) -> io::Result<Self> {
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => DirBuilder::new().recursive(true).mode(0o700).create(&directory)?,
        }
        let (count, removals) = (AtomicU64::new(0), TaskTracker::new());
        Ok(Self { launcher, runtime_dir, directory, program, count, removals })
    }

    /// Waits until everything is removed that was dropped. Nothing is to be started afterwards.
    pub(super) async fn settled(&self) {
        self.removals.close();
        self.removals.wait().await;
    }

    /// Does what the order says, at the cost of this payer. Dropped, it ends with all that was started for it.
    pub(super) async fn run(
        self: &Arc<Self>,
        payer: &Payer,
        order: Order,
        slot: OwnedSemaphorePermit,
    ) -> Result<(), FetchFailed> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-fetch-{number}", payer.container);
        let unwanted = Arc::<Mutex<bool>>::default();
        let running =
            Running { workshop: self.clone(), id: id.clone(), unwanted: unwanted.clone(), slot: Some(slot) };
        let (workshop, limits) = (self.clone(), payer.limits.clone());
        let stored = match &order.job {
            Job::Store { file, .. } => Some(file.clone()),
            Job::Place { .. } => None,
        };
        let start = move || match *unwanted.lock().unwrap_or_else(PoisonError::into_inner) {
            false => workshop.start(&id, limits, order),
            true => Err(FetchFailed::Silent),
        };
        let started = spawn_blocking(start).await;
        let client = started.map_err(|error| FetchFailed::Said(error.to_string()))??;
        let ended = ended(client).await?;
        let scratch = Scratch::of(self, &running.id);
        let report = spawn_blocking(move || scratch.report(&ended, stored.as_deref())).await;
        drop(running);
        report.map_err(|error| FetchFailed::Said(error.to_string()))?
    }

    /// Makes the container. Blocks.
    fn start(&self, id: &str, limits: Limits, mut order: Order) -> Result<ShimClient, FetchFailed> {
        let scratch = Scratch::of(self, id);
        let made = || {
            scratch.make()?;
            let program = self.program.file()?;
            Ok((sight::of_machine(&scratch.root, SAID)?, program))
        };
        let ((root, mut volumes), program) = made().map_err(FetchFailed::Start)?;
        volumes.push(sight::shown(program, PROGRAM, true));
        volumes.extend(sight::of_order(&mut order, &scratch.store));
        let content = serde_json::to_vec(&order).map_err(|error| FetchFailed::Said(error.to_string()))?;
        if content.len() as u64 > MAX_ORDER_BYTES {
            return Err(FetchFailed::Said("the URIs are too long".to_owned()));
        }
        let source = VolumeSource::Secret { content };
        volumes.push(VolumeMount { source, target: ORDER.into(), read_only: true });
        let argv = std::iter::once(PROGRAM.to_owned()).chain(self.program.arguments.iter().cloned());
        let command = Command::Program { file: PROGRAM.to_owned(), argv: argv.collect() };
        let spec = ContainerSpec {
            environment: vec![(MARK.to_owned(), ORDER.to_owned())],
            root: Some(root),
            volumes,
            resources: Limits {
                memory_bytes: limits.memory_bytes.map(|bytes| bytes.max(LEAST_MEMORY_BYTES)),
                processes: Some(MOST_PROCESSES),
                ..limits
            },
            logs: Some(LogLimits { bytes: MOST_REPORT_BYTES, files: 1 }),
            temporary_files: TemporaryFiles::Private { size_bytes: Some(MOST_TEMPORARY_BYTES) },
            shm_bytes: MOST_TEMPORARY_BYTES,
            privileges: Privileges { bounding: Some(CAPABILITIES.to_vec()), ..Privileges::default() },
            ..ContainerSpec::new(id, &self.runtime_dir, &scratch.said, command)
        };
        self.launcher
            .launch(&spec)
            .map(|launched| launched.client)
            .map_err(|error| FetchFailed::Start(io::Error::other(chapada_model::chain(&error))))
    }

    /// Ends one and removes all of it; `false` when that has to be tried again. Blocks.
    fn remove(&self, id: &str, attempt: u32) -> bool {
        if let Err(error) = cleanup(self.launcher.cgroups(), &self.runtime_dir, id) {
            if attempt < ATTEMPTS {
                tracing::warn!(container_id = id, %error, attempt, "cannot remove a fetcher");
                return false;
            }
            tracing::error!(container_id = id, %error, "a fetcher stays until the agent is restarted");
        }
        match fs::remove_dir_all(self.directory.join(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(container_id = id, %error, "cannot remove what a fetcher left");
            }
            _ => {}
        }
        true
    }
}

/// The directories of one that runs.
struct Scratch {
    all: PathBuf,
    /// Its `/`.
    root: PathBuf,
    /// What it says.
    said: PathBuf,
    /// What it stores for the cache.
    store: PathBuf,
}

impl Scratch {
    fn of(workshop: &Workshop, id: &str) -> Self {
        let all = workshop.directory.join(id);
        Self { root: all.join("root"), said: all.join("said"), store: all.join("store"), all }
    }

    fn make(&self) -> io::Result<()> {
        let Self { all, root, said, store } = self;
        [all, root, said, store].into_iter().try_for_each(|path| DirBuilder::new().mode(0o755).create(path))
    }

    /// What came of it; what was to be stored is in its place then. Blocks.
    fn report(&self, ended: &ExitReport, stored: Option<&Path>) -> Result<(), FetchFailed> {
        let mut said = String::new();
        let opened = File::open(self.said.join("stdout"));
        let read = opened.and_then(|file| file.take(MOST_REPORT_BYTES).read_to_string(&mut said));
        let report = said.split_once(REPORT).and_then(|(_, rest)| rest.lines().next());
        match report.and_then(|json| serde_json::from_str(json).ok()) {
            Some(Report::Done) => match stored {
                Some(file) => fs::rename(self.store.join(sight::STORED), file).map_err(FetchFailed::Start),
                None => Ok(()),
            },
            Some(Report::Failed(message)) => Err(FetchFailed::Said(message)),
            None => Err(unreported(ended, read.err())),
        }
    }
}

fn unreported(ended: &ExitReport, unread: Option<io::Error>) -> FetchFailed {
    match (&ended.oom, &ended.outcome) {
        (Some(oom), _) => FetchFailed::Memory(oom.limit_bytes.unwrap_or_default() >> 20),
        (None, Outcome::NotStarted { error }) => FetchFailed::Start(io::Error::other(error.message.clone())),
        (None, outcome) => {
            tracing::warn!(?outcome, ?unread, "the fetcher ended without a report");
            FetchFailed::Silent
        }
    }
}

/// Waits for the end.
async fn ended(client: ShimClient) -> Result<Box<ExitReport>, FetchFailed> {
    let lost = |error: ClientError| FetchFailed::Start(io::Error::other(chapada_model::chain(&error)));
    let mut client = watch(client).map_err(lost)?;
    loop {
        while let Some(event) = client.get_mut().poll_event().map_err(lost)? {
            if let Event::Exited { report } = event {
                return Ok(report);
            }
        }
        client.readable_mut().await.map_err(FetchFailed::Start)?.clear_ready();
    }
}

/// Fetches what an order says, if this process was started for that.
pub(crate) fn child() -> bool {
    let order = std::env::var_os(MARK);
    if let Some(order) = &order {
        chapada_fetcher::child::run(Path::new(order));
    }
    order.is_some()
}
