//! All offers that are known, held against what an instance needs.

use std::collections::BTreeMap;

use chapada_sdk_core::{Funnel, Mismatch, Offer, Search};

use super::Inquiry;
use crate::need::{Split, Unmet};

/// What keeps an app from each offer.
pub(super) struct Held<'a> {
    pub(super) inquiry: &'a Inquiry,
    /// As they were made.
    pub(super) offers: &'a [&'a Offer],
    /// Over those of which its volumes could be made, without what these take.
    pub(super) search: &'a Search<'a>,
    /// The numbers of these.
    pub(super) numbers: Vec<usize>,
    /// The others.
    pub(super) unmet: &'a BTreeMap<usize, Unmet>,
    /// By the number of the offer.
    pub(super) mismatches: Vec<Vec<Mismatch>>,
    pub(super) funnel: Funnel,
}

impl<'a> Held<'a> {
    pub(super) fn new(
        inquiry: &'a Inquiry,
        search: &'a Search<'a>,
        offers: &'a [&'a Offer],
        split: &'a Split<'a>,
    ) -> Self {
        let numbers: Vec<usize> = split.suiting.iter().map(|(number, _)| *number).collect();
        let mut mismatches = vec![Vec::new(); offers.len()];
        for (number, found) in numbers.iter().zip(search.mismatches()) {
            mismatches[*number].clone_from(found);
        }
        for (number, unmet) in &split.unmet {
            let offer = offers[*number];
            mismatches[*number] = inquiry.need.refusals(offer, unmet, &inquiry.placed, inquiry.now);
        }
        let mut funnel = Funnel::default();
        mismatches.iter().for_each(|mismatches| funnel.note(mismatches));
        Self { inquiry, offers, search, numbers, unmet: &split.unmet, mismatches, funnel }
    }
}
