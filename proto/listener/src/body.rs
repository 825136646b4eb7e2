//! Request bodies: bounded in size and in time.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::StatusCode;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::arriving::{Arriving, PRESSED, Pace, STEADY};
use crate::reply::{HttpResponse, text};
use crate::shares::Party;

/// How much of a refused body is read and thrown away so that its sender sees the answer and can go on using the
/// connection; what sends more is cut off.
const DRAIN_LIMIT: u64 = 64 * 1024 * 1024;
/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// And of a body that has no end of its own: enough for what is on its way.
const OPEN_DRAIN_TIME: Duration = Duration::from_millis(100);

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
    /// The sender paused too long, or sends too little for what is being sent by all.
    #[error("the body arrives too slowly: send it within {} s and {rate} bytes a second", pause.as_secs())]
    TooSlow {
        /// How long it may pause.
        pause: Duration,
        /// What it must bring a second.
        rate: u64,
    },
    /// The bodies that are coming in hold as much memory as they may, all of them or those of this caller.
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
            Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken => StatusCode::BAD_REQUEST,
        };
        text(status, self.to_string())
    }
}

impl From<Pace> for BodyError {
    fn from(Pace { pause, rate }: Pace) -> Self {
        Self::TooSlow { pause, rate }
    }
}

/// The body of a request, not read yet.
#[derive(Clone)]
pub struct RequestBody {
    inner: Arc<Inner>,
}

struct Inner {
    chunks: Mutex<Chunks>,
    announced: Option<u64>,
    limit: u64,
    from: Party,
    arriving: Arriving,
    /// Its sender speaks when it likes.
    is_open: AtomicBool,
    /// It had begun to come, and is not wanted any more.
    is_given_up: AtomicBool,
}

impl std::fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestBody").field("announced", &self.inner.announced).finish_non_exhaustive()
    }
}

impl RequestBody {
    pub(crate) fn new(
        chunks: Chunks,
        announced: Option<u64>,
        limit: u64,
        from: Party,
        arriving: Arriving,
    ) -> Self {
        let (chunks, is_open, is_given_up) =
            (Mutex::new(chunks), AtomicBool::default(), AtomicBool::default());
        let inner = Inner { chunks, announced, limit, from, arriving, is_open, is_given_up };
        Self { inner: Arc::new(inner) }
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`BodyError`] if it is larger than the listener allows, too slow or broken, or too much comes in at once.
    pub async fn read(&self) -> Result<Bytes, BodyError> {
        if self.inner.announced.is_some_and(|length| length > self.inner.limit) {
            return Err(BodyError::TooLarge { limit: self.inner.limit });
        }
        let whole = self.whole().await;
        self.inner.is_given_up.store(whole.is_err(), Ordering::Relaxed);
        whole
    }

    async fn whole(&self) -> Result<Bytes, BodyError> {
        let mut body = BytesMut::new();
        let begin = Instant::now();
        // Given back when it is whole, or its sender is given up.
        let mut held = self.inner.arriving.held_by(self.inner.from.clone());
        while let Some(chunk) = self.chunk_in_time(begin, body.len()).await? {
            if (body.len() + chunk.len()) as u64 > self.inner.limit {
                return Err(BodyError::TooLarge { limit: self.inner.limit });
            }
            if !held.take(chunk.len()) {
                return Err(BodyError::Busy);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// The next piece of a body that began then and has brought so much.
    async fn chunk_in_time(&self, begin: Instant, length: usize) -> Result<Option<Bytes>, BodyError> {
        let last = Instant::now();
        loop {
            let pace = self.inner.arriving.pace();
            let deadline = pace.deadline(begin, length, last);
            let now = Instant::now();
            match self.chunk_until(deadline.min(now + PRESSED.pause)).await {
                Some(chunk) => return chunk,
                None if deadline <= now => return Err(pace.into()),
                // Others may have come or gone meanwhile.
                None => {}
            }
        }
    }

    /// The next piece of a body that is read as it comes, of any total size. `None` at its end.
    ///
    /// # Errors
    /// [`BodyError`] if it is too slow or broken.
    pub async fn chunk(&self) -> Result<Option<Bytes>, BodyError> {
        let chunk = self.chunk_until(Instant::now() + STEADY.pause).await;
        chunk.unwrap_or(Err(STEADY.into()))
    }

    /// The next piece of a body whose sender speaks when it likes, as a person who types. `None` at its end. Whoever waits for
    /// it bounds how long, and how many wait.
    ///
    /// # Errors
    /// [`BodyError::Broken`].
    pub async fn chunk_whenever(&self) -> Result<Option<Bytes>, BodyError> {
        self.inner.is_open.store(true, Ordering::Relaxed);
        match self.inner.chunks.lock().await.next().await {
            None => Ok(None),
            Some(Err(_)) => Err(BodyError::Broken),
            Some(Ok(chunk)) => Ok(Some(chunk)),
        }
    }

    /// The next piece, or how it failed; nothing when neither is there by then.
    async fn chunk_until(&self, deadline: Instant) -> Option<Result<Option<Bytes>, BodyError>> {
        let mut chunks = self.inner.chunks.lock().await;
        let next = tokio::time::timeout_at(deadline, chunks.next()).await.ok()?;
        Some(next.transpose().map_err(|_| BodyError::Broken))
    }

    /// Whether it had begun to come when it was refused: its sender is in the middle of it, and sees no answer before its end.
    pub(crate) fn is_given_up(&self) -> bool {
        self.inner.is_given_up.load(Ordering::Relaxed)
    }

    /// The whole length, if the sender announced it.
    pub fn announced(&self) -> Option<u64> {
        self.inner.announced
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
        let limit = if self.inner.is_open.load(Ordering::Relaxed) { OPEN_DRAIN_TIME } else { DRAIN_TIME };
        if tokio::time::timeout(limit, drained).await.is_err() {
            tracing::debug!("a refused body was not read to its end");
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, stream};

    use super::*;

    /// A body of these pieces that never ends, or does.
    fn body(from: u32, pieces: &[&'static [u8]], ends: bool, arriving: &Arriving) -> RequestBody {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect();
        let chunks: Chunks = match ends {
            true => Box::pin(stream::iter(pieces)),
            false => Box::pin(stream::iter(pieces).chain(stream::pending())),
        };
        RequestBody::new(chunks, None, 1_000, Party::User(from), arriving.clone())
    }

    #[tokio::test]
    async fn bodies_that_come_in_share_what_they_may_take_and_give_it_back() {
        let arriving = Arriving::of(10, 10);
        let endless = body(1, &[b"1234", b"5678"], false, &arriving);
        let mut reading = Box::pin(endless.read());
        assert!(reading.as_mut().now_or_never().is_none(), "it waits for the rest");
        let refused = body(2, &[b"123"], true, &arriving).read().await;
        assert!(matches!(refused, Err(BodyError::Busy)), "{refused:?}");
        assert_eq!(BodyError::Busy.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            body(2, &[b"12"], true, &arriving).read().await.unwrap(),
            "12",
            "there is room for so much"
        );
        drop(reading);
        assert_eq!(body(2, &[b"1234567890"], true, &arriving).read().await.unwrap().len(), 10);
        let large = body(2, &[b"12345678901"], true, &arriving).read().await;
        assert!(matches!(large, Err(BodyError::Busy)), "{large:?}");
    }

    #[tokio::test]
    async fn one_party_that_has_its_part_is_refused_and_others_are_not() {
        let arriving = Arriving::of(40, 1);
        let endless = body(1, &[b"12345", b"67890"], false, &arriving);
        let mut reading = Box::pin(endless.read());
        assert!(reading.as_mut().now_or_never().is_none(), "it waits for the rest");
        let more = body(1, &[b"1"], true, &arriving);
        let refused = more.read().await;
        assert!(matches!(refused, Err(BodyError::Busy)), "{refused:?}");
        assert!(more.is_given_up(), "its sender may be in the middle of it");
        let other = body(2, &[b"1234567890"], true, &arriving);
        assert_eq!(other.read().await.unwrap(), "1234567890");
        assert!(!other.is_given_up());
    }

    /// How a read ends, and after which time.
    async fn end_of(body: &RequestBody) -> (Result<Bytes, BodyError>, Duration) {
        let begin = Instant::now();
        (body.read().await, begin.elapsed())
    }

    fn slow_by(end: &(Result<Bytes, BodyError>, Duration), pace: Pace) -> bool {
        matches!(end.0, Err(BodyError::TooSlow { rate, .. }) if rate == pace.rate) && end.1 == pace.pause
    }

    #[tokio::test(start_paused = true)]
    async fn while_less_than_half_is_free_the_slow_leave_and_while_it_is_free_they_may_stay() {
        let arriving = Arriving::of(40, 1);
        let slow = body(1, &[b"1234567890"], false, &arriving);
        let end = end_of(&slow).await;
        assert!(slow_by(&end, STEADY), "{end:?}");
        let bodies = [1, 2, 3].map(|from| body(from, &[b"1234567890"], false, &arriving));
        let ends = futures_util::future::join_all(bodies.iter().map(end_of)).await;
        assert_eq!(ends.iter().filter(|end| slow_by(end, PRESSED)).count(), 1, "{ends:?}");
        // Without it half is free.
        assert_eq!(ends.iter().filter(|end| slow_by(end, STEADY)).count(), 2, "{ends:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_already_must_be_faster_once_others_come() {
        let arriving = Arriving::of(40, 1);
        let early = body(1, &[b"1234567890"], false, &arriving);
        let mut waiting = Box::pin(end_of(&early));
        let other = tokio::time::timeout(Duration::from_secs(12), waiting.as_mut()).await;
        assert!(other.is_err(), "there is room for all: {other:?}");
        let mut held = arriving.held_by(Party::User(2));
        let mut more = arriving.held_by(Party::User(3));
        assert!(held.take(10) && more.take(1));
        let (end, after) = waiting.await;
        assert!(matches!(end, Err(BodyError::TooSlow { rate, .. }) if rate == PRESSED.rate), "{end:?}");
        assert!(after <= Duration::from_secs(12) + PRESSED.pause, "{after:?}");
    }
}
