//! Dominant shares as integers, so that order never depends on rounding.

use chapada_model::{Milli, Quantities};

/// How fine shares are: a whole cluster at weight 1 is this much.
const WHOLE: u128 = 1_000_000_000_000;

/// A dominant share divided by a weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Share(u64);

/// A place in an order: the smaller share first, then who was made fewer offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    share: Share,
    offers: u64,
}

impl Rank {
    pub(crate) fn new(share: Share, offers: u64) -> Self {
        Self { share, offers }
    }
}

impl Share {
    /// As a part of the cluster, from 0 to 1, when the weight was 1.
    pub(crate) fn as_f64(self) -> f64 {
        self.0 as f64 / WHOLE as f64
    }
}

/// The largest part of any one resource of the cluster that is held, divided by the weight.
pub(crate) fn share(held: &Quantities, total: &Quantities, weight: Milli) -> Share {
    let weight = u128::from(weight.0.max(1));
    let parts = held.iter().filter_map(|(name, amount)| {
        let total = u128::from(total.get(name).0);
        (total > 0).then(|| u128::from(amount.0) * WHOLE / total)
    });
    let dominant = parts.max().unwrap_or_default();
    Share(u64::try_from(dominant.saturating_mul(1_000) / weight).unwrap_or(u64::MAX))
}
