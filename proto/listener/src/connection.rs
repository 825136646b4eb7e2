//! One connection: first byte, protocol, requests, end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use chapada_tls::{Acceptor, HANDSHAKE_BYTE};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::call::{HangUp, Peer};
use crate::dispatch::{Caller, Dispatch};
use crate::head::{HEAD_LIMIT, Progress, TimedHeads};
use crate::refused::Refused;
use crate::shares::Party;
use crate::socket::{Connected, Socket};
use crate::tunnel::Tunnel;

/// How long a new connection may stay silent, and once more after a handshake: nothing else notices one that never says which protocol
/// it speaks.
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
/// How long a plain caller may take to hear that it must speak TLS.
const TELL_LIMIT: Duration = Duration::from_secs(5);
/// What it hears.
const SPEAKS_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 71\r\n\
connection: close\r\n\r\nthis port speaks TLS: use an https:// address, or --tls-ca with chapada";
/// The same over HTTP/2: no settings, and GOAWAY for want of security, with a word.
const SPEAKS_TLS_2: &[u8] =
    b"\0\0\0\x04\0\0\0\0\0\0\0\x1c\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0cthis port speaks TLS";
/// How long requests in progress may go on after the daemon was told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// What a port speaks, and with whom.
pub(crate) struct Door {
    tls: Option<Acceptor>,
    dispatch: Arc<Dispatch>,
    /// Who answers plain callers where TLS is spoken; nobody when they are only told so.
    plain: Option<Arc<Dispatch>>,
    refused: Refused,
}

impl Door {
    /// Where TLS is spoken, plain callers have these `few` routes.
    pub(crate) fn new(tls: Option<Acceptor>, dispatch: Arc<Dispatch>, few: Option<Arc<Dispatch>>) -> Self {
        let plain = match &tls {
            Some(tls) if !tls.takes_plain() => few,
            _ => Some(dispatch.clone()),
        };
        Self { tls, dispatch, plain, refused: Refused::default() }
    }

    /// Who answers those who were let in elsewhere.
    pub(crate) fn behind(&self) -> Arc<Dispatch> {
        self.dispatch.clone()
    }

    /// Tells how many handshakes come to nothing for want of time, until `stop`.
    pub(crate) async fn tell_of_the_late(&self, stop: &CancellationToken) {
        if self.tls.is_some() {
            self.refused.tell_of_the_late(stop).await;
        }
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(
    stream: impl Connected,
    peer: Peer,
    party: Party,
    door: Arc<Door>,
    stop: CancellationToken,
) {
    let first = tokio::select! {
        first = tokio::time::timeout(FIRST_BYTE_LIMIT, stream.first_byte()) => first,
        () = stop.cancelled() => return,
    };
    let Ok(Ok(Some(first))) = first else { return };
    let hang_up = HangUp::default();
    let mut socket = Socket::new(stream, peer, hang_up.clone());
    let caller = Caller { peer, party, hang_up, is_secure: false };
    match (&door.tls, &door.plain) {
        (Some(tls), _) if first == HANDSHAKE_BYTE => {
            Box::pin(serve_secured(socket, tls, caller, &door, stop)).await;
        }
        (_, Some(dispatch)) => Box::pin(answer(socket, caller, dispatch.clone(), stop)).await,
        (_, None) => {
            let told = tokio::time::timeout(TELL_LIMIT, tell_of_tls(&mut socket)).await;
            tracing::debug!(%peer.remote, ?told, "refused a plain caller");
        }
    }
}

async fn serve_secured<S: Connected>(
    socket: Socket<S>,
    tls: &Acceptor,
    caller: Caller,
    door: &Door,
    stop: CancellationToken,
) {
    let secured = tokio::select! {
        secured = Box::pin(tls.accept(socket, caller.peer.remote.ip())) => secured,
        () = stop.cancelled() => return,
    };
    let mut stream = match secured {
        Ok(stream) => stream,
        Err(error) => {
            let (remote, party) = (caller.peer.remote, &caller.party);
            match door.refused.is_news(party, &error) {
                true => {
                    tracing::info!(%remote, %error, "refused a caller; further ones of it are not told for a minute")
                }
                false => tracing::debug!(%remote, %error, "refused a caller"),
            }
            return;
        }
    };
    let spoke = tokio::select! {
        first = tokio::time::timeout(FIRST_BYTE_LIMIT, stream.fill_buf()) => {
            matches!(first, Ok(Ok(bytes)) if !bytes.is_empty())
        }
        () = stop.cancelled() => false,
    };
    if spoke {
        let caller = Caller { is_secure: true, ..caller };
        Box::pin(answer(stream, caller, door.dispatch.clone(), stop)).await;
    }
}

/// Says in plain HTTP that this port speaks TLS; the request, or some of it, is read away, so that the caller sees the answer.
async fn tell_of_tls(socket: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    let mut begins = [0; 3];
    socket.read_exact(&mut begins).await?;
    let is_http2 = begins == *b"PRI";
    socket.write_all(if is_http2 { SPEAKS_TLS_2 } else { SPEAKS_TLS }).await?;
    socket.shutdown().await?;
    tokio::io::copy(&mut socket.take(MAX_BUFFER as u64), &mut tokio::io::sink()).await?;
    Ok(())
}

/// Serves one connection that came through another one. Its tunnel notices a peer that is gone.
pub(crate) async fn serve_tunnel(
    tunnel: Tunnel,
    peer: Peer,
    dispatch: Arc<Dispatch>,
    stop: CancellationToken,
) {
    let party = Party::at(peer.remote.ip());
    let caller = Caller { peer, party, hang_up: HangUp::default(), is_secure: false };
    answer(tunnel, caller, dispatch, stop).await;
}

async fn answer<S>(stream: S, caller: Caller, dispatch: Arc<Dispatch>, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (peer, hang_up) = (caller.peer, caller.hang_up.clone());
    let builder = builder();
    let progress = Progress::default();
    let stream = TimedHeads::new(stream, progress.clone(), HEAD_LIMIT);
    let service = service_fn(move |request| {
        let (dispatch, caller, answering) = (dispatch.clone(), caller.clone(), progress.answering());
        async move {
            let answer = dispatch.answer(caller, request).await;
            Ok::<_, std::convert::Infallible>(answering.until_end_of(answer))
        }
    });
    // In boxes, this and the whole: a future keeps room for each that it awaits, and once more for what is pinned in it, and there
    // are tens of thousands of these.
    let mut connection = Box::pin(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
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
