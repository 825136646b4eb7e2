//! What tasks want in their sandboxes before they start. A process in a container of its own fetches it, as the task's user and
//! with the task's limits; here it is decided what is fetched, by how many at once, and what is kept for the next.

mod artifact;
mod cache;
mod process;
mod program;
mod sight;
mod wish;

pub(crate) use process::child;
pub(crate) use wish::{Wanted, check_uris, items};

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chapada_fetcher::{AllowedPath, Denied, Job, Limits, Order, Source, shown};
use chapada_shim::Launcher;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::AgentConfig;
use crate::error::AgentError;
use crate::images::LazyImages;
use crate::layout::Layout;
use cache::{Cache, Copy, Key};
use process::Workshop;
use program::Program;

/// Who fetches for a container with an image: its users are the image's, and no user of the machine by those names is meant. What
/// was fetched is given to the container's user when it is made.
pub(crate) const NOBODY: u32 = 65_534;
/// Fetchers at once. Each may take a connection, a processor and the memory of a decompressor.
const AT_ONCE: usize = 16;
/// More than a large archive of small files has.
const MOST_ENTRIES: u64 = 500_000;

/// Why nothing was started: what a task wanted is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchFailed {
    #[error("{0}")]
    Said(String),
    #[error("cannot start the fetcher: {0}")]
    Start(std::io::Error),
    #[error("fetching needs more memory than the {0} MiB of its task")]
    Memory(u64),
    #[error("the fetcher ended without a word")]
    Silent,
    #[error("fetching took longer than {0:?}")]
    TooLong(Duration),
}

/// Who pays for a fetch.
#[derive(Clone, Debug)]
pub(crate) struct Payer {
    /// The container that it is for.
    pub(crate) container: String,
    /// What that may use. A fetch has as much, in cgroups of its own beside those of the container that is not there yet.
    pub(crate) limits: chapada_shim::Limits,
}

/// Fetches.
#[derive(Debug)]
pub(crate) struct Fetcher {
    workshop: Arc<Workshop>,
    allowed_paths: Vec<PathBuf>,
    never_root: bool,
    denied: Denied,
    limits: Limits,
    longest: Duration,
    slots: Arc<Semaphore>,
    cache: Cache,
    /// Whose registries have artifacts, too.
    images: Arc<LazyImages>,
}

impl Fetcher {
    /// For an agent that listens on this port. What earlier processes kept is removed, as Mesos does: nobody knows whether it is
    /// whole.
    pub(crate) fn new(
        config: &AgentConfig,
        port: u16,
        layout: &Layout,
        launcher: Arc<Launcher>,
        runtime_dir: PathBuf,
        images: Arc<LazyImages>,
    ) -> Result<Self, AgentError> {
        let limits = Limits {
            bytes: config.fetcher_max_size.0,
            entries: MOST_ENTRIES,
            stall_seconds: config.fetcher_stall_timeout.as_secs().max(1),
            seconds: config.fetcher_timeout.as_secs().max(1),
        };
        let allowed = config.frameworks_home.iter().chain(&config.fetcher_allowed_paths);
        let directory = layout.fetching();
        let program = Program::find(config, directory.join("program"))?;
        let workshop = Workshop::new(launcher, runtime_dir, directory.clone(), program);
        Ok(Self {
            workshop: Arc::new(workshop.map_err(AgentError::directory("make", directory))?),
            allowed_paths: allowed.cloned().collect(),
            never_root: !config.allow_host_root,
            denied: Denied { ranges: config.fetcher_denied_addresses.clone(), agent_port: Some(port) },
            limits,
            longest: config.fetcher_timeout,
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            cache: Cache::new(layout.fetched(), config.fetcher_cache_size.0)?,
            images,
        })
    }

    /// Waits until everything is removed that was given up. Nothing is to be fetched afterwards.
    pub(crate) async fn settled(&self) {
        self.workshop.settled().await;
    }

    /// Puts everything into the sandbox. Ends at once when it is dropped, with all that was started for it.
    ///
    /// # Errors
    /// What could not be fetched, by its URI without credentials; the sandbox may hold some of the rest.
    pub(crate) async fn fetch(&self, wanted: Wanted) -> Result<(), FetchFailed> {
        let fetching = async {
            let Wanted { payer, sandbox, user, items } = wanted;
            // Copies stay for as long as somebody reads them.
            let mut copies = Vec::new();
            let mut wanted = Vec::with_capacity(items.len());
            for (mut item, is_cached) in items {
                if let Ok(Source::Artifact(name)) = Source::parse(&item.uri) {
                    for (file, copy) in self.artifact(&item, &name, is_cached).await? {
                        wanted.push(file);
                        copies.push(copy);
                    }
                    continue;
                }
                if is_cached {
                    let copy = self.copy(&payer, user.as_deref(), &item).await?;
                    item.cached = Some(copy.path().to_owned());
                    copies.push(copy);
                }
                wanted.push(item);
            }
            self.run(&payer, user, Job::Place { sandbox, items: wanted }).await
        };
        timeout(self.longest, fetching).await.unwrap_or(Err(FetchFailed::TooLong(self.longest)))
    }

    /// The agent's copy of an item, fetched by the first who wants it while others wait.
    async fn copy(
        &self,
        payer: &Payer,
        user: Option<&str>,
        item: &chapada_fetcher::Item,
    ) -> Result<Arc<Copy>, FetchFailed> {
        let key =
            Key { user: user.map(str::to_owned), uri: item.uri.clone(), checksum: item.checksum.clone() };
        self.cache
            .get(key, |file| {
                tracing::info!(uri = shown(&item.uri), "fetching into the cache");
                self.run(payer, user.map(str::to_owned), Job::Store { item: item.clone(), file })
            })
            .await
    }

    async fn run(&self, payer: &Payer, user: Option<String>, job: Job) -> Result<(), FetchFailed> {
        let slot = self.slots.clone().acquire_owned().await.map_err(|_| FetchFailed::Silent)?;
        let allowed = self.allowed_paths.iter();
        // Where one is a link, what it leads to. One that is not there holds nothing.
        let allowed = allowed
            .filter_map(|path| Some(AllowedPath { path: path.clone(), at: fs::canonicalize(path).ok()? }));
        let order = Order {
            user,
            never_root: self.never_root,
            job,
            allowed_paths: allowed.collect(),
            denied: self.denied.clone(),
            limits: self.limits,
        };
        self.workshop.run(payer, order, slot).await
    }
}
