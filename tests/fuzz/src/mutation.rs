//! What is made of a seed: the same for the same number, so that a failure can be made again.

mod json;

use chapada_wire::recordio::frame;

use crate::worlds::records;

/// A source of numbers (xorshift).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// From a number; every number gives another sequence.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`; 0 when there is none.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.draw() >> 11).unwrap_or_default() % end.max(1)
    }

    /// One of these.
    pub fn one<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(self.below(list.len()))
    }
}

/// Longer inputs show nothing that shorter ones do not, and take longer.
const MAX_LENGTH: usize = 64 * 1024;

/// Bytes that mean something to one decoder or another: numbers that are none, the largest, lengths, brackets.
const TOKENS: &[&[u8]] = &[
    b"\x09\x00\x00\x00\x00\x00\x00\xf8\x7f",
    b"\x09\x00\x00\x00\x00\x00\x00\xf0\x7f",
    b"\x09\x00\x00\x00\x00\x00\x00\xf0\xff",
    b"\x09\xff\xff\xff\xff\xff\xff\xef\x7f",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
    b"\x0a\x00",
    b"{",
    b"[",
    b"\"",
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"\xc3",
    b"\\u0000",
    b"\\ud800",
    b"../..",
    b"\n",
];

/// Another input, made of one of the seeds and, at times, of parts of others.
pub fn mutated(seeds: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let Some(seed) = chance.one(seeds) else { return Vec::new() };
    let mut made = match (chance.below(4), records(seed)) {
        (0..3, records) if !records.is_empty() => of_records(records, chance),
        (0..3, _) => json::mutated(seed, chance).unwrap_or_else(|| of_bytes(seed.clone(), seeds, chance)),
        _ => of_bytes(seed.clone(), seeds, chance),
    };
    made.truncate(MAX_LENGTH);
    made
}

/// A record lost, repeated, swapped, or with other bytes.
fn of_records(mut list: Vec<Vec<u8>>, chance: &mut Chance) -> Vec<u8> {
    for _ in 0..=chance.below(3) {
        let (at, other) = (chance.below(list.len()), chance.below(list.len()));
        match chance.below(8) {
            0 if list.len() > 1 => drop(list.remove(at)),
            1 => list.insert(other, list[at].clone()),
            2 => list.swap(at, other),
            _ => list[at] = of_bytes(std::mem::take(&mut list[at]), &[], chance),
        }
    }
    list.iter().flat_map(|record| frame(record).to_vec()).collect()
}

fn of_bytes(mut bytes: Vec<u8>, others: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len() + 1);
        let end = (at + 1 + chance.below(16)).min(bytes.len());
        match chance.below(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            1 if at < bytes.len() => bytes[at] = chance.draw() as u8,
            2 => bytes.insert(at, chance.draw() as u8),
            3 if at < end => drop(bytes.drain(at..end)),
            4 if at < end => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            5 => bytes.truncate(at),
            6 => overwrite(&mut bytes, chance),
            7 => {
                let Some(other) = chance.one(others) else { continue };
                let from = chance.below(other.len());
                bytes.splice(at.., other[from..].iter().copied());
            }
            _ => {
                let token = chance.one(TOKENS).copied().unwrap_or_default();
                bytes.splice(at..at, token.iter().copied());
            }
        }
    }
    bytes
}

/// Writes a token over what begins as the token does: a number over a number, in place.
fn overwrite(bytes: &mut [u8], chance: &mut Chance) {
    let Some(token) = chance.one(TOKENS) else { return };
    let starts: Vec<usize> = bytes
        .windows(token.len())
        .enumerate()
        .filter(|(_, part)| part[0] == token[0])
        .map(|(at, _)| at)
        .collect();
    if let Some(at) = chance.one(&starts) {
        bytes[*at..*at + token.len()].copy_from_slice(token);
    }
}
