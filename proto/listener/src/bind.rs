//! Opens the port and accepts connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chapada_tls::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::authority::Policy;
use crate::call::Peer;
use crate::config::ListenConfig;
use crate::connection::{self, Door};
use crate::dispatch::Dispatch;
use crate::error::ListenError;
use crate::grpc::GrpcRoutes;
use crate::guard::Guard;
use crate::routes::Routes;
use crate::shares::{Party, Shares};
use crate::tunnel::Tunnel;

/// Connections at once: an agent link or a subscription takes one, so this carries a cluster of 50,000 agents. Each
/// costs a file descriptor; beyond this, new ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 65_536;
/// Connections at once from one address, so that no machine alone can take them all: 10,000 agents behind one address, and
/// their readers.
const MAX_PER_ADDRESS: usize = MAX_CONNECTIONS / 4;
/// How long to wait when the kernel cannot give a connection (out of file descriptors) before trying again.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Tunnels that wait to be served, which takes no time; their bringers wait when there are more.
const BROUGHT: usize = 16;

/// An open port that is not served yet.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    at: SocketAddr,
    config: ListenConfig,
    admission: Admission,
    tls: Option<Acceptor>,
    plain: Option<Routes>,
    brought: mpsc::Receiver<(Tunnel, Peer)>,
    entrance: Entrance,
}

/// A way to a listener beside its port, for connections that came through another one. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Entrance(mpsc::Sender<(Tunnel, Peer)>);

impl Entrance {
    /// Has a connection served as those of the port are; `false` when the listener has stopped.
    pub async fn bring(&self, tunnel: Tunnel, peer: Peer) -> bool {
        self.0.send((tunnel, peer)).await.is_ok()
    }
}

impl Listener {
    /// Opens the port of `config`, or `default_port` if it names none; 0 takes a free one.
    ///
    /// # Errors
    /// [`ListenError`] says in a sentence what to do: off loopback without `insecure`, certificates that cannot be used, port
    /// taken, not permitted.
    pub async fn bind(config: &ListenConfig, default_port: u16) -> Result<Self, ListenError> {
        Self::bind_with(config, default_port, Admission::default()).await
    }

    /// As [`Listener::bind`], and callers must be who `admission` lets in. With credentials it may listen anywhere, and so it may
    /// where all callers need a certificate.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub async fn bind_with(
        config: &ListenConfig,
        default_port: u16,
        admission: Admission,
    ) -> Result<Self, ListenError> {
        let tls = Acceptor::new(&config.tls)?;
        let knows_callers = admission.credentials.is_some() || config.tls.admits_by_certificate();
        if !config.ip.is_loopback() && !config.insecure && !knows_callers {
            return Err(ListenError::Insecure(config.ip));
        }
        let asked = SocketAddr::new(config.ip, config.port.unwrap_or(default_port));
        let socket =
            TcpListener::bind(asked).await.map_err(|source| ListenError::from_bind(asked, source))?;
        let at = socket.local_addr().map_err(|source| ListenError::from_bind(asked, source))?;
        let (entrance, brought) = mpsc::channel(BROUGHT);
        let (config, entrance) = (config.clone(), Entrance(entrance));
        Ok(Self { socket, at, config, admission, tls, plain: None, brought, entrance })
    }

    /// Takes plain callers for these routes, and no others, on a port that otherwise speaks TLS: for those who can have no
    /// certificate and whom the routes know by something else.
    #[must_use]
    pub fn with_plain_routes(self, routes: Routes) -> Self {
        Self { plain: Some(routes), ..self }
    }

    /// The real address, also when port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.at
    }

    /// The way to this listener for connections that came through another one.
    pub fn entrance(&self) -> Entrance {
        self.entrance.clone()
    }

    /// Serves until `stop`; then lets requests in progress end, for a few seconds at most. Endless answers must watch
    /// [`crate::Call::stop`].
    pub async fn serve(mut self, routes: Routes, grpc: GrpcRoutes, policy: Policy, stop: CancellationToken) {
        let policy = Arc::new(policy);
        let few = self.plain.take().map(|routes| self.dispatch(routes, GrpcRoutes::new(), &policy, &stop));
        let dispatch = self.dispatch(routes, grpc, &policy, &stop);
        let door = Arc::new(Door::new(self.tls.take(), dispatch, few));
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let callers = Shares::new(MAX_PER_ADDRESS);
        let connections = TaskTracker::new();
        let (late, stopped) = (door.clone(), stop.clone());
        connections.spawn(async move { late.tell_of_the_late(&stopped).await });
        loop {
            let (stream, peer) = tokio::select! {
                accepted = accept(&self.socket, self.at, &stop) => match accepted {
                    Some(accepted) => accepted,
                    None => break,
                },
                Some((tunnel, peer)) = self.brought.recv() => {
                    connections.spawn(connection::serve_tunnel(tunnel, peer, door.behind(), stop.clone()));
                    continue;
                }
            };
            let party = Party::at(peer.remote.ip());
            let Some(place) = callers.take(party.clone()) else {
                tracing::debug!(%peer.remote, "closed a connection of an address that has its share");
                continue;
            };
            let slot = tokio::select! {
                slot = slots.clone().acquire_owned() => slot,
                () = stop.cancelled() => break,
            };
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

    fn dispatch(
        &self,
        routes: Routes,
        grpc: GrpcRoutes,
        policy: &Arc<Policy>,
        stop: &CancellationToken,
    ) -> Arc<Dispatch> {
        Arc::new(Dispatch {
            guard: Some(Guard::new(&self.config).reading_from(self.admission.origins.clone())),
            credentials: self.admission.credentials.clone(),
            refuse: routes.refuses_with(),
            http: routes.into_filter(policy.clone(), self.config.max_body_bytes, stop.clone()),
            policy: policy.clone(),
            grpc,
        })
    }
}

async fn accept(socket: &TcpListener, at: SocketAddr, stop: &CancellationToken) -> Option<(TcpStream, Peer)> {
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = stop.cancelled() => return None,
        };
        match accepted {
            Ok((stream, remote)) => {
                let local = stream.local_addr().unwrap_or(at);
                return Some((stream, Peer { remote, local, is_brought: false }));
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
