//! A byte stream in both directions on top of messages: how a connection is carried through another one.
//!
//! Each end says how many bytes it can take (credit), beats when it has nothing to say, and takes the other for gone after a
//! silence. What waits at one end is never more than [`WINDOW`] bytes a direction, whatever the other sends.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, ReadHalf};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

/// Bytes that may be on their way or wait to be read, in one direction.
const WINDOW: u64 = 256 * 1024;
/// Credit is given in portions of this size at least, so that it costs little.
const PORTION: u64 = WINDOW / 4;
/// The most that one message carries.
const PIECE: usize = 16 * 1024;
/// Five seconds and twenty: a link that an agent keeps to its master is given up after as much.
const PACE: Pace = Pace { beat: Duration::from_secs(5), silence: Duration::from_secs(20) };

/// What crosses a tunnel in one message. With neither bytes nor credit it is a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// The next bytes.
    pub data: Bytes,
    /// How many bytes more the sender of this can take.
    pub credit: u64,
}

/// Why a tunnel ended otherwise than by one of its ends closing it.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// What carries it broke.
    #[error("the connection of the tunnel broke: {0}")]
    Broken(String),
    /// The other end sent more than it may.
    #[error("the other end sent more than it was allowed to")]
    Overrun,
    /// The other end is gone, or takes nothing.
    #[error("the other end of the tunnel was silent for {} s", PACE.silence.as_secs())]
    Silent,
}

/// This end of a tunnel. Dropping it closes the tunnel once what was written is sent.
#[derive(Debug)]
pub struct Tunnel {
    near: DuplexStream,
    read: Arc<Taken>,
}

/// What was read since credit was given last.
#[derive(Debug, Default)]
struct Taken {
    bytes: AtomicU64,
    some: Notify,
}

/// Makes a tunnel on `incoming` and `outgoing`. Nothing moves unless the second value is polled; it ends with the tunnel, and
/// dropping it ends the tunnel at once.
pub fn tunnel<S, E>(
    incoming: S,
    outgoing: mpsc::Sender<Piece>,
) -> (Tunnel, impl Future<Output = Result<(), TunnelError>>)
where
    S: Stream<Item = Result<Piece, E>>,
    E: std::fmt::Display,
{
    let (near, far) = tokio::io::duplex(WINDOW as usize);
    let read = Arc::new(Taken::default());
    let carrier = Carrier { outgoing, read: read.clone(), pace: PACE, allowed: 0, granted: 0 };
    (Tunnel { near, read }, carrier.carry(incoming, far))
}

/// How an end notices that the other is gone.
#[derive(Clone, Copy)]
struct Pace {
    /// How often either end shows that it lives.
    beat: Duration,
    /// After so long without a word the other end is gone.
    silence: Duration,
}

struct Carrier {
    outgoing: mpsc::Sender<Piece>,
    read: Arc<Taken>,
    pace: Pace,
    /// Bytes that may still be sent.
    allowed: u64,
    /// Bytes that may still come.
    granted: u64,
}

/// What happens next.
enum Step<E> {
    Came(Option<Result<Piece, E>>),
    Written(io::Result<usize>),
    Taken,
    Beat,
}

impl Carrier {
    async fn carry<S, E>(mut self, incoming: S, far: DuplexStream) -> Result<(), TunnelError>
    where
        S: Stream<Item = Result<Piece, E>>,
        E: std::fmt::Display,
    {
        let mut incoming = pin!(incoming);
        let (mut written, mut arrived) = tokio::io::split(far);
        let mut buffer = vec![0; PIECE];
        let mut beat = beats(self.pace.beat);
        let mut heard = Instant::now();
        self.grant(WINDOW).await?;
        loop {
            let step = tokio::select! {
                biased; // what has come is heard before anyone is taken for silent
                piece = incoming.next() => Step::Came(piece),
                _ = beat.tick() => Step::Beat,
                () = self.read.some.notified() => Step::Taken,
                count = next(&mut written, &mut buffer, self.allowed) => Step::Written(count),
            };
            match step {
                Step::Came(None) => return Ok(()),
                Step::Came(Some(Err(error))) => return Err(TunnelError::Broken(error.to_string())),
                Step::Came(Some(Ok(piece))) => {
                    heard = Instant::now();
                    self.admit(&piece)?;
                    // There is room for all that was granted, so this waits for nobody; it fails when nobody reads any more.
                    if arrived.write_all(&piece.data).await.is_err() {
                        return Ok(());
                    }
                }
                Step::Written(Ok(0) | Err(_)) => return Ok(()),
                Step::Written(Ok(count)) => {
                    self.allowed -= count as u64;
                    self.say(Piece { data: Bytes::copy_from_slice(&buffer[..count]), credit: 0 }).await?;
                }
                Step::Taken => self.return_credit().await?,
                Step::Beat if heard.elapsed() > self.pace.silence => return Err(TunnelError::Silent),
                Step::Beat => self.say(Piece::default()).await?,
            }
        }
    }

    fn admit(&mut self, piece: &Piece) -> Result<(), TunnelError> {
        self.allowed = self.allowed.saturating_add(piece.credit);
        let left = self.granted.checked_sub(piece.data.len() as u64);
        self.granted = left.ok_or(TunnelError::Overrun)?;
        Ok(())
    }

    async fn return_credit(&mut self) -> Result<(), TunnelError> {
        let taken = self.read.bytes.load(Ordering::Relaxed);
        if taken < PORTION {
            return Ok(());
        }
        self.read.bytes.fetch_sub(taken, Ordering::Relaxed);
        self.grant(taken).await
    }

    async fn grant(&mut self, credit: u64) -> Result<(), TunnelError> {
        self.granted += credit;
        self.say(Piece { data: Bytes::new(), credit }).await
    }

    async fn say(&self, piece: Piece) -> Result<(), TunnelError> {
        match timeout(self.pace.silence, self.outgoing.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(TunnelError::Broken("nobody takes what is sent".to_owned())),
            Err(_) => Err(TunnelError::Silent),
        }
    }
}

/// Reads what is to be sent, as much as may be.
async fn next(written: &mut ReadHalf<DuplexStream>, buffer: &mut [u8], allowed: u64) -> io::Result<usize> {
    let most = usize::try_from(allowed).unwrap_or(usize::MAX).min(buffer.len());
    if most == 0 {
        return std::future::pending().await;
    }
    written.read(&mut buffer[..most]).await
}

fn beats(period: Duration) -> Interval {
    let mut beats = interval(period);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.near).poll_read(cx, buf);
        let count = (buf.filled().len() - before) as u64;
        if self.read.bytes.fetch_add(count, Ordering::Relaxed) + count >= PORTION {
            self.read.some.notify_one();
        }
        read
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.near).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.near).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.near.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.near).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.near).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
