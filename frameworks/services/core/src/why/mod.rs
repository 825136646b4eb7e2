//! Why instances wait, in one sentence a person can act on, and the smallest change that would place them.

mod constraint;
mod held;
mod matching;
mod suggestion;
mod volume;
mod words;

use std::sync::Arc;

use chapada_model::{Role, Wall};
use chapada_sdk_core::{Funnel, Mismatch, MismatchKind, Offer, Placed, Request, Search, explain};

use crate::definition::AppDefinition;
use crate::id::AppId;
use crate::services::KnownOffer;
use crate::timestamp::Timestamp;
use held::Held;

pub use suggestion::Suggestion;
pub(crate) use words::{and, counted, seconds};

/// Why an app or pod is not where it should be.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Which.
    pub id: AppId,
    /// How many instances wait.
    pub waiting: usize,
    /// What keeps it, the first first. Never empty.
    pub reasons: Vec<Reason>,
    /// How far the offers got that are known of agents, as they would be taken now.
    pub funnel: Funnel,
    /// How many agents were offered once and are not any more.
    pub absent: usize,
    /// When an offer was last seen.
    pub newest: Option<Timestamp>,
}

/// One thing that keeps an app or pod from where it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// What kind of thing.
    pub cause: Cause,
    /// How many instances it concerns.
    pub count: usize,
    /// For people; without a full stop.
    pub sentence: String,
    /// What could be changed, the smallest change first.
    pub suggestions: Vec<Suggestion>,
}

/// What keeps an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// No master takes our calls.
    Disconnected,
    /// It failed before and waits until it may start again.
    Delayed,
    /// Its volume is on an agent that does not offer it.
    Volume,
    /// Its deployment is not there yet, or does not go on by itself.
    Deployment,
    /// As many run as may at once; others have to go first.
    Capacity,
    /// Nothing is offered.
    NoOffers,
    /// What is offered does not fit; by the step at which the last offer fails.
    Mismatch(MismatchKind),
    /// It fits and is about to be placed.
    Placing,
    /// It was launched and does not run yet.
    Starting,
    /// It runs and is not well.
    Unhealthy,
    /// It runs and does not say yet that it is ready.
    NotReady,
    /// It did its work when it was last heard of, and was not heard of, or asked, since this process or its master took over.
    Unheard,
    /// It is being stopped.
    Stopping,
    /// Its agent is out of reach.
    Unreachable,
    /// Nothing: all run that should.
    Nothing,
}

impl Cause {
    /// Its name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Delayed => "delayed",
            Self::Volume => "volume",
            Self::Deployment => "deployment",
            Self::Capacity => "capacity",
            Self::NoOffers => "noOffers",
            Self::Placing => "placing",
            Self::Starting => "starting",
            Self::Unhealthy => "unhealthy",
            Self::NotReady => "notReady",
            Self::Unheard => "unheard",
            Self::Stopping => "stopping",
            Self::Unreachable => "unreachable",
            Self::Nothing => "nothing",
            Self::Mismatch(kind) => match kind {
                MismatchKind::UnfulfilledRole => "role",
                MismatchKind::UnfulfilledConstraint => "constraint",
                MismatchKind::NoCorrespondingReservationFound => "reservation",
                MismatchKind::AgentMaintenance => "maintenance",
                MismatchKind::InsufficientCpus => "cpus",
                MismatchKind::InsufficientMemory => "mem",
                MismatchKind::InsufficientDisk => "disk",
                MismatchKind::InsufficientGpus => "gpus",
                MismatchKind::InsufficientPorts => "ports",
                MismatchKind::DeclinedScarceResources => "scarce",
            },
        }
    }
}

impl Explanation {
    /// All of it in one sentence.
    pub fn sentence(&self) -> String {
        let Some(reason) = self.reasons.first() else { return String::new() };
        match reason.suggestions.first() {
            Some(suggestion) => format!("{}; {}.", reason.sentence, suggestion.sentence),
            None => format!("{}.", reason.sentence),
        }
    }
}

/// All that an explanation rests on, copied, so that it can be worked out elsewhere.
#[derive(Clone, Debug)]
pub struct Inquiry {
    pub(crate) id: AppId,
    /// Empty for pods, whose definitions are only ever replaced.
    pub(crate) definition: Option<Arc<AppDefinition>>,
    pub(crate) request: Request,
    pub(crate) placed: Placed,
    pub(crate) role: Role,
    pub(crate) now: Wall,
    pub(crate) waiting: usize,
    /// How many would take an offer now, or would but for a delay.
    pub(crate) seeking: usize,
    /// What keeps its instances before any offer is looked at.
    pub(crate) reasons: Vec<Reason>,
    /// What keeps those that have a task from being as they should be.
    pub(crate) after: Vec<Reason>,
    pub(crate) known: Vec<KnownOffer>,
    pub(crate) absent: usize,
    pub(crate) newest: Option<Timestamp>,
}

impl Inquiry {
    /// The newest offers of which nothing was used, at most `most`, each with what keeps it from being used now.
    pub fn unused(&self, most: usize) -> Vec<(KnownOffer, Vec<MismatchKind>)> {
        let mut unused: Vec<&KnownOffer> = self.known.iter().filter(|known| !known.used).collect();
        unused.sort_by_key(|known| std::cmp::Reverse(known.at));
        let kinds = |offer: &Offer| {
            explain(offer, &self.request, &self.placed, self.now).iter().map(Mismatch::kind).collect()
        };
        unused.into_iter().take(most).map(|known| (known.clone(), kinds(&known.offer))).collect()
    }

    /// Works the explanation out: matches as the launcher does with all offers that are known.
    pub fn answer(&self) -> Explanation {
        let offers: Vec<&Offer> = self.known.iter().map(|known| &*known.offer).collect();
        let search = Search::new(&self.request, &self.placed, self.now, &offers);
        let held = Held { inquiry: self, offers: &offers, search: &search, funnel: search.funnel() };
        let mut reasons = self.reasons.clone();
        if self.seeking > 0 {
            let kept = reasons.first().is_some_and(|reason| reason.count >= self.waiting);
            let found = matching::reason(&held);
            // Who is kept by something else need not hear that the offer it could take is there.
            if !(kept && found.cause == Cause::Placing) {
                reasons.push(found);
            }
        }
        reasons.extend(self.after.iter().cloned());
        if reasons.is_empty() {
            let sentence = "Everything runs that should".to_owned();
            reasons.push(Reason { cause: Cause::Nothing, count: 0, sentence, suggestions: Vec::new() });
        }
        let (id, waiting, absent, newest) = (self.id.clone(), self.waiting, self.absent, self.newest);
        Explanation { id, waiting, reasons, funnel: held.funnel, absent, newest }
    }
}
