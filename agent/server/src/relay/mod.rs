//! What a master asks for on somebody's behalf: files, and the agent's API. The agent dials, proves itself by the token, and
//! sends no more than the other side takes.

mod api;
mod files;

use std::net::SocketAddr;
use std::sync::Arc;

use chapada_listener::{Entrance, Peer};
use chapada_wire::link::agent_link_client::AgentLinkClient;
use chapada_wire::link::{FromRelay, OpenRelay, RelayHello, ToRelay, from_relay, open_relay};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Streaming;

use crate::files::Files;
use crate::link::Way;
use crate::shell::Input;

/// Files being read at once; a follower may stay for hours and costs a connection and a few KiB.
const READERS: usize = 256;
/// Connections to the API at once: twice what one master lets through, for a new one may not know of the old one's.
const CONNECTIONS: usize = 256;
/// Messages between here and the network: credit is what bounds them, this only decouples.
const AHEAD: usize = 4;

/// Where the answers come from.
#[derive(Clone, Debug)]
pub(crate) struct Relays {
    pub(crate) files: Files,
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) entrance: Entrance,
    /// Where this agent listens.
    pub(crate) address: SocketAddr,
}

impl Relays {
    /// Serves relays until `stop`.
    pub(crate) async fn run(self, mut asked: mpsc::Receiver<(OpenRelay, Way)>, stop: CancellationToken) {
        let tracker = TaskTracker::new();
        let (readers, connections) =
            (Arc::new(Semaphore::new(READERS)), Arc::new(Semaphore::new(CONNECTIONS)));
        while let Some(Some((open, leader))) = stop.run_until_cancelled(asked.recv()).await {
            let slots = match &open.request {
                Some(open_relay::Request::ServeApi(_)) => &connections,
                _ => &readers,
            };
            let Ok(slot) = slots.clone().try_acquire_owned() else {
                tracing::warn!("too many relays are open; another was not served");
                continue;
            };
            let (relays, stop) = (self.clone(), stop.clone());
            tracker.spawn(async move {
                if let Some(Err(error)) = stop.run_until_cancelled(relays.answer(open, leader, slot)).await {
                    tracing::debug!(error, "a relay ended");
                }
            });
        }
        tracker.close();
        tracker.wait().await;
    }

    async fn answer(self, open: OpenRelay, leader: Way, _slot: OwnedSemaphorePermit) -> Result<(), String> {
        if let Some(open_relay::Request::ServeApi(_)) = open.request {
            let peer = Peer { remote: leader.at, local: self.address, is_brought: true };
            return api::serve(open.token, &leader, peer, &self.entrance).await;
        }
        files::send(self, open, &leader).await
    }
}

/// Dials the master that holds the token and says what comes out of `says`; what is returned is what the master says.
async fn dial_back(
    leader: &Way,
    token: String,
    says: impl Stream<Item = FromRelay> + Send + 'static,
) -> Result<Streaming<ToRelay>, String> {
    let (channel, _) = leader.open().await.map_err(|error| chapada_model::chain(&error))?;
    let hello = message(from_relay::Message::Hello(RelayHello { token }));
    let said = AgentLinkClient::new(channel).relay(tokio_stream::once(hello).chain(says)).await;
    Ok(said.map_err(|status| status.message().to_owned())?.into_inner())
}

fn message(message: from_relay::Message) -> FromRelay {
    FromRelay { message: Some(message) }
}
