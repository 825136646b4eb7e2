//! The log's own thread: gathers what has come, writes it as one frame, syncs once, tells how far it is.

use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use chapada_agent_core::Record;
use tokio::sync::{mpsc, watch};

use super::{LogError, LogFile, record};

/// Batches that may wait for the disk. Each is what one turn of the loop logged; a full queue makes the loop wait, which
/// in turn stops it from reading the link.
const QUEUE: usize = 1024;
/// So much is gathered into one frame at most, so that the first of many records does not wait for the last.
const GATHER: usize = 1024 * 1024;
/// The log is rewritten once it is this long and mostly history.
const MIN_REWRITE: u64 = 4 * 1024 * 1024;
/// A log this many times longer than what it holds is mostly history.
const REWRITE_FACTOR: u64 = 4;
/// A full disk may have room again; until then nothing is reported.
const FULL_DISK_PAUSE: Duration = Duration::from_secs(1);

enum Order {
    Append(Vec<(u64, Record)>),
    /// Everything up to this number is in these records.
    Rewrite(u64, Vec<Record>),
}

/// How far the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The number of the last durable record.
    pub through: u64,
    /// Bytes on disk.
    pub length: u64,
    /// Syncs so far.
    pub syncs: u64,
    /// Bytes that the last rewrite left, or that were there at the start.
    base: u64,
    rewrites: u64,
}

/// The loop's end of the log.
#[derive(Debug)]
pub struct LogHandle {
    orders: mpsc::Sender<Order>,
    progress: watch::Receiver<Progress>,
    /// Rewrites that were asked for.
    rewrites: u64,
}

impl LogHandle {
    /// Starts the thread. It ends when the handle is dropped, with everything written.
    ///
    /// # Errors
    /// When the kernel gives no thread.
    pub fn start(file: LogFile) -> Result<Self, LogError> {
        let (orders, queue) = mpsc::channel(QUEUE);
        let length = file.length();
        let (tell, progress) = watch::channel(Progress { base: length, length, ..Progress::default() });
        let writer = Writer { file, queue, tell };
        let spawned = thread::Builder::new().name("log".to_owned()).spawn(move || writer.run());
        spawned.map_err(LogError::io("start the thread of", Path::new("the log")))?;
        Ok(Self { orders, progress, rewrites: 0 })
    }

    /// Hands records over, each with its number, which rises. `false` when the log has failed.
    pub async fn append(&self, records: Vec<(u64, Record)>) -> bool {
        records.is_empty() || self.orders.send(Order::Append(records)).await.is_ok()
    }

    /// Whether it is time for [`LogHandle::rewrite`].
    pub fn is_long(&self) -> bool {
        let progress = *self.progress.borrow();
        let mostly_history = progress.length > progress.base.saturating_mul(REWRITE_FACTOR);
        progress.rewrites == self.rewrites && progress.length > MIN_REWRITE && mostly_history
    }

    /// Replaces the log by these records, which hold everything up to `through`. `false` when the log has failed.
    pub async fn rewrite(&mut self, through: u64, records: Vec<Record>) -> bool {
        self.rewrites += 1;
        self.orders.send(Order::Rewrite(through, records)).await.is_ok()
    }

    /// Waits for progress. `None` when the log has failed.
    pub async fn progress(&mut self) -> Option<Progress> {
        self.progress.changed().await.ok()?;
        Some(*self.progress.borrow_and_update())
    }
}

struct Writer {
    file: LogFile,
    queue: mpsc::Receiver<Order>,
    tell: watch::Sender<Progress>,
}

impl Writer {
    fn run(mut self) {
        let mut next = self.queue.blocking_recv();
        while let Some(order) = next.take() {
            let (done, left) = match order {
                Order::Append(records) => self.append(records),
                Order::Rewrite(through, records) => (self.rewrite(through, &records), None),
            };
            if let Err(error) = done {
                tracing::error!(%error, source = ?std::error::Error::source(&error), "the log failed");
                return;
            }
            next = match left {
                Some(order) => Some(order),
                None => self.queue.blocking_recv(),
            };
        }
    }

    fn append(&mut self, records: Vec<(u64, Record)>) -> (Result<(), LogError>, Option<Order>) {
        let mut body = Vec::new();
        let mut through = 0;
        let mut left = None;
        let mut batch = Some(records);
        while let Some(records) = batch.take() {
            for (sequence, record) in &records {
                record::encode(record, &mut body);
                through = *sequence;
            }
            if body.len() >= GATHER {
                break;
            }
            match self.queue.try_recv() {
                Ok(Order::Append(records)) => batch = Some(records),
                Ok(order @ Order::Rewrite(..)) => left = Some(order),
                Err(mpsc::error::TryRecvError::Empty | mpsc::error::TryRecvError::Disconnected) => {}
            }
        }
        (self.commit(through, |file| file.append(&body)), left)
    }

    fn rewrite(&mut self, through: u64, records: &[Record]) -> Result<(), LogError> {
        let mut bodies = vec![Vec::new()];
        for record in records {
            if bodies.last().is_some_and(|body| body.len() >= GATHER) {
                bodies.push(Vec::new());
            }
            let body = bodies.last_mut().expect("there is always one");
            record::encode(record, body);
        }
        match self.file.replace(&bodies) {
            Ok(()) => {}
            // All that is in these records is in the log as it is: it grows on, into the room that it has.
            Err(LogError::Io { source, path, .. }) if source.kind() == io::ErrorKind::StorageFull => {
                tracing::warn!(path = %path.display(), "the disk is full: the log is not made shorter yet");
            }
            Err(error) => return Err(error),
        }
        let length = self.file.length();
        self.tell.send_modify(|progress| {
            progress.through = progress.through.max(through);
            progress.length = length;
            progress.base = length;
            progress.rewrites += 1;
        });
        Ok(())
    }

    /// Writes until it is on disk. A full disk is waited for; any other failure is final, as nobody knows what a failed
    /// sync has kept.
    fn commit(
        &mut self,
        through: u64,
        write: impl Fn(&mut LogFile) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        loop {
            match write(&mut self.file) {
                Ok(()) => break,
                Err(LogError::Io { source, path, .. }) if source.kind() == io::ErrorKind::StorageFull => {
                    let path = path.display();
                    tracing::error!(%path, "the disk is full: nothing is reported until there is room again");
                    thread::sleep(FULL_DISK_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
        let length = self.file.length();
        self.tell.send_modify(|progress| {
            progress.through = progress.through.max(through);
            progress.length = length;
            progress.syncs += 1;
        });
        Ok(())
    }
}
