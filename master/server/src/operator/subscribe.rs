//! The stream of what changes in the cluster: the state first, or what was missed since a position, then each change.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chapada_listener::{HangUp, HttpResponse, stream};
use chapada_master_core::{NotResumed, Position, Snapshot};
use chapada_wire::Media;
use chapada_wire::v1::master::Event;
use chapada_wire::v1::master::call::Subscribe;
use chapada_wire::v1::master::event::{Subscribed, Type, subscribed};
use futures_util::stream::unfold;
use http::StatusCode;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::events::{bare, position, records};
use super::state;
use crate::core_loop::Stopped;
use crate::feed::{Chunks, Follower, Records};
use crate::pieces::{Answer, Fields};
use crate::shell::{Led, Shell};

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// What is handed to the connection at once at most: it holds little of one who does not read.
const PIECE: usize = 64 * 1024;
/// The same while it is sent the state, which nobody else shares.
const STATE_PIECE: usize = 32 * 1024;

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
    let unavailable = |why: String| chapada_listener::text(StatusCode::SERVICE_UNAVAILABLE, why);
    let (follower, first) = match begin(&led, after, connection).await {
        Ok((Some(follower), first)) => (follower, first),
        Ok((None, _)) => return unavailable("the events move on too fast; try again".to_owned()),
        Err(stopped) => return unavailable(stopped.to_string()),
    };
    let mut beat = interval_at(Instant::now(), HEARTBEAT_INTERVAL);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let first = Some(first.record(media));
    let source = Source { shell, led, media, follower, first, waiting: Chunks::default(), beat };
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
    /// The event as a record. It is written as it is read, for the state of a large cluster takes a while, and much room.
    fn record(self, media: Media) -> Answer {
        Answer::record(media, move |media| {
            Fields::whole(media, |event| {
                event.small(&bare(Type::Subscribed));
                event.field("subscribed", 2, |fields| self.write(fields));
                event.small(&Event { position: Some(position(self.position)), ..Event::default() });
            })
        })
    }

    fn write(&self, fields: &mut Fields) {
        if let Some(books) = &self.books {
            fields.field("get_state", 1, |fields| state::state(fields, books));
        }
        let resumed = self.resumed.as_ref();
        fields.small(&Subscribed {
            get_state: None,
            heartbeat_interval_seconds: Some(HEARTBEAT_INTERVAL.as_secs_f64()),
            resumed: resumed.map(Result::is_ok),
            not_resumed: resumed.and_then(|resumed| resumed.as_ref().err()).map(|why| name(*why).into()),
        });
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
    /// What is left of the first event.
    first: Option<Answer>,
    waiting: Chunks,
    beat: Interval,
}

impl Source {
    /// The next chunk; nothing when the stream ends.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            let written = tokio::select! {
                biased;
                () = self.led.ended.cancelled() => return None,
                () = self.shell.stop.cancelled() => return None,
                written = first.next(STATE_PIECE) => written,
            };
            // Only a panic leaves nothing; the stream then ends with its follower.
            let (piece, rest) = written.ok()?;
            self.first = rest;
            return Some(self.follower.on_their_way(piece));
        }
        loop {
            if let Some(chunk) = self.waiting.next(PIECE, |piece| self.follower.on_their_way(piece)) {
                return Some(chunk);
            }
            let records = tokio::select! {
                biased; // what ends the stream, then news: a heartbeat is for when there is none
                () = self.led.ended.cancelled() => return None,
                () = self.shell.stop.cancelled() => return None,
                heard = self.follower.next() => records(&heard?, self.led.epoch, self.media),
                _ = self.beat.tick() => Records::from_iter([self.media.record(&bare(Type::Heartbeat))]),
            };
            self.waiting = records.into();
        }
    }
}
