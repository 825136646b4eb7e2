//! How a leadership is wound up on purpose: nothing new is decided, and everything decided goes out first.

use std::time::Duration;

use chapada_master_core::Event;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Input;
use super::thread::Loop;
use super::waiting::Waiting;

/// For peers to take what was said to them. Whoever does not is told again by the next leader.
const TAKEN_WITHIN: Duration = Duration::from_millis(100);

impl Loop {
    /// Returns when the leadership has ended. Before, it tells that all changes are durable and that what was said is with the
    /// connections. Whatever comes in meanwhile is left unanswered, so whoever asked learns that this master leads no more.
    pub(super) async fn settle(mut self, settled: oneshot::Sender<()>, ended: CancellationToken) {
        while self.on_the_way > 0 {
            tokio::select! {
                biased; // the end first
                () = ended.cancelled() => return,
                input = self.queue.recv() => match input {
                    Some(input) => self.note_durable(input),
                    None => return,
                },
                waiting = self.publisher.asked() => self.publisher.answer(&self.master, waiting),
            }
        }
        if timeout(TAKEN_WITHIN, self.taken()).await.is_err() {
            tracing::info!("some peers have not read all that this master said; the next one says it again");
        }
        if settled.send(()).is_err() {
            tracing::debug!("the leadership has ended in another way");
        }
        loop {
            tokio::select! {
                biased; // the end first
                () = ended.cancelled() => return,
                input = self.queue.recv() => match input {
                    Some(input) => drop(input),
                    None => return,
                },
                waiting = self.publisher.asked() => self.publisher.answer(&self.master, waiting),
            }
        }
    }

    /// The books do not go on, but who waits for this change is told that it is kept.
    fn note_durable(&mut self, input: Input) {
        let Input::Event(Event::Recorded { ticket }) = input else { return };
        self.on_the_way = self.on_the_way.saturating_sub(1);
        for waiting in self.waiting.take(ticket) {
            // A caller that hung up needs no answer.
            match waiting {
                Waiting::Operator(reply) => drop(reply.send(Ok(()))),
                Waiting::Framework(reply) => drop(reply.send(Ok(()))),
            }
        }
    }

    /// Waits until every queue to a peer is empty.
    async fn taken(&self) {
        for outbox in self.outboxes.links.values() {
            emptied(&outbox.sender).await;
        }
        for outbox in self.outboxes.streams.values() {
            emptied(&outbox.sender).await;
        }
    }
}

/// A queue whose reader is gone counts as empty.
async fn emptied<T>(sender: &mpsc::Sender<T>) {
    drop(sender.reserve_many(sender.max_capacity()).await);
}
