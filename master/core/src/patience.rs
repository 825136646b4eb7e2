//! How long frameworks may leave offers unanswered. One that never answers may not keep those waiting that do: nobody waits
//! longer than one offer timeout for the first answer of all the others together.
//!
//! - The frameworks that want offers and have answered none since they subscribed share one offer timeout among them: of
//!   ten, each keeps what it is offered a tenth of it. Whoever answers has the whole of it from then on.
//! - With each time that a framework leaves offers unanswered, the next live half as long, and it is passed over at their
//!   agents twice as long afterwards. It comes after all who answered, until it answers: then it is passed over nowhere for that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chapada_model::{Filters, FrameworkId, Mono, OfferId};

use crate::{Framework, Master, Offer};

/// An offer lives at least so long, unless the offer timeout itself is shorter.
pub const LEAST_OFFER_LIFE: Duration = Duration::from_secs(1);

/// After an offer that was left unanswered, a framework is passed over at its agent at most so long.
pub const MOST_PASSED_OVER: Duration = Duration::from_secs(60);

/// Doublings after which both bounds are reached.
const MOST_DOUBLINGS: u32 = 16;

/// What is known of how frameworks answer; nothing of those that do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patience {
    /// They want offers and have answered none of this subscription.
    unheard: BTreeSet<FrameworkId>,
    /// They have answered none and want none now.
    quiet: BTreeSet<FrameworkId>,
    /// Offers of those two, oldest first.
    offers: BTreeSet<(Mono, OfferId)>,
    /// They left their last offers unanswered.
    late: BTreeMap<FrameworkId, Late>,
}

#[derive(Clone, Copy, Debug)]
struct Late {
    /// How often in a row.
    times: u32,
    /// When it was last counted: offers from before do not count again.
    at: Mono,
}

impl Patience {
    /// How long an offer to the framework lives at most.
    pub(crate) fn life(&self, framework: &FrameworkId, timeout: Duration) -> Duration {
        let Some(late) = self.late.get(framework) else { return timeout };
        let life = timeout / (1 << late.times);
        life.max(LEAST_OFFER_LIFE.min(timeout))
    }

    /// When the oldest offer to a framework that has answered none yet is taken back, and which.
    pub(crate) fn next(&self, timeout: Duration) -> Option<(Mono, &OfferId)> {
        let (since, offer) = self.offers.first()?;
        let all = u32::try_from(self.unheard.len()).unwrap_or(u32::MAX).max(1);
        Some((*since + (timeout / all).max(LEAST_OFFER_LIFE.min(timeout)), offer))
    }

    /// An offer is made.
    pub(crate) fn note_offer(&mut self, offer: &Offer) {
        if self.unheard.contains(&offer.framework) {
            self.offers.insert((offer.since.mono, offer.id.clone()));
        }
    }

    /// An offer is no more, whatever becomes of it.
    pub(crate) fn forget_offer(&mut self, offer: &Offer) {
        if !self.offers.is_empty() {
            self.offers.remove(&(offer.since.mono, offer.id.clone()));
        }
    }

    /// An offer was left unanswered: for how long the framework is passed over at its agent.
    fn miss(&mut self, offer: &Offer, now: Mono) -> Duration {
        let late = self.late.entry(offer.framework.clone()).or_insert(Late { times: 0, at: Mono::default() });
        if late.times == 0 || offer.since.mono >= late.at {
            *late = Late { times: (late.times + 1).min(MOST_DOUBLINGS), at: now };
        }
        let times = late.times.saturating_sub(1);
        Filters::default().refuse.saturating_mul(1 << times).min(MOST_PASSED_OVER)
    }

    /// The framework has answered, or has no subscription any more, and no offers.
    pub(crate) fn forget_subscription(&mut self, framework: &FrameworkId) {
        self.unheard.remove(framework);
        self.quiet.remove(framework);
    }

    /// The framework is gone.
    pub(crate) fn forget(&mut self, framework: &FrameworkId) {
        self.forget_subscription(framework);
        self.late.remove(framework);
    }

    fn is_unheard(&self, id: &FrameworkId) -> bool {
        self.unheard.contains(id) || self.quiet.contains(id)
    }

    fn knows_nothing(&self) -> bool {
        self.unheard.is_empty() && self.quiet.is_empty() && self.late.is_empty()
    }

    /// How many offers are watched.
    pub(crate) fn offers(&self) -> usize {
        self.offers.len()
    }

    /// All that are remembered.
    pub(crate) fn frameworks(&self) -> impl Iterator<Item = &FrameworkId> {
        self.unheard.iter().chain(&self.quiet).chain(self.late.keys())
    }
}

impl Master {
    /// A framework is subscribed, or wants offers in other roles than before.
    pub(crate) fn note_wishes(&mut self, id: &FrameworkId, is_subscription: bool) {
        let wants = self.books.frameworks.get(id).is_some_and(|framework| wants_offers(framework));
        let patience = &mut self.patience;
        if !is_subscription && !patience.is_unheard(id) {
            return;
        }
        patience.forget_subscription(id);
        match wants {
            true => patience.unheard.insert(id.clone()),
            false => patience.quiet.insert(id.clone()),
        };
        if is_subscription {
            let is_late = patience.late.contains_key(id);
            self.allocator.set_late(id, is_late);
        }
    }

    /// A framework answers these offers. Some may be no longer its own: then it lives, and was late all the same.
    pub(crate) fn note_answer(&mut self, id: &FrameworkId, offers: &[OfferId]) {
        if offers.is_empty() || self.patience.knows_nothing() {
            return;
        }
        if self.patience.is_unheard(id) {
            self.patience.forget_subscription(id);
            for offer in self.index.offers_by_framework.iter(id).filter_map(|id| self.books.offers.get(id)) {
                self.patience.forget_offer(offer);
            }
        }
        let is_own = |offer| self.books.offers.get(offer).is_some_and(|offer| offer.framework == *id);
        if self.patience.late.contains_key(id) && offers.iter().any(is_own) {
            self.patience.late.remove(id);
            self.allocator.set_late(id, false);
        }
    }

    /// Takes back what those who have answered nothing yet had for long enough.
    pub(crate) fn take_back_from_unheard(&mut self) {
        while let Some((at, offer)) = self.patience.next(self.settings.offer_timeout)
            && at <= self.now.mono
        {
            let offer = offer.clone();
            self.on_offer_timeout(&offer);
        }
    }

    /// An offer was left unanswered. Gives how long its framework is passed over for it.
    pub(crate) fn note_no_answer(&mut self, offer: &Offer) -> Duration {
        let passed_over = self.patience.miss(offer, self.now.mono);
        self.allocator.set_late(&offer.framework, true);
        passed_over
    }
}

fn wants_offers(framework: &Framework) -> bool {
    framework.description.roles.iter().any(|role| !framework.suppressed.contains(role))
}
