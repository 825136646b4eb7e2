//! The one task that writes: gathers what comes within a few milliseconds into one transaction.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Change, Store, WriteError};

/// How long a first write waits for company.
const GATHER: Duration = Duration::from_millis(2);
/// Most writes of one round; the store may cut it into several transactions.
const MAX_GATHERED: usize = 512;

pub(super) struct Request {
    /// Builds of an older version must not read what is written.
    pub(super) version: u32,
    pub(super) changes: Vec<Change>,
    pub(super) reply: oneshot::Sender<Result<(), WriteError>>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Request").field("changes", &self.changes.len()).finish_non_exhaustive()
    }
}

pub(super) struct Writer {
    store: Store,
    queue: mpsc::Receiver<Request>,
    ended: CancellationToken,
}

impl Writer {
    pub(super) fn new(store: Store, queue: mpsc::Receiver<Request>) -> Self {
        let ended = match &store {
            Store::ZooKeeper(store) => store.ended(),
            Store::Embedded(_) | Store::Memory(_) => CancellationToken::new(),
        };
        Self { store, queue, ended }
    }

    pub(super) async fn run(mut self) {
        let ended = self.ended.clone();
        let mut round = Vec::new();
        while let Some(Some(first)) = ended.run_until_cancelled(self.queue.recv()).await {
            round.push(first);
            self.gather(&mut round).await;
            // Not cancelled: a transaction that was sent is followed to its outcome.
            if self.commit(&mut round).await.is_err() {
                break;
            }
        }
        self.queue.close();
        while let Some(request) = self.queue.recv().await {
            answer(request.reply, Err(WriteError::Deposed));
        }
    }

    async fn gather(&mut self, round: &mut Vec<Request>) {
        let deadline = tokio::time::Instant::now() + GATHER;
        while round.len() < MAX_GATHERED {
            match tokio::time::timeout_at(deadline, self.queue.recv()).await {
                Ok(Some(request)) => round.push(request),
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Fails when nothing can be written any more.
    async fn commit(&mut self, round: &mut Vec<Request>) -> Result<(), WriteError> {
        let version = round.iter().map(|request| request.version).max().unwrap_or_default();
        let (changes, replies): (Vec<_>, Vec<_>) = round.drain(..).map(|r| (r.changes, r.reply)).unzip();
        let outcomes = match &mut self.store {
            Store::ZooKeeper(store) => match store.raise_version(version).await {
                Ok(()) => store.commit(&changes).await,
                Err(error) => vec![Err(error); replies.len()],
            },
            Store::Embedded(store) => {
                let outcome = store.clone().commit(version, changes).await;
                vec![outcome; replies.len()]
            }
            Store::Memory(store) => store.commit(version, changes).await,
        };
        let mut over = Ok(());
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            if let Err(error) = &outcome {
                tracing::warn!(%error, "registry write refused");
                if error.ends_term() {
                    over = outcome.clone();
                }
            }
            answer(reply, outcome);
        }
        over
    }
}

/// A caller that no longer waits for its answer misses nothing that it wanted.
fn answer(reply: oneshot::Sender<Result<(), WriteError>>, outcome: Result<(), WriteError>) {
    if reply.send(outcome).is_err() {
        tracing::debug!("the writer of a record did not wait for the outcome");
    }
}
