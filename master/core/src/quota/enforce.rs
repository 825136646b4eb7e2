//! Offers taken back for the sake of quota.
//!
//! No plan passes a limit or takes what is owed. But limits are lowered and guarantees raised while offers are out, and an
//! agent may come back with more tasks of a role than the role may have. What runs stays; what is on offer is taken back.

use chapada_model::{OfferId, ResourceValue};

use super::capacity::is_open;
use crate::{Master, Offer};

impl Master {
    /// Takes back offers to roles that consume more than their limit, until they no longer do or are offered nothing that
    /// counts.
    pub(crate) fn enforce_limits(&mut self) {
        while let Some((role, name)) = self.allocator.take_exceeded() {
            let counts = |offer: &Offer| offer.role.is_within(&role) && has_open(offer, &name);
            for offer in self.oldest_offers(counts) {
                if !self.allocator.is_exceeded(&role, &name) {
                    break;
                }
                self.rescind(&offer);
            }
            if self.allocator.is_exceeded(&role, &name) {
                self.allocator.nothing_on_offer(&role, &name);
            }
        }
    }

    /// Takes back offers until what is owed is free, as far as offers can make it so. Whether the roles have frameworks that
    /// can use just these agents is not looked at.
    pub(super) fn make_room(&mut self) {
        if self.allocator.unmet().is_empty() {
            return;
        }
        for id in self.oldest_offers(|_| true) {
            let unmet = self.allocator.unmet();
            if unmet.is_empty() {
                return;
            }
            let offer = self.books.offers.get(&id);
            if offer.is_some_and(|o| self.allocator.would_relieve(&o.role, &o.resources, &unmet)) {
                self.rescind(&id);
            }
        }
    }

    /// The oldest had their time.
    fn oldest_offers(&self, wanted: impl Fn(&Offer) -> bool) -> Vec<OfferId> {
        let offers = self.books.offers.values().filter(|offer| wanted(offer));
        let mut offers: Vec<_> = offers.map(|offer| (offer.since.mono, offer.id.clone())).collect();
        offers.sort();
        offers.into_iter().map(|(_, id)| id).collect()
    }
}

fn has_open(offer: &Offer, name: &str) -> bool {
    let is_such = |resource: &chapada_model::Resource| {
        &*resource.name == name && is_open(resource) && matches!(resource.value, ResourceValue::Scalar(_))
    };
    offer.resources.iter().any(is_such)
}
