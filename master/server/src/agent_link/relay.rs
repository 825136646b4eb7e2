//! File reads through agents: the master asks over the control stream, the agent dials back with a one-time token.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use chapada_master_core::LinkId;
use chapada_model::AgentId;
use chapada_wire::link::{FromRelay, OpenRelay, RelayFailed, ToRelay, from_relay, open_relay, relay_failed};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// Relays that may wait to be asked for on one link; people read files one by one.
pub(super) const RELAY_QUEUE: usize = 32;
/// How long an agent may take to dial back; the token is worth nothing afterwards.
const DIAL_LIMIT: Duration = Duration::from_secs(10);
/// Relays that may be under way at once in the whole cluster.
const MAX_PENDING: usize = 1_024;
/// Bytes an agent may send ahead of the reader.
const WINDOW: u64 = 256 * 1024;
/// Messages about credit between reader and connection; each is tiny.
const CREDIT_QUEUE: usize = 16;
/// How long a reader waits for the next piece of a file that is not followed.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    /// The agent has no link, so nobody can ask it.
    #[error("agent {0} is not connected")]
    NotConnected(AgentId),
    /// Too much is asked at once.
    #[error("too many files are being read at the moment; try again")]
    Busy,
    /// The agent did not dial back, or broke off.
    #[error("the agent did not answer in time")]
    NoAnswer,
    /// The agent says why it cannot.
    #[error("{message}")]
    Failed {
        /// What kind of failure.
        kind: relay_failed::Kind,
        /// The agent's words.
        message: String,
    },
}

struct Answer {
    messages: Streaming<FromRelay>,
    credit: mpsc::Sender<Result<ToRelay, Status>>,
}

#[derive(Default)]
struct State {
    links: HashMap<AgentId, (LinkId, mpsc::Sender<OpenRelay>)>,
    pending: HashMap<String, oneshot::Sender<Answer>>,
}

/// All relays of a leadership.
#[derive(Default)]
pub(crate) struct Relays {
    state: Mutex<State>,
}

impl Relays {
    pub(super) fn attach(&self, agent: AgentId, link: LinkId, sender: mpsc::Sender<OpenRelay>) {
        self.lock().links.insert(agent, (link, sender));
    }

    /// Forgets the way to an agent, unless a newer link has taken its place.
    pub(super) fn detach(&self, agent: &AgentId, link: LinkId) {
        let mut state = self.lock();
        if state.links.get(agent).is_some_and(|(current, _)| *current == link) {
            state.links.remove(agent);
        }
    }

    /// Asks an agent for something and waits until it has dialled back.
    pub(crate) async fn open(
        &self,
        agent: &AgentId,
        request: open_relay::Request,
    ) -> Result<RelayReader, RelayError> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let (sender, answer) = oneshot::channel();
        let link = {
            let mut state = self.lock();
            if state.pending.len() >= MAX_PENDING {
                return Err(RelayError::Busy);
            }
            let link = state.links.get(agent).map(|(_, link)| link.clone());
            let link = link.ok_or_else(|| RelayError::NotConnected(agent.clone()))?;
            state.pending.insert(token.clone(), sender);
            link
        };
        let _pending = Pending { relays: self, token: &token };
        let open = OpenRelay { token: token.clone(), request: Some(request) };
        link.try_send(open).map_err(|_| RelayError::Busy)?;
        let answer = tokio::time::timeout(DIAL_LIMIT, answer).await;
        let answer = answer.ok().and_then(Result::ok).ok_or(RelayError::NoAnswer)?;
        let reader = RelayReader { messages: answer.messages, credit: answer.credit, unspent: 0 };
        reader.grant(WINDOW).await?;
        Ok(reader)
    }

    /// Joins an agent that dialled with whoever waits for it.
    pub(super) fn answer(
        &self,
        token: &str,
        messages: Streaming<FromRelay>,
    ) -> Result<ReceiverStream<Result<ToRelay, Status>>, Status> {
        let waiting = self.lock().pending.remove(token);
        let waiting = waiting.ok_or_else(|| Status::permission_denied("nobody waits for this token"))?;
        let (credit, credits) = mpsc::channel(CREDIT_QUEUE);
        waiting.send(Answer { messages, credit }).map_err(|_| Status::cancelled("the reader has left"))?;
        Ok(ReceiverStream::new(credits))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Takes the token back, whatever becomes of the wait.
struct Pending<'a> {
    relays: &'a Relays,
    token: &'a str,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.relays.lock().pending.remove(self.token);
    }
}

/// Reads what the agent sends. Dropping it ends the relay.
pub(crate) struct RelayReader {
    messages: Streaming<FromRelay>,
    credit: mpsc::Sender<Result<ToRelay, Status>>,
    unspent: u64,
}

impl RelayReader {
    /// The next message, `None` at the end. With `patient` it waits for as long as the file may still grow.
    pub(crate) async fn next(&mut self, patient: bool) -> Result<Option<from_relay::Message>, RelayError> {
        let message = if patient {
            self.messages.message().await
        } else {
            tokio::time::timeout(READ_LIMIT, self.messages.message())
                .await
                .map_err(|_| RelayError::NoAnswer)?
        };
        match message.map_err(|_| RelayError::NoAnswer)?.and_then(|message| message.message) {
            None | Some(from_relay::Message::Done(_)) => Ok(None),
            Some(from_relay::Message::Failed(RelayFailed { kind, message })) => {
                let kind = relay_failed::Kind::try_from(kind).unwrap_or(relay_failed::Kind::Unknown);
                Err(RelayError::Failed { kind, message })
            }
            Some(from_relay::Message::Chunk(chunk)) => {
                self.spend(chunk.data.len() as u64).await?;
                Ok(Some(from_relay::Message::Chunk(chunk)))
            }
            Some(other) => Ok(Some(other)),
        }
    }

    async fn spend(&mut self, bytes: u64) -> Result<(), RelayError> {
        self.unspent += bytes;
        if self.unspent >= WINDOW / 2 {
            self.grant(self.unspent).await?;
            self.unspent = 0;
        }
        Ok(())
    }

    async fn grant(&self, credit: u64) -> Result<(), RelayError> {
        self.credit.send(Ok(ToRelay { credit, data: Vec::new() })).await.map_err(|_| RelayError::NoAnswer)
    }
}
