//! The events of a leadership, on their way from the loop to all who follow.
//!
//! The loop puts them in; nothing is written there. They become available a batch at a time, the sooner the fewer follow:
//! a batch is written once in each form that somebody reads, and all share those bytes. Where each follower is and when
//! one is cut is decided by `chapada_master_core::EventLog`.

mod follower;
mod news;
mod records;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use chapada_listener::HangUp;
use chapada_master_core::{Cut, EventLog, FollowBounds, FollowerId, NotResumed, Position};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use follower::{Follower, Heard};
pub(crate) use news::News;
pub(crate) use records::{Chunks, Records};

/// A batch is some milliseconds of a busy cluster, and little enough to be sent in a few pieces. With what is on its way
/// the ring stays below 64 MiB.
const BOUNDS: FollowBounds = FollowBounds {
    batch_events: 256,
    batch_bytes: 64 * 1024,
    kept_bytes: 32 * 1024 * 1024,
    behind_bytes: 16 * 1024 * 1024,
    flight_of_one: 192 * 1024,
    flight_of_all: 16 * 1024 * 1024,
    followers: 4_096,
};
/// Sending a batch to one follower costs about so much; as many follow, so long the next batch gathers.
const PAUSE_A_FOLLOWER: Duration = Duration::from_micros(20);
/// Nobody waits longer than this for an event to become available.
const MAX_PAUSE: Duration = Duration::from_millis(20);

/// A batch in the forms that somebody has read.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) json: OnceLock<Records>,
    pub(crate) protobuf: OnceLock<Records>,
}

/// The events, and those who follow them.
pub(crate) struct Feed {
    books: Mutex<Books>,
    /// Something waits to become available.
    waiting: Notify,
    /// The last batch that is available.
    available: watch::Sender<u64>,
}

struct Books {
    log: EventLog<News, Written>,
    connections: HashMap<FollowerId, HangUp>,
}

impl Feed {
    pub(crate) fn new(epoch: u64) -> Self {
        let books = Books { log: EventLog::new(epoch, BOUNDS), connections: HashMap::new() };
        Self { books: Mutex::new(books), waiting: Notify::new(), available: watch::channel(0).0 }
    }

    /// Takes events in. Called by the loop, so nothing slow may happen here.
    pub(crate) fn publish(&self, news: Vec<News>) -> Position {
        let mut books = self.books();
        for event in news {
            let bytes = event.bytes();
            let cut = books.log.push(event, bytes);
            books.hang_up(&cut);
        }
        if books.log.has_open() {
            self.waiting.notify_one();
        }
        books.log.position()
    }

    /// Makes events available until the leadership ends.
    pub(crate) async fn run(self: Arc<Self>, ended: CancellationToken) {
        let mut last = Instant::now();
        loop {
            tokio::select! {
                () = ended.cancelled() => return,
                () = self.waiting.notified() => {}
            }
            let followers = u32::try_from(self.books().log.followers()).unwrap_or(u32::MAX);
            tokio::time::sleep_until(last + MAX_PAUSE.min(PAUSE_A_FOLLOWER.saturating_mul(followers))).await;
            last = Instant::now();
            let position = {
                let mut books = self.books();
                let cut = books.log.close();
                books.hang_up(&cut);
                books.log.position()
            };
            self.available.send_replace(position.sequence);
        }
    }

    /// Follows everything after the position.
    pub(crate) fn join(
        self: &Arc<Self>,
        position: Position,
        connection: HangUp,
    ) -> Result<Follower, NotResumed> {
        let available = self.available.subscribe();
        let mut books = self.books();
        let (id, cut) = books.log.join(position)?;
        books.hang_up(&cut);
        books.connections.insert(id, connection);
        drop(books);
        Ok(Follower::new(self.clone(), id, available))
    }

    /// How many follow.
    pub(crate) fn followers(&self) -> usize {
        self.books().log.followers()
    }

    /// The books are whole after every method, so one that panicked elsewhere does no harm.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn hang_up(&mut self, cut: &[Cut]) {
        for Cut { follower, reason } in cut {
            tracing::warn!(?follower, ?reason, "cut off one who follows the cluster");
            if let Some(connection) = self.connections.remove(follower) {
                connection.now();
            }
        }
    }
}
