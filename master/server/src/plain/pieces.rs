//! Bodies that are written a piece at a time as their reader takes them. A reader that takes nothing holds two pieces and the
//! books it reads, and no thread.

use std::collections::VecDeque;

use bytes::Bytes;
use chapada_listener::{HttpResponse, bytes, stream, text};
use futures_util::stream::unfold;
use http::StatusCode;
use tokio::sync::oneshot;

use super::writers;

/// Up to here a body is sent in one piece with its length, which some clients want; beyond, it is streamed.
const WHOLE_LIMIT: usize = 1024 * 1024;
/// Pieces of a streamed body.
const PIECE: usize = 128 * 1024;
/// What one more element may add to a piece without its memory having to grow.
const SLACK: usize = 8 * 1024;

/// Something that writes a body bit by bit.
pub(super) trait Source: Send + 'static {
    /// Appends until there are so many bytes or nothing is left; false when nothing is left.
    fn more(&mut self, out: &mut Vec<u8>, limit: usize) -> bool;
}

/// A piece, and where the next ones come from when there are more.
type Written<S> = (Bytes, Option<S>);

/// Answers with what the source writes, as JSON.
pub(super) async fn stream_pieces<S: Source>(source: S) -> HttpResponse {
    let Ok((first, rest)) = next(source, WHOLE_LIMIT).await else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be written");
    };
    let Some(rest) = rest else {
        return bytes(StatusCode::OK, "application/json", first);
    };
    let mut ready = VecDeque::new();
    let mut first = first;
    while !first.is_empty() {
        ready.push_back(first.split_to(first.len().min(PIECE)));
    }
    let state = (ready, Some(next(rest, PIECE)));
    let pieces = unfold(state, |(mut ready, making)| async move {
        if let Some(piece) = ready.pop_front() {
            return Some((Ok(piece), (ready, making)));
        }
        match making?.await {
            // The next one is made while this one is sent.
            Ok((piece, rest)) => Some((Ok(piece), (ready, rest.map(|rest| next(rest, PIECE))))),
            Err(_) => Some((Err(std::io::Error::other("the answer could not be written")), (ready, None))),
        }
    });
    stream(StatusCode::OK, "application/json", pieces)
}

fn next<S: Source>(mut source: S, limit: usize) -> oneshot::Receiver<Written<S>> {
    writers::write(move || {
        let mut out = Vec::with_capacity(if limit == PIECE { PIECE + SLACK } else { SLACK });
        let more = source.more(&mut out, limit);
        (out.into(), more.then_some(source))
    })
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use hyper::body::Body;

    use super::*;

    /// Numbers, one a line.
    struct Numbers {
        next: u32,
        end: u32,
    }

    impl Source for Numbers {
        fn more(&mut self, out: &mut Vec<u8>, limit: usize) -> bool {
            while out.len() < limit && self.next < self.end {
                out.extend_from_slice(format!("{}\n", self.next).as_bytes());
                self.next += 1;
            }
            self.next < self.end
        }
    }

    #[tokio::test]
    async fn small_answers_have_a_length_and_large_ones_are_streamed() {
        for (end, is_whole) in [(0, true), (3, true), (1_000_000, false)] {
            let answer = stream_pieces(Numbers { next: 0, end }).await.into_body();
            assert_eq!(answer.size_hint().exact().is_some(), is_whole);
            let text = String::from_utf8(answer.collect().await.unwrap().to_bytes().into()).unwrap();
            assert!(text.lines().map(str::parse::<u32>).eq((0..end).map(Ok)), "{end}");
        }
    }
}
