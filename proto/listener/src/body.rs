//! Request bodies: bounded in size and in time.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::StatusCode;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use crate::reply::{HttpResponse, text};

/// How long a sender may pause inside a body before it is given up.
const PAUSE_LIMIT: Duration = Duration::from_secs(30);
/// What a whole body must bring a second, on average, beyond the first pause: a sender of single bytes would otherwise keep
/// its request for days.
const MIN_RATE: u64 = 16 * 1024;
/// How much of a refused body is read and thrown away so that its sender sees the answer and can go on using the
/// connection; what sends more is cut off.
const DRAIN_LIMIT: u64 = 64 * 1024 * 1024;
/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// And of a body that has no end of its own: enough for what is on its way.
const OPEN_DRAIN_TIME: Duration = Duration::from_millis(100);
/// How many bytes of bodies that are still coming in one listener holds at once. A body that is whole is its handler's to bound.
const ARRIVING_BYTES: usize = 256 * 1024 * 1024;

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send>>;

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is larger than allowed.
    #[error("the body is larger than the {limit} bytes that are allowed")]
    TooLarge {
        /// What is allowed, in bytes.
        limit: u64,
    },
    /// The sender paused too long, or sends next to nothing.
    #[error("the body arrives too slowly: send it within {} s and {MIN_RATE} bytes a second", PAUSE_LIMIT.as_secs())]
    TooSlow,
    /// The bodies that are coming in hold as much memory as they may.
    #[error("too much is being sent at once; try again")]
    Busy,
    /// The connection broke or the framing is wrong.
    #[error("the body ended early or its framing is wrong")]
    Broken,
}

impl BodyError {
    /// The answer this error deserves: 413, 408, 503 or 400.
    pub fn into_response(self) -> HttpResponse {
        let status = match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken => StatusCode::BAD_REQUEST,
        };
        text(status, self.to_string())
    }
}

/// What the bodies that are coming in at one listener may still take.
#[derive(Clone)]
pub(crate) struct Arriving(Arc<Semaphore>);

impl Arriving {
    pub(crate) fn new() -> Self {
        Self::of(ARRIVING_BYTES)
    }

    fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }
}

/// The body of a request, not read yet.
#[derive(Clone)]
pub struct RequestBody {
    chunks: Arc<Mutex<Chunks>>,
    announced: Option<u64>,
    limit: u64,
    arriving: Arriving,
    /// Its sender speaks when it likes.
    is_open: Arc<AtomicBool>,
}

impl std::fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestBody").field("announced", &self.announced).finish_non_exhaustive()
    }
}

impl RequestBody {
    pub(crate) fn new(chunks: Chunks, announced: Option<u64>, limit: u64, arriving: Arriving) -> Self {
        Self { chunks: Arc::new(Mutex::new(chunks)), announced, limit, arriving, is_open: Arc::default() }
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`BodyError`] if it is larger than the listener allows, too slow or broken, or too many come in at once.
    pub async fn read(&self) -> Result<Bytes, BodyError> {
        if self.announced.is_some_and(|length| length > self.limit) {
            return Err(BodyError::TooLarge { limit: self.limit });
        }
        let mut body = BytesMut::new();
        let begin = Instant::now();
        // Given back when it is whole, or its sender is given up.
        let mut held = self.arriving.0.try_acquire_many(0).map_err(|_| BodyError::Busy)?;
        while let Some(chunk) = self.chunk_until(deadline(begin, body.len())).await? {
            if (body.len() + chunk.len()) as u64 > self.limit {
                return Err(BodyError::TooLarge { limit: self.limit });
            }
            let more = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
            held.merge(self.arriving.0.try_acquire_many(more).map_err(|_| BodyError::Busy)?);
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// The next piece of a body that is read as it comes, of any total size. `None` at its end.
    ///
    /// # Errors
    /// [`BodyError`] if it is too slow or broken.
    pub async fn chunk(&self) -> Result<Option<Bytes>, BodyError> {
        self.chunk_until(Instant::now() + PAUSE_LIMIT).await
    }

    /// The next piece of a body whose sender speaks when it likes, as a person who types. `None` at its end. Whoever waits for
    /// it bounds how long, and how many wait.
    ///
    /// # Errors
    /// [`BodyError::Broken`].
    pub async fn chunk_whenever(&self) -> Result<Option<Bytes>, BodyError> {
        self.is_open.store(true, Ordering::Relaxed);
        match self.chunks.lock().await.next().await {
            None => Ok(None),
            Some(Err(_)) => Err(BodyError::Broken),
            Some(Ok(chunk)) => Ok(Some(chunk)),
        }
    }

    async fn chunk_until(&self, deadline: Instant) -> Result<Option<Bytes>, BodyError> {
        let mut chunks = self.chunks.lock().await;
        match tokio::time::timeout_at(deadline, chunks.next()).await {
            Err(_) => Err(BodyError::TooSlow),
            Ok(None) => Ok(None),
            Ok(Some(Err(_))) => Err(BodyError::Broken),
            Ok(Some(Ok(chunk))) => Ok(Some(chunk)),
        }
    }

    /// The whole length, if the sender announced it.
    pub fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// Reads the rest away, within bounds, so that the connection stays usable after a refusal.
    pub(crate) async fn drain(&self) {
        let drained = async {
            let mut left = DRAIN_LIMIT;
            while let Ok(Some(chunk)) = self.chunk().await {
                left = left.saturating_sub(chunk.len() as u64);
                if left == 0 {
                    return;
                }
            }
        };
        let limit = if self.is_open.load(Ordering::Relaxed) { OPEN_DRAIN_TIME } else { DRAIN_TIME };
        if tokio::time::timeout(limit, drained).await.is_err() {
            tracing::debug!("a refused body was not read to its end");
        }
    }
}

/// When the next piece of a body must be there that began then and has brought so much.
fn deadline(begin: Instant, length: usize) -> Instant {
    let paid = Duration::from_millis(length as u64 * 1000 / MIN_RATE);
    (begin + PAUSE_LIMIT + paid).min(Instant::now() + PAUSE_LIMIT)
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, stream};

    use super::*;

    /// A body of these pieces that never ends, or does.
    fn body(pieces: &[&'static [u8]], ends: bool, arriving: &Arriving) -> RequestBody {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect();
        let chunks: Chunks = match ends {
            true => Box::pin(stream::iter(pieces)),
            false => Box::pin(stream::iter(pieces).chain(stream::pending())),
        };
        RequestBody::new(chunks, None, 1_000, arriving.clone())
    }

    #[tokio::test]
    async fn bodies_that_come_in_share_what_they_may_take_and_give_it_back() {
        let arriving = Arriving::of(10);
        let endless = body(&[b"1234", b"5678"], false, &arriving);
        let mut reading = Box::pin(endless.read());
        assert!(reading.as_mut().now_or_never().is_none(), "it waits for the rest");
        let refused = body(&[b"123"], true, &arriving).read().await;
        assert!(matches!(refused, Err(BodyError::Busy)), "{refused:?}");
        assert_eq!(BodyError::Busy.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body(&[b"12"], true, &arriving).read().await.unwrap(), "12", "there is room for so much");
        drop(reading);
        assert_eq!(body(&[b"1234567890"], true, &arriving).read().await.unwrap().len(), 10);
        let large = body(&[b"12345678901"], true, &arriving).read().await;
        assert!(matches!(large, Err(BodyError::Busy)), "{large:?}");
    }

    #[test]
    fn single_bytes_buy_no_time_and_a_steady_sender_has_all_it_needs() {
        let long_ago = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
        assert!(deadline(long_ago, 100) < Instant::now(), "a byte a second");
        let steady = deadline(long_ago, 200 * MIN_RATE as usize);
        assert!(steady > Instant::now() && steady <= Instant::now() + PAUSE_LIMIT, "twice the least rate");
    }
}
