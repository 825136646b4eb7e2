//! One who follows.

use std::sync::Arc;

use bytes::Bytes;
use chapada_master_core::{Batch, FollowerId, Next};
use tokio::sync::watch;

use super::{Feed, News, Written};

/// A place in the feed. Dropping it leaves.
pub(crate) struct Follower {
    feed: Arc<Feed>,
    id: FollowerId,
    available: watch::Receiver<u64>,
}

/// Events for a follower.
pub(crate) struct Heard {
    pub(crate) batch: Arc<Batch<News, Written>>,
    /// It has had the events up to here before.
    pub(crate) had: u64,
}

impl Follower {
    pub(super) fn new(feed: Arc<Feed>, id: FollowerId, available: watch::Receiver<u64>) -> Self {
        Self { feed, id, available }
    }

    /// Waits for events. Nothing when it was cut or the leadership has ended.
    pub(crate) async fn next(&mut self) -> Option<Heard> {
        loop {
            // Before looking, so that what becomes available meanwhile is not slept over.
            self.available.mark_unchanged();
            let next = self.feed.books().log.next(self.id);
            match next {
                Next::Batch(batch, had) => return Some(Heard { batch, had }),
                Next::Gone => return None,
                Next::Wait => self.available.changed().await.ok()?,
            }
        }
    }

    /// The bytes, counted as being on their way to this follower until its connection has let go of them.
    pub(crate) fn on_their_way(&self, bytes: Bytes) -> Bytes {
        let mut books = self.feed.books();
        let cut = books.log.handed(self.id, bytes.len());
        books.hang_up(&cut);
        drop(books);
        Bytes::from_owner(OnTheirWay { bytes, feed: self.feed.clone(), id: self.id })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut books = self.feed.books();
        books.log.leave(self.id);
        books.connections.remove(&self.id);
    }
}

struct OnTheirWay {
    bytes: Bytes,
    feed: Arc<Feed>,
    id: FollowerId,
}

impl AsRef<[u8]> for OnTheirWay {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for OnTheirWay {
    fn drop(&mut self) {
        self.feed.books().log.written(self.id, self.bytes.len());
    }
}
