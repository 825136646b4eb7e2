//! What a plan came to for a framework.

use std::collections::BTreeMap;

use chapada_allocator::WhyKind;
use chapada_model::Now;

/// The last plan that looked at a framework, as far as it concerns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastPlan {
    /// When it was made.
    pub at: Now,
    /// How many offers the framework got.
    pub offers: u32,
    /// How many agents that were looked at it was not offered, and why; once for each of its roles.
    pub skipped: BTreeMap<WhyKind, u32>,
}
