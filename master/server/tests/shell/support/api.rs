//! The API of a scripted agent: what it answers says what it was asked, and it tells who is there.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use chapada_listener::{
    Action, Call, ContentRule, Entrance, GrpcRoutes, HttpResponse, ListenConfig, Listener, Peer, Piece,
    Policy, RouteEntry, Routes, json, stream, text, tunnel,
};
use chapada_wire::link::agent_link_client::AgentLinkClient;
use chapada_wire::link::{self, FromRelay, from_relay};
use http::StatusCode;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::DEADLINE;

/// Bytes of the answer to GET_STATE, more than a tunnel holds.
pub(crate) const LARGE: usize = 3 * 1024 * 1024;

/// Serves on no port that anybody knows. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AgentApi {
    entrance: Entrance,
    at: SocketAddr,
    /// Endless answers that are under way.
    sessions: watch::Sender<usize>,
    stop: CancellationToken,
    _ends: Arc<tokio_util::sync::DropGuard>,
}

impl AgentApi {
    pub(crate) async fn start() -> Self {
        let config = ListenConfig { port: Some(0), ..ListenConfig::default() };
        let listener = Listener::bind(&config, 0).await.expect("a free port");
        let (stop, sessions) = (CancellationToken::new(), watch::channel(0).0);
        let (entrance, at) = (listener.entrance(), listener.local_addr());
        let entry = RouteEntry {
            method: None,
            pattern: "/api/v1",
            action: Action::ViewHealth,
            content: ContentRule::Handler,
        };
        let counted = sessions.clone();
        let routes = Routes::new().add(entry, move |call| answer(call, counted.clone()));
        tokio::spawn(listener.serve(routes, GrpcRoutes::new(), Policy::allow_all(), stop.clone()));
        Self { entrance, at, sessions, _ends: Arc::new(stop.clone().drop_guard()), stop }
    }

    /// Waits until so many endless answers are under way.
    pub(crate) async fn has_sessions(&self, count: usize) {
        let mut sessions = self.sessions.subscribe();
        let waited = tokio::time::timeout(DEADLINE, sessions.wait_for(|now| *now == count)).await;
        waited
            .unwrap_or_else(|_| panic!("{} sessions, not {count}", *self.sessions.borrow()))
            .expect("lives");
    }

    /// Breaks every connection off, as a machine that dies.
    pub(crate) fn die(&self) {
        self.stop.cancel();
    }

    pub(crate) fn dial_back(&self, master: SocketAddr, token: String) {
        let api = self.clone();
        tokio::spawn(async move {
            let stop = api.stop.clone();
            stop.run_until_cancelled(api.serve(master, token)).await
        });
    }

    async fn serve(self, master: SocketAddr, token: String) {
        let endpoint =
            tonic::transport::Endpoint::from_shared(format!("http://{master}")).expect("an address");
        let mut client = AgentLinkClient::new(endpoint.connect().await.expect("the master listens"));
        let (outgoing, sent) = mpsc::channel(4);
        let message = |message| FromRelay { message: Some(message) };
        let hello = message(from_relay::Message::Hello(link::RelayHello { token }));
        let says = ReceiverStream::new(sent).map(move |piece: Piece| {
            let piece = link::Piece { data: piece.data.into(), credit: piece.credit };
            message(from_relay::Message::Piece(piece))
        });
        let said = client.relay(tokio_stream::once(hello).chain(says)).await.expect("a relay").into_inner();
        let said = said.map(|said| said.map(|said| Piece { data: said.data.into(), credit: said.credit }));
        let (end, carrying) = tunnel(said, outgoing);
        self.entrance.bring(end, Peer { remote: master, local: self.at, is_brought: true }).await;
        drop(carrying.await);
    }
}

async fn answer(call: Call, sessions: watch::Sender<usize>) -> HttpResponse {
    if call.header("content-type") == Some("application/recordio") {
        return echo(call);
    }
    let seen = call.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
    let body = String::from_utf8(call.read_body().await.expect("a body").to_vec()).expect("text");
    match body.as_str() {
        body if body.contains("LAUNCH_NESTED_CONTAINER_SESSION") => session(sessions),
        body if body.contains("GET_STATE") => {
            let large: Vec<u8> = (0..LARGE).map(|number| (number % 251) as u8).collect();
            chapada_listener::bytes(StatusCode::OK, "application/x-protobuf", large)
        }
        body if body.contains("WAIT_CONTAINER") => text(StatusCode::NOT_FOUND, "Container x cannot be found"),
        body => json(StatusCode::OK, &serde_json::json!({ "asked": body, "headers": seen })),
    }
}

/// Says what it hears as it hears it.
fn echo(call: Call) -> HttpResponse {
    let (sender, pieces) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    tokio::spawn(async move {
        while let Ok(Some(piece)) = call.body.chunk().await {
            if sender.send(Ok(piece)).await.is_err() {
                return;
            }
        }
    });
    stream(StatusCode::OK, "application/recordio", ReceiverStream::new(pieces))
}

/// An answer that says one thing and does not end.
fn session(sessions: watch::Sender<usize>) -> HttpResponse {
    let (sender, pieces) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    sessions.send_modify(|count| *count += 1);
    tokio::spawn(async move {
        drop(sender.send(Ok(Bytes::from_static(b"begun"))).await);
        sender.closed().await;
        sessions.send_modify(|count| *count -= 1);
    });
    stream(StatusCode::OK, "application/recordio", ReceiverStream::new(pieces))
}
