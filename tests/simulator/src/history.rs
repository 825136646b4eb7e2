//! What happened, line by line: hashed always, kept when asked for.

use std::collections::VecDeque;
use std::fmt::{Arguments, Write};

use chapada_model::Mono;

/// So many of the last lines are shown with a failure.
const TAIL: usize = 40;

/// The history of one run.
#[derive(Debug)]
pub struct History {
    hash: u64,
    steps: u64,
    line: String,
    tail: VecDeque<String>,
    kept: Option<Vec<String>>,
}

impl History {
    /// An empty one; `keep` says whether every line is kept.
    pub fn new(keep: bool) -> Self {
        let kept = keep.then(Vec::new);
        Self { hash: 0xcbf2_9ce4_8422_2325, steps: 0, line: String::new(), tail: VecDeque::new(), kept }
    }

    pub(crate) fn note(&mut self, at: Mono, what: Arguments<'_>) {
        self.line.clear();
        let (seconds, nanos) = (at.0 / 1_000_000_000, at.0 % 1_000_000_000);
        write!(self.line, "{seconds:>6}.{nanos:09} {what}").expect("a string takes everything");
        let words = self.line.as_bytes().chunks(8);
        self.hash = words.fold(self.hash, |hash, word| {
            let mut bytes = [0; 8];
            bytes[..word.len()].copy_from_slice(word);
            let mixed = (hash ^ u64::from_le_bytes(bytes)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed ^ (mixed >> 29)
        });
        self.steps += 1;
        if let Some(kept) = &mut self.kept {
            kept.push(self.line.clone());
            return;
        }
        let mut spare =
            if self.tail.len() < TAIL { String::new() } else { self.tail.pop_front().unwrap_or_default() };
        spare.clear();
        spare.push_str(&self.line);
        self.tail.push_back(spare);
    }

    /// The same for two runs exactly when the same things happened at the same times.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many lines there were.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The lines that are kept: all when asked for, else the last few.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().flatten().chain(&self.tail).map(String::as_str)
    }
}
