//! The books for readers, taken when one asks: whatever the loop changes next of what a snapshot shares must be copied,
//! so there is none that nobody wants.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use chapada_master_core::{Master, Position, Snapshot};
use tokio::sync::{mpsc, oneshot, watch};

use super::Stopped;

/// Readers that may wait for the end of a turn. More wait for room; the loop never waits for any.
const READERS: usize = 1_024;

/// The books at one moment.
pub(crate) struct Published {
    pub(crate) books: Arc<Snapshot>,
    /// The last event that led to them: a state of these books and the events after it leave nothing out.
    pub(crate) position: Position,
}

/// One that waits for the books.
pub(super) type Waiting = oneshot::Sender<Arc<Published>>;

/// Where readers ask. Cheap to clone.
#[derive(Clone)]
pub(super) struct Reader {
    /// The last snapshot, as long as the books have not changed since.
    current: Arc<ArcSwapOption<Published>>,
    asking: mpsc::Sender<Waiting>,
    versions: watch::Receiver<u64>,
}

impl Reader {
    /// The books, no older than this question but for the turn that the loop is at. Waits for the end of that turn when
    /// they have changed since somebody last asked.
    pub(super) async fn read(&self) -> Result<Arc<Published>, Stopped> {
        if let Some(current) = self.current.load_full() {
            return Ok(current);
        }
        let (waiting, published) = oneshot::channel();
        self.asking.send(waiting).await.map_err(|_| Stopped)?;
        published.await.map_err(|_| Stopped)
    }

    /// Tells when the books have changed.
    pub(super) fn versions(&self) -> watch::Receiver<u64> {
        self.versions.clone()
    }
}

/// The loop's side.
pub(super) struct Publisher {
    current: Arc<ArcSwapOption<Published>>,
    asked: mpsc::Receiver<Waiting>,
    versions: watch::Sender<u64>,
    /// The last event that led to the books as they are.
    position: Position,
}

impl Publisher {
    pub(super) fn new(version: u64, position: Position) -> (Self, Reader) {
        let current = Arc::new(ArcSwapOption::empty());
        let (asking, asked) = mpsc::channel(READERS);
        let (versions, changes) = watch::channel(version);
        let reader = Reader { current: current.clone(), asking, versions: changes };
        (Self { current, asked, versions, position }, reader)
    }

    /// The version of the books of which readers were last told.
    pub(super) fn version(&self) -> u64 {
        *self.versions.borrow()
    }

    /// The books are another version now: what readers had of them is let go.
    pub(super) fn change(&mut self, version: u64, position: Position) {
        self.position = position;
        if self.current.load().is_some() {
            self.current.store(None);
        }
        self.versions.send_replace(version);
    }

    /// Waits until somebody asks. Never ends when nobody can any more.
    pub(super) async fn asked(&mut self) -> Waiting {
        match self.asked.recv().await {
            Some(waiting) => waiting,
            None => std::future::pending().await,
        }
    }

    /// Answers this one, and all who wait.
    pub(super) fn answer(&mut self, master: &Master, waiting: Waiting) {
        let published = self.current.load_full().unwrap_or_else(|| {
            let books = Arc::new(master.snapshot());
            let published = Arc::new(Published { books, position: self.position });
            self.current.store(Some(published.clone()));
            published
        });
        // Who asked may be gone; then nobody wants to know.
        drop(waiting.send(published.clone()));
        while let Ok(waiting) = self.asked.try_recv() {
            drop(waiting.send(published.clone()));
        }
    }

    /// Answers all who wait; takes no snapshot when nobody does.
    pub(super) fn answer_all(&mut self, master: &Master) {
        if let Ok(waiting) = self.asked.try_recv() {
            self.answer(master, waiting);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chapada_master_core::{Event, RegistryState, Settings};
    use chapada_model::{Mono, Now, Wall};

    use super::*;

    const NOW: Now = Now { mono: Mono(1), wall: Wall(1) };

    fn master() -> Master {
        Master::recover(NOW, Settings::new("master"), RegistryState::default())
    }

    fn publisher(master: &Master) -> (Publisher, Reader) {
        Publisher::new(master.version(), Position { epoch: 1, sequence: 0 })
    }

    #[tokio::test]
    async fn a_reader_waits_for_the_loop_only_when_the_books_have_changed() {
        let mut master = master();
        let (mut publisher, reader) = publisher(&master);
        let (first, ()) = tokio::join!(reader.read(), async {
            let waiting = publisher.asked().await;
            publisher.answer(&master, waiting);
        });
        let first = first.unwrap();
        let again = reader.read().await.unwrap();
        assert!(Arc::ptr_eq(&first, &again), "nothing has changed");
        master.apply(NOW, Event::Tick);
        publisher.change(master.version(), Position { epoch: 1, sequence: 7 });
        let (changed, other, ()) = tokio::join!(reader.read(), reader.read(), async {
            let waiting = publisher.asked().await;
            publisher.answer(&master, waiting);
        });
        let (changed, other) = (changed.unwrap(), other.unwrap());
        assert!(Arc::ptr_eq(&changed, &other), "one snapshot for all who wait");
        assert_eq!((changed.books.version, changed.position.sequence), (master.version(), 7));
    }

    #[tokio::test]
    async fn nothing_is_kept_for_readers_when_the_books_have_changed() {
        let mut master = master();
        let (mut publisher, reader) = publisher(&master);
        let (first, ()) = tokio::join!(reader.read(), async {
            let waiting = publisher.asked().await;
            publisher.answer(&master, waiting);
        });
        let first = Arc::downgrade(&first.unwrap());
        assert!(first.upgrade().is_some(), "the next reader may have it");
        master.apply(NOW, Event::Tick);
        publisher.change(master.version(), Position { epoch: 1, sequence: 0 });
        publisher.answer_all(&master);
        assert!(first.upgrade().is_none());
        assert!(publisher.current.load().is_none(), "nobody has asked");
    }

    #[tokio::test]
    async fn who_waits_hears_when_the_loop_is_gone() {
        let master = master();
        let (publisher, reader) = publisher(&master);
        let (read, ()) = tokio::join!(reader.read(), async move { drop(publisher) });
        assert!(read.is_err());
        let read = tokio::time::timeout(Duration::from_secs(10), reader.read()).await;
        assert!(read.is_ok_and(|read| read.is_err()));
    }
}
