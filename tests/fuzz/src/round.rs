//! Runs a target over its seeds and what is made of them.

use std::any::Any;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::mutation::{Chance, mutated};
use crate::{Target, corpus};

/// What a round did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Inputs that were tried.
    pub inputs: u64,
    /// The longest that one took.
    pub slowest: Duration,
}

/// An input that breaks its target.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The input.
    pub input: Vec<u8>,
    /// What the target said.
    pub why: String,
}

/// When a round ends.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// After so many inputs that are made of seeds.
    Inputs(u64),
    /// After so much time.
    Time(Duration),
}

/// Tries every seed, then what is made of them from `number` on, until the round is over or something breaks.
///
/// # Errors
/// [`Broken`] has the first input that made the target panic.
pub fn run(target: &Target, number: u64, length: Length) -> Result<Done, Broken> {
    let seeds = target.seeds();
    assert!(!seeds.is_empty(), "{} has seeds", target.name);
    let (begin, mut done) = (Instant::now(), Done::default());
    for seed in &seeds {
        one(target, seed, &mut done)?;
    }
    let mut chance = Chance::new(number);
    let mut made = 0;
    loop {
        let over = match length {
            Length::Inputs(count) => made >= count,
            Length::Time(limit) => begin.elapsed() >= limit,
        };
        if over {
            return Ok(done);
        }
        one(target, &mutated(&seeds, &mut chance), &mut done)?;
        made += 1;
    }
}

fn one(target: &Target, input: &[u8], done: &mut Done) -> Result<(), Broken> {
    let begin = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| (target.body)(input)));
    done.inputs += 1;
    done.slowest = done.slowest.max(begin.elapsed());
    result.map_err(|panic| Broken { input: input.to_vec(), why: words(panic.as_ref()) })
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

impl Broken {
    /// Keeps the input in `folder` under a name made of its content; move it to the target's folder below `corpus/` once the
    /// code is mended.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep(&self, target: &Target, folder: &Path) -> io::Result<PathBuf> {
        let folder = folder.join(target.name);
        fs::create_dir_all(&folder)?;
        let name = self.input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let path = folder.join(format!("{name:016x}"));
        fs::write(&path, &self.input)?;
        Ok(path)
    }
}

/// The folder that keeps what broke a target, to be named in messages.
pub fn corpus_folder(target: &Target) -> PathBuf {
    corpus::folder(target.name)
}
