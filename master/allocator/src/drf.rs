//! The policy `drf`: weighted dominant-resource fairness.
//!
//! Source: Ghodsi et al., NSDI 2011.

use crate::tree::{RoleTree, Score, Standing, share};

/// Serves who holds the smallest part of the cluster, by weight, first.
pub type Drf = RoleTree<DominantShare>;

/// The largest part of any one resource, divided by the weight.
#[derive(Clone, Copy, Debug, Default)]
pub struct DominantShare;

impl Score for DominantShare {
    const NAME: &'static str = "drf";

    fn score(&mut self, standing: Standing<'_>) -> u64 {
        share(standing.held, standing.total, standing.weight)
    }
}
