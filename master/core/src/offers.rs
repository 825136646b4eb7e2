//! Offers: made from plans, answered, rescinded, timed out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chapada_allocator::{PlannedOffer, Refusal};
use chapada_model::{Filters, FrameworkId, OfferId};

use crate::books::{add, subtract};
use crate::planted::Bug;
use crate::timers::Timer;
use crate::{LastPlan, Master, Offer, SchedulerEvent};

/// How many offers one event carries at most, so that no message grows with the cluster.
pub(crate) const MAX_OFFERS_PER_EVENT: usize = 100;

impl Master {
    /// Makes a plan and carries it out.
    pub(crate) fn make_offers(&mut self) {
        self.plan_due = None;
        let plan = self.allocator.plan(self.now.mono);
        let mut made: BTreeMap<FrameworkId, Vec<Arc<Offer>>> = BTreeMap::new();
        for planned in plan.offers {
            if let Some(offer) = self.make_offer(planned) {
                made.entry(offer.framework.clone()).or_default().push(offer);
            }
        }
        for (framework, skipped) in plan.skipped {
            let offers = made.get(&framework).map_or(0, Vec::len);
            let plan = LastPlan { at: self.now, offers: u32::try_from(offers).unwrap_or(u32::MAX), skipped };
            self.books.why.insert(framework, Arc::new(plan));
        }
        for (framework, offers) in made {
            for some in offers.chunks(MAX_OFFERS_PER_EVENT) {
                self.tell_framework(&framework, SchedulerEvent::Offers(some.to_vec()));
            }
        }
    }

    fn make_offer(&mut self, planned: PlannedOffer) -> Option<Arc<Offer>> {
        let PlannedOffer { framework, role, agent: agent_id, resources } = planned;
        let id = OfferId::new(format!("{}-O{}", self.settings.master_id, self.next_offer)).ok()?;
        self.next_offer += 1;
        let until = self.now.mono + self.patience.life(&framework, self.settings.offer_timeout);
        let unavailability = self.unavailability_of(&agent_id);
        let agent = self.agent_mut(&agent_id)?;
        let offered = resources.allocated_to(&role);
        subtract(&mut agent.free, &resources.unshared());
        add(&mut agent.offered, &offered);
        let own = |key: &&chapada_model::ExecutorKey| key.framework == framework;
        let executors = agent.executors.keys().filter(own).map(|key| key.executor.clone()).collect();
        let offer = Arc::new(Offer {
            id: id.clone(),
            framework,
            agent: agent_id,
            host: agent.description.clone(),
            role,
            resources: offered,
            executors,
            unavailability,
            since: self.now,
            until,
        });
        self.index.offers_by_agent.insert(&offer.agent, id.clone());
        self.index.offers_by_framework.insert(&offer.framework, id.clone());
        self.timers.set(until, Timer::Offer(id.clone()));
        self.patience.note_offer(&offer);
        self.books.offers.insert(id, offer.clone());
        self.books.counters.offers_sent += 1;
        Some(offer)
    }

    /// Takes an offer back and says so.
    pub(crate) fn rescind(&mut self, id: &OfferId) {
        if let Some(offer) = self.take_offer(id) {
            self.give_back(&offer, &offer.resources.unallocated(), None);
            self.books.counters.offers_rescinded += 1;
            self.tell_framework(&offer.framework, SchedulerEvent::Rescind(id.clone()));
        }
    }

    /// Takes an offer back without a word: nobody is there to hear it.
    pub(crate) fn discard(&mut self, id: &OfferId) {
        if let Some(offer) = self.take_offer(id) {
            self.give_back(&offer, &offer.resources.unallocated(), None);
        }
    }

    /// An offer was hoarded: it is taken back, and its framework is passed over for some time, as if it had declined.
    pub(crate) fn on_offer_timeout(&mut self, id: &OfferId) {
        if let Some(offer) = self.take_offer(id) {
            let refusal = Refusal::Unanswered(self.note_no_answer(&offer));
            self.give_back(&offer, &offer.resources.unallocated(), Some(refusal));
            self.books.counters.offers_rescinded += 1;
            self.tell_framework(&offer.framework, SchedulerEvent::Rescind(id.clone()));
        }
    }

    pub(crate) fn decline(&mut self, framework: &FrameworkId, offers: Vec<OfferId>, filters: Filters) {
        self.note_answer(framework, &offers);
        for id in offers {
            let is_own = self.books.offers.get(&id).is_some_and(|offer| offer.framework == *framework);
            match is_own.then(|| self.take_offer(&id)).flatten() {
                Some(offer) => {
                    let forever = self.has(Bug::FilterNeverExpires);
                    let refuse = if forever { Duration::MAX } else { filters.refuse };
                    let refusal = Refusal::Declined(refuse);
                    self.give_back(&offer, &offer.resources.unallocated(), Some(refusal));
                    self.books.counters.offers_declined += 1;
                }
                None => self
                    .drop_with(|| format!("framework {framework} declines offer {id}, which is not valid")),
            }
        }
    }
}
