//! What agents do for others: the master asks over the control stream, the agent dials back with a one-time token.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use chapada_listener::{Tunnel, TunnelError};
use chapada_master_core::LinkId;
use chapada_model::AgentId;
use chapada_wire::link::{FromRelay, OpenRelay, ServeApi, ToRelay, open_relay, relay_failed};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::pieces;
use super::reader::RelayReader;

/// Relays that may wait to be asked for on one link; people do one thing after another. In boxes, for most links never see one.
pub(super) const RELAY_QUEUE: usize = 32;
/// How long an agent may take to dial back; the token is worth nothing afterwards.
const DIAL_LIMIT: Duration = Duration::from_secs(10);
/// Relays that may be under way at once in the whole cluster.
const MAX_PENDING: usize = 1_024;
/// Messages between a relay's master end and its connection, each of 16 KiB at most.
const SAID_QUEUE: usize = 16;

/// Why an agent could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    /// The agent has no link, so nobody can ask it.
    #[error("agent {0} is not connected")]
    NotConnected(AgentId),
    /// Too much is asked at once.
    #[error("too much is asked of agents at the moment; try again")]
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

/// An agent that has dialled back.
pub(super) struct Answer {
    pub(super) messages: Streaming<FromRelay>,
    pub(super) say: mpsc::Sender<Result<ToRelay, Status>>,
}

#[derive(Default)]
struct State {
    links: HashMap<AgentId, (LinkId, mpsc::Sender<Box<OpenRelay>>)>,
    pending: HashMap<String, oneshot::Sender<Answer>>,
}

/// All relays of a leadership.
#[derive(Default)]
pub(crate) struct Relays {
    state: Mutex<State>,
}

impl Relays {
    pub(super) fn attach(&self, agent: AgentId, link: LinkId, sender: mpsc::Sender<Box<OpenRelay>>) {
        self.lock().links.insert(agent, (link, sender));
    }

    /// Forgets the way to an agent, unless a newer link has taken its place.
    pub(super) fn detach(&self, agent: &AgentId, link: LinkId) {
        let mut state = self.lock();
        if state.links.get(agent).is_some_and(|(current, _)| *current == link) {
            state.links.remove(agent);
        }
    }

    /// Has an agent read a file or list a folder.
    pub(crate) async fn read(
        &self,
        agent: &AgentId,
        request: open_relay::Request,
    ) -> Result<RelayReader, RelayError> {
        RelayReader::begin(self.ask(agent, request).await?).await
    }

    /// A connection to the agent's HTTP API; nothing moves on it unless the second value is polled.
    pub(crate) async fn connect(
        &self,
        agent: &AgentId,
    ) -> Result<(Tunnel, impl Future<Output = Result<(), TunnelError>> + use<>), RelayError> {
        let answer = self.ask(agent, open_relay::Request::ServeApi(ServeApi {})).await?;
        Ok(pieces::tunnel_to(answer))
    }

    /// Asks an agent for something and waits until it has dialled back.
    async fn ask(&self, agent: &AgentId, request: open_relay::Request) -> Result<Answer, RelayError> {
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
        let open = Box::new(OpenRelay { token: token.clone(), request: Some(request) });
        link.try_send(open).map_err(|_| RelayError::Busy)?;
        let answer = tokio::time::timeout(DIAL_LIMIT, answer).await;
        answer.ok().and_then(Result::ok).ok_or(RelayError::NoAnswer)
    }

    /// Joins an agent that dialled with whoever waits for it.
    pub(super) fn answer(
        &self,
        token: &str,
        messages: Streaming<FromRelay>,
    ) -> Result<ReceiverStream<Result<ToRelay, Status>>, Status> {
        let waiting = self.lock().pending.remove(token);
        let waiting = waiting.ok_or_else(|| Status::permission_denied("nobody waits for this token"))?;
        let (say, said) = mpsc::channel(SAID_QUEUE);
        waiting.send(Answer { messages, say }).map_err(|_| Status::cancelled("nobody waits any more"))?;
        Ok(ReceiverStream::new(said))
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
