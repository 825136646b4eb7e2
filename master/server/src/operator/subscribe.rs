//! The stream of what changes in the cluster: the state first, or what was missed since a position, then each change.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chapada_listener::{HangUp, HttpResponse, stream};
use chapada_master_core::{NotResumed, Position, Snapshot};
use chapada_wire::v1::master::Event;
use chapada_wire::v1::master::call::Subscribe;
use chapada_wire::v1::master::event::{Subscribed, Type, subscribed};
use futures_util::stream::unfold;
use http::StatusCode;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::events::{bare, position, records};
use super::view;
use crate::core_loop::Stopped;
use crate::feed::Follower;
use crate::media::Media;
use crate::shell::{Led, Shell};

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// What is handed to the connection at once: it holds little of one who does not read.
const PIECE: usize = 64 * 1024;

/// Opens the stream.
pub(super) async fn open(
    shell: Arc<Shell>,
    led: Arc<Led>,
    asked: Option<Subscribe>,
    media: Media,
    connection: HangUp,
) -> HttpResponse {
    let after = asked.and_then(|asked| asked.resume_after).map(|at| Position {
        epoch: at.epoch.unwrap_or_default(),
        sequence: at.sequence.unwrap_or_default(),
    });
    let begun = begin(&led, after, connection).await;
    let Ok((Some(follower), first)) = begun else {
        return chapada_listener::text(
            StatusCode::SERVICE_UNAVAILABLE,
            "the events move on too fast; try again",
        );
    };
    let first = first.record(media).await;
    let mut beat = interval_at(Instant::now(), HEARTBEAT_INTERVAL);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let source = Source { shell, led, media, follower, waiting: first, beat };
    let pieces = unfold(source, |mut source| async {
        let piece = source.next().await?;
        Some((Ok::<_, std::io::Error>(piece), source))
    });
    stream(StatusCode::OK, media.content_type(), pieces)
}

/// The first event of a stream.
struct First {
    position: Position,
    /// Whether it goes on where it was cut, if that was asked for.
    resumed: Option<Result<(), NotResumed>>,
    books: Option<Arc<Snapshot>>,
}

/// Where the stream begins: where it was cut if that can be, else with the state. No follower when between reading the
/// state and following so much happened that it is forgotten.
async fn begin(
    led: &Led,
    after: Option<Position>,
    connection: HangUp,
) -> Result<(Option<Follower>, First), Stopped> {
    let feed = led.core.feed();
    let resumed = after.map(|after| feed.join(after, connection.clone()).map(|follower| (follower, after)));
    let refused = match resumed {
        Some(Ok((follower, position))) => {
            return Ok((Some(follower), First { position, resumed: Some(Ok(())), books: None }));
        }
        Some(Err(refused)) => Some(Err(refused)),
        None => None,
    };
    let published = led.core.published().await?;
    let position = published.position;
    let first = First { position, resumed: refused, books: Some(published.books.clone()) };
    Ok((feed.join(position, connection).ok(), first))
}

impl First {
    /// The event as a record. Written elsewhere, for the state of a large cluster takes a while.
    async fn record(self, media: Media) -> Bytes {
        let written = tokio::task::spawn_blocking(move || media.record(&self.event())).await;
        // Only a panic or the end of the runtime leaves nothing; the stream then ends with its follower.
        written.unwrap_or_default()
    }

    fn event(&self) -> Event {
        let resumed = self.resumed.as_ref();
        let subscribed = Subscribed {
            get_state: self.books.as_deref().map(view::state),
            heartbeat_interval_seconds: Some(HEARTBEAT_INTERVAL.as_secs_f64()),
            resumed: resumed.map(Result::is_ok),
            not_resumed: resumed.and_then(|resumed| resumed.as_ref().err()).map(|why| name(*why).into()),
        };
        Event {
            subscribed: Some(subscribed),
            position: Some(position(self.position)),
            ..bare(Type::Subscribed)
        }
    }
}

fn name(why: NotResumed) -> subscribed::NotResumed {
    match why {
        NotResumed::OtherEpoch { .. } => subscribed::NotResumed::OtherEpoch,
        NotResumed::Forgotten { .. } => subscribed::NotResumed::Forgotten,
        NotResumed::Unknown { .. } => subscribed::NotResumed::NoSuchEvent,
    }
}

/// What the connection takes from, as fast as it can send.
struct Source {
    shell: Arc<Shell>,
    led: Arc<Led>,
    media: Media,
    follower: Follower,
    waiting: Bytes,
    beat: Interval,
}

impl Source {
    /// The next piece; nothing when the stream ends.
    async fn next(&mut self) -> Option<Bytes> {
        if self.waiting.is_empty() {
            self.waiting = tokio::select! {
                biased; // what ends the stream, then news: a heartbeat is for when there is none
                () = self.led.ended.cancelled() => return None,
                () = self.shell.stop.cancelled() => return None,
                heard = self.follower.next() => records(&heard?, self.led.epoch, self.media),
                _ = self.beat.tick() => self.media.record(&bare(Type::Heartbeat)),
            };
        }
        let piece = self.waiting.split_to(self.waiting.len().min(PIECE));
        Some(self.follower.on_their_way(piece))
    }
}
