//! The open streams of executors.

use std::collections::HashMap;

use chapada_model::ExecutorKey;
use chapada_wire::v1::executor::Event;
use tokio::sync::mpsc;

/// Events that may wait for an executor to read them. One that has not read so many is cut off; it learns when it comes
/// back what it missed.
const STREAM_QUEUE: usize = 1024;

/// A stream that was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Its number.
    pub(crate) stream: u64,
    pub(crate) events: mpsc::Receiver<Event>,
}

/// Streams by executor: none has two.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    opened: u64,
    streams: HashMap<ExecutorKey, (u64, mpsc::Sender<Event>)>,
}

impl Streams {
    /// Opens a stream; the one before it ends.
    pub(crate) fn open(&mut self, executor: &ExecutorKey) -> Opened {
        self.opened += 1;
        let (sender, events) = mpsc::channel(STREAM_QUEUE);
        self.streams.insert(executor.clone(), (self.opened, sender));
        Opened { stream: self.opened, events }
    }

    /// Sends an event if that stream is still open, and cuts it off when nobody reads.
    pub(crate) fn send(&mut self, executor: &ExecutorKey, stream: u64, event: Event) {
        let Some((open, sender)) = self.streams.get(executor) else { return };
        if *open == stream && sender.try_send(event).is_err() {
            tracing::warn!(framework_id = %executor.framework, executor_id = %executor.executor, "cut off an executor that does not read");
            self.streams.remove(executor);
        }
    }

    pub(crate) fn close(&mut self, executor: &ExecutorKey, stream: u64) {
        if self.streams.get(executor).is_some_and(|(open, _)| *open == stream) {
            self.streams.remove(executor);
        }
    }
}
