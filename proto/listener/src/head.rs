//! Bounds the time that the head of an HTTP/1 request may take, from its first byte. Between requests a connection may idle
//! for long (hyper has one limit for both), and while a request is answered its body and its answer have limits of their own.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long the head of a request may take: a head is one packet or a few.
pub(crate) const HEAD_LIMIT: Duration = Duration::from_secs(15);

/// What an HTTP/2 connection begins with. It has pings in place of this limit: a peer in the middle of a frame cannot answer them.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The last words to a peer that takes too long.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain\r\ncontent-length: 72\r\n\
connection: close\r\n\r\nthe head of the request took more than 15 s to arrive: send it in one go";

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const ANSWERING: u8 = 2;
const UNTIMED: u8 = 3;

/// Where a connection is. Shared by its socket and by the answers on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Arc<AtomicU8>);

impl Progress {
    /// A head is whole. The answer is over when what is returned is dropped.
    pub(crate) fn answering(&self) -> Answering {
        self.change(HEAD, ANSWERING);
        // It came together with the request before.
        self.change(IDLE, ANSWERING);
        Answering(self.clone())
    }

    fn now(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn change(&self, from: u8, to: u8) {
        // Anything else stays what it is: HTTP/2 above all.
        let _unchanged = self.0.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// An answer that is not over.
#[derive(Debug)]
pub(crate) struct Answering(Progress);

impl Answering {
    /// The answer, at the end of whose body the next head may begin; never, when it switches to another protocol.
    pub(crate) fn until_end_of<B>(self, answer: Response<B>) -> Response<AnswerBody<B>> {
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.0.change(ANSWERING, UNTIMED);
        }
        answer.map(|body| AnswerBody { body, _answering: self })
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.change(ANSWERING, IDLE);
    }
}

/// A body that ends an answer.
pub(crate) struct AnswerBody<B> {
    body: B,
    _answering: Answering,
}

impl<B: Body + Unpin> Body for AnswerBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream on which heads are timed.
pub(crate) struct TimedHeads<S> {
    stream: S,
    progress: Progress,
    limit: Duration,
    /// Runs while a head is on its way.
    timer: Option<Pin<Box<Sleep>>>,
    /// How much of what HTTP/2 begins with has come and nothing else; `None` once that is settled.
    preface: Option<usize>,
}

impl<S> TimedHeads<S> {
    pub(crate) fn new(stream: S, progress: Progress, limit: Duration) -> Self {
        Self { stream, progress, limit, timer: None, preface: Some(0) }
    }

    fn came(&mut self, bytes: &[u8]) {
        self.progress.change(IDLE, HEAD);
        let Some(seen) = self.preface else { return };
        let rest = &HTTP2_PREFACE[seen..];
        let common = rest.len().min(bytes.len());
        self.preface = match (bytes[..common] == rest[..common], common == rest.len()) {
            (true, true) => {
                self.progress.change(HEAD, UNTIMED);
                None
            }
            (true, false) => Some(seen + common),
            (false, _) => None,
        };
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TimedHeads<S> {
    /// Whether a head that is on its way has taken too long.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        if self.progress.now() != HEAD {
            self.timer = None;
            return false;
        }
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        timer.as_mut().poll(cx).is_ready()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TimedHeads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.came(&buf.filled()[before..]);
        }
        if self.is_late(cx) {
            // As much as the socket takes at once: whoever is this slow may not read either.
            drop(Pin::new(&mut self.stream).poll_write(cx, TOO_SLOW));
            let error = io::Error::new(io::ErrorKind::TimedOut, "the head of a request took too long");
            return Poll::Ready(Err(error));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedHeads<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
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
mod tests;
