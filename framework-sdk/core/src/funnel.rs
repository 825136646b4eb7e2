//! How many offers got how far: the funnel from all that were made to those that fit.

use crate::mismatch::{Mismatch, MismatchKind};

/// How many offers each step stopped. An offer is counted at the first step that stops it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Funnel {
    offers: u64,
    stopped: [u64; MismatchKind::ALL.len()],
}

/// One step of a funnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunnelStep {
    /// What is looked at.
    pub kind: MismatchKind,
    /// How many offers came so far.
    pub reached: u64,
    /// How many of these it stopped.
    pub stopped: u64,
}

impl Funnel {
    /// Notes an offer and what keeps the request from it; nothing does when it fits.
    pub fn note(&mut self, mismatches: &[Mismatch]) {
        self.offers += 1;
        let first = mismatches.iter().map(Mismatch::kind).min();
        if let Some(at) = first.and_then(|kind| MismatchKind::ALL.iter().position(|other| *other == kind)) {
            self.stopped[at] += 1;
        }
    }

    /// How many offers were looked at.
    pub fn offers(&self) -> u64 {
        self.offers
    }

    /// How many fit.
    pub fn fitting(&self) -> u64 {
        self.offers - self.stopped.iter().sum::<u64>()
    }

    /// Every step, in order.
    pub fn steps(&self) -> impl Iterator<Item = FunnelStep> + '_ {
        let mut left = self.offers;
        MismatchKind::ALL.into_iter().zip(self.stopped).map(move |(kind, stopped)| {
            let reached = left;
            left -= stopped;
            FunnelStep { kind, reached, stopped }
        })
    }

    /// The step that stopped the last of the offers; `None` when some fit or there were none.
    pub fn stopped_at(&self) -> Option<MismatchKind> {
        let last = self.steps().filter(|step| step.stopped > 0).last();
        last.filter(|_| self.fitting() == 0).map(|step| step.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_looks_at_what_those_before_let_through() {
        let short =
            |resource| Mismatch::Short { resource, wanted: Default::default(), offered: Default::default() };
        let mut funnel = Funnel::default();
        funnel.note(&[short("mem"), Mismatch::Role]);
        funnel.note(&[Mismatch::Role]);
        funnel.note(&[short("mem"), Mismatch::PortNotOffered(80)]);
        assert_eq!(funnel.stopped_at(), Some(MismatchKind::InsufficientMemory));
        funnel.note(&[]);
        assert_eq!((funnel.offers(), funnel.fitting(), funnel.stopped_at()), (4, 1, None));
        let stops: Vec<_> = funnel.steps().filter(|step| step.stopped > 0).collect();
        let step = |kind, reached, stopped| FunnelStep { kind, reached, stopped };
        let expected =
            [step(MismatchKind::UnfulfilledRole, 4, 2), step(MismatchKind::InsufficientMemory, 2, 1)];
        assert_eq!(stops, expected);
    }
}
