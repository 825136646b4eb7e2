//! All offers that are known, held against what an instance needs.

use chapada_sdk_core::{Funnel, Mismatch, Offer, Search};

use super::Inquiry;

/// What keeps an app from each offer.
pub(super) struct Held<'a> {
    pub(super) inquiry: &'a Inquiry,
    pub(super) offers: &'a [&'a Offer],
    pub(super) search: &'a Search<'a>,
    pub(super) funnel: Funnel,
}

impl Held<'_> {
    /// By the number of the offer.
    pub(super) fn mismatches(&self) -> &[Vec<Mismatch>] {
        self.search.mismatches()
    }
}
