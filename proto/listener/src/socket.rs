//! The socket of a connection: bounded in what it holds of a peer that does not read, and in how long it does.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Sleep;

use crate::call::{HangUp, Peer};

/// How long a peer may read nothing of what waits for it. A person who pauses a listing may; nobody needs longer.
const STALL_LIMIT: Duration = Duration::from_secs(120);
/// Bytes that the kernel takes before the peer's window has room for them: without a bound that is up to 4 MiB a peer.
const UNSENT_LIMIT: u32 = 64 * 1024;

/// A connection that the kernel made.
pub(crate) trait Connected: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static {
    /// Waits until the peer said something, and tells its first byte, which is not read yet; nothing when it left instead. Where
    /// the byte cannot be told it is 0, with which nothing begins.
    fn first_byte(&self) -> impl Future<Output = io::Result<Option<u8>>> + Send;

    /// Sets what is to be set once. An option that the kernel does not have is done without.
    fn prepare(&self, _peer: Peer) {}

    /// Has the kernel hold nothing for the peer once this is closed. On failure it does.
    fn forget_unread(&self) {}
}

impl Connected for TcpStream {
    async fn first_byte(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        let count = self.peek(&mut byte).await?;
        Ok((count == 1).then_some(byte[0]))
    }

    fn prepare(&self, peer: Peer) {
        if let Err(error) = self.set_nodelay(true) {
            tracing::debug!(%peer.remote, %error, "failed to turn off delays on a connection");
        }
        if let Err(error) = SockRef::from(self).set_tcp_notsent_lowat(UNSENT_LIMIT) {
            tracing::debug!(%peer.remote, %error, "failed to bound what a connection holds");
        }
    }

    fn forget_unread(&self) {
        drop(self.set_zero_linger());
    }
}

/// What the kernel holds of it is bounded by `net.core.wmem_default`, and goes with the peer's end.
impl Connected for UnixStream {
    async fn first_byte(&self) -> io::Result<Option<u8>> {
        self.readable().await.map(|()| Some(0))
    }
}

/// A connected socket.
pub(crate) struct Socket<S: Connected> {
    stream: S,
    limit: Duration,
    hang_up: HangUp,
    /// Runs while something waits that the peer does not read.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S: Connected> Socket<S> {
    /// Takes over a connection.
    pub(crate) fn new(stream: S, peer: Peer, hang_up: HangUp) -> Self {
        stream.prepare(peer);
        Self { stream, limit: STALL_LIMIT, hang_up, stalled: None }
    }

    /// The outcome of a write; one that waits for too long is an error.
    fn within_limit<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
    }
}

impl<S: Connected> Drop for Socket<S> {
    fn drop(&mut self) {
        if self.hang_up.is_asked() {
            // Otherwise the kernel would go on to hold what the peer does not read.
            self.stream.forget_unread();
        }
    }
}

impl<S: Connected> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: Connected> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.within_limit(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.within_limit(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Socket<TcpStream>, TcpStream, HangUp) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(at), listener.accept());
        let (stream, remote) = accepted.unwrap();
        let hang_up = HangUp::default();
        (
            Socket::new(stream, Peer { remote, local: at, is_brought: false }, hang_up.clone()),
            client.unwrap(),
            hang_up,
        )
    }

    #[tokio::test]
    async fn a_peer_that_reads_nothing_is_given_up() {
        let (mut socket, _client, _) = pair().await;
        socket.limit = Duration::from_millis(20);
        let error = loop {
            let written = poll_fn(|cx| Pin::new(&mut socket).poll_write(cx, &[7; 16 * 1024])).await;
            if let Err(error) = written {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_connection_that_is_hung_up_on_is_reset() {
        let (mut socket, mut client, hang_up) = pair().await;
        socket.write_all(b"read").await.unwrap();
        hang_up.now();
        drop(socket);
        let mut read = Vec::new();
        let error = client.read_to_end(&mut read).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
