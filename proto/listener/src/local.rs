//! A socket in the file system instead of a port, for callers on this machine.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authority::Policy;
use crate::bind::ACCEPT_PAUSE;
use crate::call::Peer;
use crate::connection::{self, Door};
use crate::dispatch::Dispatch;
use crate::grpc::GrpcRoutes;
use crate::routes::Routes;
use crate::shares::{Party, Shares};

/// Connections at once; beyond this, new ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 16_384;
/// Connections at once of one user, so that no user alone can take them all.
const MAX_PER_USER: usize = MAX_CONNECTIONS / 4;
/// What stands for either end, which has no address.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A socket in the file system that is not served yet. Who may connect is what the modes of the file and of the directories
/// above it say. What no web page can reach asks for no certain `Host`.
#[derive(Debug)]
pub struct LocalListener {
    socket: UnixListener,
}

impl LocalListener {
    /// Makes the socket.
    ///
    /// # Errors
    /// The kernel's: something has that name, or the path is longer than 107 bytes.
    pub fn bind(path: &Path) -> io::Result<Self> {
        Ok(Self { socket: UnixListener::bind(path)? })
    }

    /// Serves until `stop`, as [`crate::Listener::serve`] does. The file stays.
    pub async fn serve(self, routes: Routes, max_body_bytes: u64, policy: Policy, stop: CancellationToken) {
        let policy = Arc::new(policy);
        let (grpc, refuse) = (GrpcRoutes::new(), routes.refuses_with());
        let http = routes.into_filter(policy.clone(), max_body_bytes, stop.clone());
        let dispatch = Arc::new(Dispatch { guard: None, credentials: None, refuse, http, policy, grpc });
        let door = Arc::new(Door::new(None, dispatch, None));
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let callers = Shares::new(MAX_PER_USER);
        let connections = TaskTracker::new();
        loop {
            let Some((stream, user)) = accept(&self.socket, &stop).await else { break };
            let party = Party::User(user);
            let Some(place) = callers.take(party.clone()) else {
                tracing::debug!(user, "closed a connection of a user who has their share");
                continue;
            };
            let slot = tokio::select! {
                slot = slots.clone().acquire_owned() => slot,
                () = stop.cancelled() => break,
            };
            let peer = Peer { remote: NOWHERE, local: NOWHERE, is_brought: false };
            let serving = connection::serve(stream, peer, party, door.clone(), stop.clone());
            connections.spawn(async move {
                serving.await;
                drop((slot, place));
            });
        }
        drop(self.socket);
        connections.close();
        connections.wait().await;
    }
}

/// The next connection, and the user at its other end.
async fn accept(socket: &UnixListener, stop: &CancellationToken) -> Option<(UnixStream, u32)> {
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = stop.cancelled() => return None,
        };
        match accepted.and_then(|(stream, _)| stream.peer_cred().map(|who| (stream, who.uid()))) {
            Ok(accepted) => return Some(accepted),
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
