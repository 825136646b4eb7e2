//! One connection: first byte, protocol, requests, end.

use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::call::{HangUp, Peer};
use crate::dispatch::Dispatch;
use crate::head::{HEAD_LIMIT, Progress, TimedHeads};
use crate::shares::Party;
use crate::socket::{Connected, Socket};
use crate::tunnel::Tunnel;

/// How long a new connection may stay silent: nothing else notices one that never says which protocol it speaks.
const FIRST_BYTE_LIMIT: Duration = Duration::from_secs(30);
/// How long a connection may idle between requests. Clients that keep one connection and do not expect it to close break
/// when it does (pymesos), so this is long; a head that has begun has a limit of its own.
const IDLE_LIMIT: Duration = Duration::from_secs(3600);
/// HTTP/2 pings, to notice a peer that vanished.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long the answer to a ping may take.
const PING_LIMIT: Duration = Duration::from_secs(20);
/// Requests at once on one HTTP/2 connection: a subscription, some calls, and relays.
const MAX_STREAMS: u32 = 256;
/// Bytes of a request's head, and of an answer that waits for the socket: with all else that a connection holds before anyone
/// knows who is there, it stays below 64 KiB (`cargo xtask bench peers`).
const MAX_BUFFER: usize = 32 * 1024;
/// How long requests in progress may go on after the daemon was told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Serves one connection to its end.
pub(crate) async fn serve(
    stream: impl Connected,
    peer: Peer,
    party: Party,
    dispatch: Arc<Dispatch>,
    stop: CancellationToken,
) {
    let spoke = tokio::select! {
        first = tokio::time::timeout(FIRST_BYTE_LIMIT, stream.first_byte()) => matches!(first, Ok(Ok(true))),
        () = stop.cancelled() => false,
    };
    if !spoke {
        return;
    }
    let hang_up = HangUp::default();
    let socket = Socket::new(stream, peer, hang_up.clone());
    answer(socket, peer, party, hang_up, dispatch, stop).await;
}

/// Serves one connection that came through another one. Its tunnel notices a peer that is gone.
pub(crate) async fn serve_tunnel(
    tunnel: Tunnel,
    peer: Peer,
    dispatch: Arc<Dispatch>,
    stop: CancellationToken,
) {
    let party = Party::at(peer.remote.ip());
    answer(tunnel, peer, party, HangUp::default(), dispatch, stop).await;
}

async fn answer<S>(
    stream: S,
    peer: Peer,
    party: Party,
    hang_up: HangUp,
    dispatch: Arc<Dispatch>,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let builder = builder();
    let handle = hang_up.clone();
    let progress = Progress::default();
    let stream = TimedHeads::new(stream, progress.clone(), HEAD_LIMIT);
    let service = service_fn(move |request| {
        let (dispatch, hang_up, answering) = (dispatch.clone(), handle.clone(), progress.answering());
        let party = party.clone();
        async move {
            let answer = dispatch.answer(peer, party, hang_up, request).await;
            Ok::<_, std::convert::Infallible>(answering.until_end_of(answer))
        }
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => Some(result),
        () = hang_up.asked() => None,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(GRACE, connection).await.ok()
        }
    };
    if let Some(Err(error)) = result {
        tracing::debug!(%peer.remote, error = %error, "a connection ended early");
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_LIMIT)
        .half_close(false)
        .max_buf_size(MAX_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_LIMIT)
        .max_concurrent_streams(MAX_STREAMS);
    builder
}
