//! The lengths that stand before what they are the lengths of: of a record, and of messages in protobuf. They are found by
//! writing everything once and keeping nothing.

use std::collections::VecDeque;

use prost::encoding::{encoded_len_varint, key_len};

use super::part::{Rest, Step};

/// Bytes that are written and thrown away at a time.
const SCRATCH: usize = 64 * 1024;

/// The lengths of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lengths {
    /// Of all of it.
    pub(super) whole: u64,
    /// Of the messages inside, in the order in which they begin.
    pub(super) messages: VecDeque<u64>,
}

/// An answer that is being measured.
pub(super) struct Measure {
    rest: Rest,
    lengths: Lengths,
    /// Messages that have begun: which in the order, and the number of their field.
    open: Vec<(usize, u32)>,
}

impl Measure {
    pub(super) fn new(rest: Rest) -> Self {
        Self { rest, lengths: Lengths::default(), open: Vec::new() }
    }

    /// Goes on for so many bytes; the lengths when nothing is left.
    pub(super) fn go_on(&mut self, bytes: usize) -> Option<Lengths> {
        let (mut scratch, mut seen) = (Vec::with_capacity(SCRATCH), 0);
        while seen < bytes {
            scratch.clear();
            match self.rest.step(&mut scratch, SCRATCH) {
                Step::Wrote => self.count(scratch.len() as u64),
                Step::Begin(tag) => {
                    self.open.push((self.lengths.messages.len(), tag));
                    self.lengths.messages.push_back(0);
                }
                Step::End => self.end(),
                Step::Done => return Some(std::mem::take(&mut self.lengths)),
            }
            seen += scratch.len();
        }
        None
    }

    fn end(&mut self) {
        if let Some((index, tag)) = self.open.pop() {
            let length = self.lengths.messages[index];
            self.count(key_len(tag) as u64 + encoded_len_varint(length) as u64 + length);
        }
    }

    /// Counts for the innermost message.
    fn count(&mut self, bytes: u64) {
        match self.open.last() {
            Some((index, _)) => self.lengths.messages[*index] += bytes,
            None => self.lengths.whole += bytes,
        }
    }
}
