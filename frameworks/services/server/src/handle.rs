//! How others reach the loop that owns the core.

use std::sync::Arc;
use std::time::Duration;

use chapada_listener::Caller;
use chapada_model::Now;
use chapada_services_core::{Command, Event, Refusal, Reply, Services};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, oneshot};

use crate::seen::Seen;

/// How many inputs may wait for the loop. A client beyond that is told to come again; the master's events wait.
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
pub(crate) struct Inputs(Arc<Mutex<mpsc::Receiver<Input>>>);

impl Inputs {
    /// Waits until no other loop has it.
    pub(crate) async fn take(self) -> OwnedMutexGuard<mpsc::Receiver<Input>> {
        self.0.lock_owned().await
    }

    /// Lets go of what the last loop did not come to: those who wait for it are told that it has stopped.
    pub(crate) async fn forget(&self) {
        let mut inputs = self.0.lock().await;
        while inputs.try_recv().is_ok() {}
    }
}

/// Reaches the loop. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ServicesHandle {
    inputs: mpsc::Sender<Input>,
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
        let (inputs, receiver) = mpsc::channel(INPUTS);
        (Self { inputs, caller: Caller::itself() }, Inputs(Arc::new(Mutex::new(receiver))))
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
        if self.inputs.send(Input::Event(event)).await.is_err() {
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
