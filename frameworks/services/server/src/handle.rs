//! How others reach the loop that owns the core.

use std::sync::Arc;
use std::time::Duration;

use chapada_listener::Caller;
use chapada_model::Now;
use chapada_services_core::{Command, Event, Refusal, Reply, Services};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, oneshot};

use crate::seen::Seen;

/// How many clients may wait for the loop, and as many events of the master. A client beyond that is told to come again; the
/// master's events wait.
pub(crate) const INPUTS: usize = 1_024;
/// How long a client waits for its answer, which waits for the store.
///
/// Source: Marathon's `zk_timeout`.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Looks at what is there.
pub(crate) type Read = Box<dyn FnOnce(&Services, Now) + Send>;

/// What the loop takes in.
pub(crate) enum Input {
    /// News from the master.
    Event(Event),
    /// A question about what is there.
    Read(Read),
    /// A client's wish.
    Command {
        /// What it wants.
        command: Command,
        /// Who wants it.
        caller: Caller,
        /// Where its answer goes.
        reply: oneshot::Sender<Result<Reply, Refusal>>,
    },
}

/// The other end of [`ServicesHandle`], for one loop at a time. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Inputs(Arc<Mutex<Queues>>);

/// What waits for the loop. They do not keep each other out, and take turns.
pub(crate) struct Queues {
    clients: mpsc::Receiver<Input>,
    events: mpsc::Receiver<Event>,
    unsent: mpsc::Receiver<Event>,
}

impl Queues {
    /// The next, one of the master's only with `of_master`; `None` when nobody is left who could have one.
    pub(crate) async fn recv(&mut self, of_master: bool) -> Option<Input> {
        tokio::select! {
            Some(input) = self.clients.recv() => Some(input),
            Some(event) = self.events.recv(), if of_master => Some(Input::Event(event)),
            Some(event) = self.unsent.recv() => Some(Input::Event(event)),
            else => None,
        }
    }
}

impl Inputs {
    /// Waits until no other loop has it.
    pub(crate) async fn take(self) -> OwnedMutexGuard<Queues> {
        self.0.lock_owned().await
    }

    /// Lets go of what the last loop did not come to: those who wait for it are told that it has stopped.
    pub(crate) async fn forget(&self) {
        let mut inputs = self.0.lock().await;
        while inputs.clients.try_recv().is_ok() {}
        while inputs.events.try_recv().is_ok() {}
        while inputs.unsent.try_recv().is_ok() {}
    }
}

/// Reaches the loop. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ServicesHandle {
    inputs: mpsc::Sender<Input>,
    events: mpsc::Sender<Event>,
    unsent: mpsc::Sender<Event>,
    caller: Caller,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unavailable {
    /// Too much is asked at once.
    #[error("too many requests are waiting; try again later")]
    Busy,
    /// The process ends.
    #[error("the services framework is stopping")]
    Stopped,
    /// The loop is kept busy for too long.
    #[error("no answer within 10 s; try again later")]
    Slow,
    /// The store does not answer. The change may or may not happen.
    #[error("the store did not answer within 10 s; whether the change was made is unknown")]
    TimedOut,
}

impl ServicesHandle {
    pub(crate) fn new() -> (Self, Inputs) {
        let (inputs, clients) = mpsc::channel(INPUTS);
        let (events, news) = mpsc::channel(INPUTS);
        let (unsent, returned) = mpsc::channel(INPUTS);
        let queues = Queues { clients, events: news, unsent: returned };
        (Self { inputs, events, unsent, caller: Caller::itself() }, Inputs(Arc::new(Mutex::new(queues))))
    }

    /// The same on behalf of `caller`: it sees what that may see and does what that may do.
    pub(crate) fn on_behalf_of(&self, caller: Caller) -> Self {
        Self { caller, ..self.clone() }
    }

    /// Asks for a change and waits until it is durable.
    pub(crate) async fn command(&self, command: Command) -> Result<Result<Reply, Refusal>, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.offer(Input::Command { command, caller: self.caller.clone(), reply })?;
        match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Err(_) => Err(Unavailable::TimedOut),
            Ok(answer) => answer.map_err(|_| Unavailable::Stopped),
        }
    }

    /// Looks at what is there. `read` runs on the loop, so it should copy what it needs and no more.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Seen, Now) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let caller = self.caller.clone();
        self.offer(Input::Read(Box::new(move |services, now| {
            if reply.send(read(&Seen::new(services, &caller), now)).is_err() {
                tracing::debug!("the client did not wait for its answer");
            }
        })))?;
        match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Err(_) => Err(Unavailable::Slow),
            Ok(answer) => answer.map_err(|_| Unavailable::Stopped),
        }
    }

    /// Passes on news from the master, waiting for room.
    pub(crate) async fn event(&self, event: Event) {
        if self.events.send(event).await.is_err() {
            tracing::debug!("the loop has ended");
        }
    }

    /// Says what became of a call that was not sent, waiting for room. The loop takes it even while it takes no other events, so
    /// that whoever carries its calls never waits for it in vain.
    pub(crate) async fn unsent(&self, event: Event) {
        if self.unsent.send(event).await.is_err() {
            tracing::debug!("the loop has ended");
        }
    }

    fn offer(&self, input: Input) -> Result<(), Unavailable> {
        self.inputs.try_send(input).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unavailable::Busy,
            mpsc::error::TrySendError::Closed(_) => Unavailable::Stopped,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn events_of_the_master_do_not_keep_clients_out() {
        let (services, inputs) = ServicesHandle::new();
        for _ in 0..INPUTS {
            services.event(Event::Tick).await;
        }
        assert_eq!(services.offer(Input::Read(Box::new(|_, _| {}))), Ok(()));
        let mut queues = inputs.take().await;
        let mut before = 0;
        while !matches!(queues.recv(true).await, Some(Input::Read(_))) {
            before += 1;
        }
        assert!(before < INPUTS, "it waited for all of them");
    }

    #[tokio::test]
    async fn what_was_not_sent_is_heard_of_while_no_news_are_taken() {
        let (services, inputs) = ServicesHandle::new();
        services.event(Event::Tick).await;
        services.unsent(Event::Disconnected).await;
        let mut queues = inputs.take().await;
        assert!(matches!(queues.recv(false).await, Some(Input::Event(Event::Disconnected))));
        assert!(matches!(queues.recv(true).await, Some(Input::Event(Event::Tick))));
    }
}
