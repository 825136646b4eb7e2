//! What tasks want in their sandboxes before they start. A child process fetches it, as the task's user; here it is decided
//! what is fetched, by how many at once, and what is kept for the next.

mod cache;
mod process;
mod wish;

pub(crate) use process::child;
pub(crate) use wish::{Wanted, check_uris, items};

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chapada_fetcher::{Job, Limits, Order, shown};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::AgentConfig;
use crate::error::AgentError;
use crate::layout::Layout;
use cache::{Cache, Copy, Key};

/// Children at once. Each may take a connection, a processor and the memory of a decompressor.
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
    #[error("the fetcher ended without a word")]
    Silent,
    #[error("fetching took longer than {0:?}")]
    TooLong(Duration),
}

/// Fetches.
#[derive(Debug)]
pub(crate) struct Fetcher {
    program: process::Program,
    allowed_paths: Vec<PathBuf>,
    limits: Limits,
    longest: Duration,
    slots: Arc<Semaphore>,
    cache: Cache,
}

impl Fetcher {
    /// What earlier processes kept is removed, as Mesos does: nobody knows whether it is whole.
    pub(crate) fn new(config: &AgentConfig, layout: &Layout) -> Result<Self, AgentError> {
        let limits = Limits {
            bytes: config.fetcher_max_size.0,
            entries: MOST_ENTRIES,
            stall_seconds: config.fetcher_stall_timeout.as_secs().max(1),
        };
        let allowed = config.frameworks_home.iter().chain(&config.fetcher_allowed_paths);
        Ok(Self {
            program: process::Program::find(config)?,
            allowed_paths: allowed.cloned().collect(),
            limits,
            longest: config.fetcher_timeout,
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            cache: Cache::new(layout.fetched(), config.fetcher_cache_size.0)?,
        })
    }

    /// Puts everything into the sandbox. Ends at once when it is dropped, with all that was started for it.
    ///
    /// # Errors
    /// What could not be fetched, by its URI without credentials; the sandbox may hold some of the rest.
    pub(crate) async fn fetch(&self, wanted: Wanted) -> Result<(), FetchFailed> {
        let fetching = async {
            let Wanted { sandbox, user, items } = wanted;
            // Copies stay for as long as somebody reads them.
            let mut copies = Vec::new();
            let mut wanted = Vec::with_capacity(items.len());
            for (mut item, is_cached) in items {
                if is_cached {
                    let copy = self.copy(user.as_deref(), &item).await?;
                    item.cached = Some(copy.path().to_owned());
                    copies.push(copy);
                }
                wanted.push(item);
            }
            self.run(user, Job::Place { sandbox, items: wanted }).await
        };
        timeout(self.longest, fetching).await.unwrap_or(Err(FetchFailed::TooLong(self.longest)))
    }

    /// The agent's copy of an item, fetched by the first who wants it while others wait.
    async fn copy(&self, user: Option<&str>, item: &chapada_fetcher::Item) -> Result<Arc<Copy>, FetchFailed> {
        let key =
            Key { user: user.map(str::to_owned), uri: item.uri.clone(), checksum: item.checksum.clone() };
        self.cache
            .get(key, |file| {
                tracing::info!(uri = shown(&item.uri), "fetching into the cache");
                self.run(user.map(str::to_owned), Job::Store { item: item.clone(), file })
            })
            .await
    }

    async fn run(&self, user: Option<String>, job: Job) -> Result<(), FetchFailed> {
        // The semaphore is never closed.
        let _slot = self.slots.acquire().await;
        let order = Order { user, job, allowed_paths: self.allowed_paths.clone(), limits: self.limits };
        self.program.run(&order).await
    }
}
