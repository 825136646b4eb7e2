//! Answers that are written a piece at a time as their reader takes them, from one moment's books. A reader that takes
//! nothing holds two pieces and the books it reads, and no thread.
//!
//! - `part`: what an answer consists of;
//! - `measure`: the lengths that have to come first, found by writing twice;
//! - `ahead`: tasks, looked at before their turn comes;
//! - `writers`: the threads that do it.

mod ahead;
mod measure;
mod part;
mod writers;

use std::collections::VecDeque;

use bytes::Bytes;
use chapada_listener::{HttpResponse, bytes, stream, text};
use chapada_wire::Media;
use futures_util::stream::unfold;
use http::StatusCode;
use prost::encoding::{WireType, encode_key, encode_varint};
use tokio::sync::oneshot;

pub(crate) use ahead::ahead;
pub(crate) use part::{Fields, Part, Progress, Room, fill};
pub(crate) use writers::write;

use self::measure::Measure;
use self::part::{Rest, Step};

/// Pieces of an answer. What is no larger is sent whole, with its length, which some clients want.
const PIECE: usize = 128 * 1024;
/// What one more element may add to a piece without its memory having to grow.
const SLACK: usize = 8 * 1024;
/// Bytes that are measured before others have their turn.
const TURN: usize = 1024 * 1024;

/// An answer in the making.
pub(crate) struct Answer {
    media: Media,
    /// Whether it is a record of a stream.
    is_record: bool,
    make: Make,
    state: State,
}

/// Makes the parts; the same each time.
type Make = Box<dyn Fn(Media) -> Vec<Part> + Send + Sync>;

enum State {
    New,
    Measuring(Measure),
    Writing { rest: Rest, lengths: VecDeque<u64> },
}

impl Answer {
    /// An answer of what `make` gives. It is called where large answers are written, so it may take a while, and once
    /// more when lengths have to be known first.
    pub(crate) fn new(media: Media, make: impl Fn(Media) -> Vec<Part> + Send + Sync + 'static) -> Self {
        Self { media, is_record: false, make: Box::new(make), state: State::New }
    }

    /// As [`Answer::new`], for one record of a stream.
    pub(crate) fn record(media: Media, make: impl Fn(Media) -> Vec<Part> + Send + Sync + 'static) -> Self {
        Self { is_record: true, ..Self::new(media, make) }
    }

    fn rest(&self) -> Rest {
        Rest::new(self.media, (self.make)(self.media))
    }

    /// Appends until there are so many bytes or nothing is left; false when nothing is left. Nothing may be appended while
    /// it is being measured.
    pub(crate) fn more(&mut self, out: &mut Vec<u8>, limit: usize) -> bool {
        loop {
            self.state = match &mut self.state {
                State::New if self.is_record || self.media == Media::Protobuf => {
                    State::Measuring(Measure::new(self.rest()))
                }
                State::New => State::Writing { rest: self.rest(), lengths: VecDeque::new() },
                State::Measuring(measure) => {
                    let Some(lengths) = measure.go_on(TURN) else { return true };
                    if self.is_record {
                        out.extend_from_slice(lengths.whole.to_string().as_bytes());
                        out.push(b'\n');
                    }
                    State::Writing { rest: self.rest(), lengths: lengths.messages }
                }
                State::Writing { rest, lengths } => return go_on(rest, lengths, out, limit),
            }
        }
    }

    /// The next bytes, at least so many unless it ends, and the rest if there is one.
    ///
    /// # Errors
    /// When it could not be written.
    pub(crate) async fn next(self, limit: usize) -> Result<(Bytes, Option<Self>), NotWritten> {
        let mut answer = self;
        loop {
            match answer.begin(limit).await {
                Ok((piece, Some(rest))) if piece.is_empty() => answer = rest,
                Ok(written) => return Ok(written),
                Err(_) => return Err(NotWritten),
            }
        }
    }

    fn begin(mut self, limit: usize) -> oneshot::Receiver<(Bytes, Option<Self>)> {
        write(move || {
            let mut out = Vec::with_capacity(limit + SLACK);
            let more = self.more(&mut out, limit);
            if out.len() < limit {
                out.shrink_to_fit();
            }
            (out.into(), more.then_some(self))
        })
    }

    /// Answers with it.
    pub(crate) async fn response(self) -> HttpResponse {
        let content_type = self.media.content_type();
        match self.next(PIECE).await {
            Ok((whole, None)) => bytes(StatusCode::OK, content_type, whole),
            Ok((first, Some(rest))) => {
                let state = (Some(first), Some(rest.begin(PIECE)));
                stream(StatusCode::OK, content_type, unfold(state, next_piece))
            }
            Err(NotWritten) => text(StatusCode::INTERNAL_SERVER_ERROR, NotWritten.to_string()),
        }
    }
}

/// The writer panicked, or there is no thread that writes.
#[derive(Debug, thiserror::Error)]
#[error("the answer could not be written")]
pub(crate) struct NotWritten;

/// The first piece, and the one that is made meanwhile.
type Making = (Option<Bytes>, Option<oneshot::Receiver<(Bytes, Option<Answer>)>>);

async fn next_piece((ready, making): Making) -> Option<(Result<Bytes, NotWritten>, Making)> {
    if let Some(piece) = ready {
        return Some((Ok(piece), (None, making)));
    }
    match making?.await {
        // The next one is made while this one is sent.
        Ok((piece, rest)) => Some((Ok(piece), (None, rest.map(|rest| rest.begin(PIECE))))),
        Err(_) => Some((Err(NotWritten), (None, None))),
    }
}

fn go_on(rest: &mut Rest, lengths: &mut VecDeque<u64>, out: &mut Vec<u8>, limit: usize) -> bool {
    while out.len() < limit {
        match rest.step(out, limit) {
            Step::Wrote | Step::End => {}
            Step::Begin(tag) => {
                encode_key(tag, WireType::LengthDelimited, out);
                encode_varint(lengths.pop_front().unwrap_or_default(), out);
            }
            Step::Done => return false,
        }
    }
    !rest.is_empty()
}

#[cfg(test)]
mod tests;
