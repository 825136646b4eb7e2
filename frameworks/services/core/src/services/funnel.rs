//! What became of the offers that an app has looked at.

use std::collections::BTreeMap;

use chapada_model::Now;
use chapada_sdk_core::MismatchKind;

use crate::timestamp::Timestamp;

/// Of so many offers, how many were not used and for which reason.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Looked {
    /// Offers looked at.
    pub processed: u64,
    /// Those that were not used, by reason.
    pub reasons: BTreeMap<MismatchKind, u64>,
}

/// What became of the offers an app has looked at since it began to wait, and of those of its last look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Funnel {
    /// Of all of them.
    pub whole: Looked,
    /// Of those that came together last.
    pub last: Looked,
    /// Offers not used.
    pub unused: u64,
    /// When an offer was last not used.
    pub last_unused: Option<Timestamp>,
    /// When an offer was last used.
    pub last_used: Option<Timestamp>,
    /// When offers were last looked at.
    looked: Option<Timestamp>,
}

impl Funnel {
    /// None of the offers that were looked at was used, each for one of these reasons.
    pub(super) fn note_unused(&mut self, now: Now, reasons: &[MismatchKind]) {
        let at = self.look(now, reasons.len() as u64);
        self.unused += reasons.len() as u64;
        for why in reasons {
            *self.whole.reasons.entry(*why).or_default() += 1;
            *self.last.reasons.entry(*why).or_default() += 1;
            self.last_unused = Some(at);
        }
    }

    /// An offer has room for an instance.
    pub(super) fn note_fitting(&mut self, now: Now) {
        self.look(now, 1);
    }

    /// An instance was launched on an offer.
    pub(super) fn note_used(&mut self, now: Now) {
        self.last_used = Some(Timestamp::from(now.wall));
    }

    /// Notes how many offers are looked at; what comes together is looked at at one time.
    fn look(&mut self, now: Now, offers: u64) -> Timestamp {
        let at = Timestamp::from(now.wall);
        if self.looked.replace(at) != Some(at) {
            self.last = Looked::default();
        }
        self.whole.processed += offers;
        self.last.processed += offers;
        at
    }
}
