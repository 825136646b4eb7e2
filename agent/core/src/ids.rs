//! Ids without chance: a stream of 128-bit numbers from a seed that the shell draws once per process.

use chapada_model::{ContainerId, UpdateUuid};

/// Makes version 4 UUIDs from a seed. Two sources with different seeds repeat each other with the odds of chance.
#[derive(Clone, Debug)]
pub(crate) struct Ids {
    seed: u128,
    drawn: u64,
}

impl Ids {
    pub(crate) fn new(seed: u128) -> Self {
        Self { seed, drawn: 0 }
    }

    pub(crate) fn update(&mut self) -> UpdateUuid {
        UpdateUuid(self.next())
    }

    pub(crate) fn container(&mut self) -> ContainerId {
        let hex: String = self.next().iter().map(|byte| format!("{byte:02x}")).collect();
        let text = [&hex[0..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]].join("-");
        text.parse().expect("a uuid is a valid id")
    }

    fn next(&mut self) -> [u8; 16] {
        self.drawn += 1;
        let high = mix((self.seed >> 64) as u64 ^ mix(self.drawn));
        let low = mix((self.seed as u64).wrapping_add(mix(high ^ self.drawn)));
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        bytes
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
