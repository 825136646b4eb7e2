//! The policy `random`: a lottery in which a role's weight is its number of tickets.

use crate::tree::{Occasion, RoleTree, Score, Standing};

/// Serves roles at random by weight, and frameworks of one role at random.
pub type RandomOrder = RoleTree<Lottery>;

/// How fine a waiting time is: the mean one at weight 1 is about this much.
const WAIT: u64 = 1 << 24;

/// Draws for each who was served how long it waits for its next turn: a race of exponential clocks, in which the chance to be
/// next is as the weights, whatever was before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lottery {
    state: u64,
}

impl RandomOrder {
    /// All its chance comes from this number.
    pub fn seeded(seed: u64) -> Self {
        Self::new(Lottery { state: seed })
    }
}

impl Lottery {
    /// Source: the generator SplitMix64 of Steele, Lea and Flood, OOPSLA 2014.
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Minus the logarithm of a number between 0 and 1, straight between powers of two: near enough to exponential.
    fn wait(&mut self) -> u64 {
        let drawn = self.draw() | 1;
        let zeros = drawn.leading_zeros();
        let mantissa = (drawn << zeros) << 1;
        let below = WAIT - (mantissa >> 40);
        u64::from(zeros) * WAIT + below
    }
}

impl Score for Lottery {
    const NAME: &'static str = "random";

    fn score(&mut self, standing: Standing<'_>) -> u64 {
        let start = match standing.occasion {
            Occasion::Changed => return standing.before,
            Occasion::Served => standing.before,
            Occasion::Entered(first) => first,
        };
        let wait = u128::from(self.wait()) * 1_000 / u128::from(standing.weight.0.max(1));
        start.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX))
    }
}
