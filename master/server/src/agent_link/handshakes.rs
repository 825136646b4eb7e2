//! How many agents are heard out at once. What an agent states is in memory until it is in the books; of a herd that comes together as
//! many as keep the processors busy are heard, and the others wait with nothing read of what they hold.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Agents between their hello and their place in the queue of the books.
pub(crate) const MOST_HANDSHAKES: usize = 256;

/// Room for those that are heard out. First come, first served.
#[derive(Debug)]
pub(crate) struct Handshakes {
    room: Semaphore,
    waiting: AtomicUsize,
}

/// One that waits; counted until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Handshakes {
    /// Waits for room, which is kept until what is returned is dropped. `None` never happens: nobody closes it.
    pub(super) async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        self.room.acquire().await.ok()
    }

    /// How many are heard out now.
    pub(crate) fn under_way(&self) -> usize {
        MOST_HANDSHAKES - self.room.available_permits()
    }

    /// How many have said hello and wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Default for Handshakes {
    fn default() -> Self {
        Self { room: Semaphore::new(MOST_HANDSHAKES), waiting: AtomicUsize::new(0) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
