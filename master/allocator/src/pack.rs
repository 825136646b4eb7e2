//! The policy `pack`: fair shares, and the fullest agents first.

use crate::tree::{RoleTree, Score, Standing, share};

/// Serves by fair share, and gives away what is left of busy agents before emptier ones are touched: whoever comes first
/// fills machines up, and whole machines stay free for those who need one.
pub type Pack = RoleTree<PackedShare>;

/// As [`DominantShare`](crate::DominantShare), agents in the order of how full they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct PackedShare;

impl Score for PackedShare {
    const NAME: &'static str = "pack";
    const FULLEST_FIRST: bool = true;

    fn score(&mut self, standing: Standing<'_>) -> u64 {
        share(standing.held, standing.total, standing.weight)
    }
}
