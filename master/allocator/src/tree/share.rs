//! Dominant shares as integers, so that order never depends on rounding.

use chapada_model::Milli;

use crate::Amounts;

/// How fine shares are: a whole cluster at weight 1 is this much.
const WHOLE: u128 = 1_000_000_000_000;

/// A place in an order: the smaller score first, then who was made fewer offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) score: u64,
    pub(crate) offers: u64,
}

/// The largest part of any one resource of the cluster that is held, divided by the weight; [`as_part`] reads it.
pub(crate) fn share(held: &Amounts, total: &Amounts, weight: Milli) -> u64 {
    let parts = held.iter().filter_map(|(name, amount)| {
        let total = total.get(name).0;
        (total > 0).then(|| u128::from(amount.0) * WHOLE / u128::from(total))
    });
    let dominant = parts.max().unwrap_or_default();
    let weighed = match weight {
        Milli(1_000) => dominant,
        weight => dominant.saturating_mul(1_000) / u128::from(weight.0.max(1)),
    };
    u64::try_from(weighed).unwrap_or(u64::MAX)
}

/// A share as a part of the cluster, from 0 to 1, when the weight was 1.
pub(crate) fn as_part(share: u64) -> f64 {
    share as f64 / WHOLE as f64
}
