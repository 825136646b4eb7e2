//! The smallest change of a request after which it fits, found by matching the changed request again.

use std::collections::BTreeMap;

use chapada_model::Milli;

use crate::change::{Change, Changed, share};
use crate::funnel::Funnel;
use crate::matching::place;
use crate::mismatch::Mismatch;
use crate::offer::Offer;
use crate::placed::Placed;
use crate::request::Request;

/// Changes after which a request fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// All of them are needed.
    pub changes: Vec<Change>,
    /// How many would fit then.
    pub fits: usize,
    /// The number, in the list that was searched, of an offer that would be taken then.
    pub offer: usize,
}

/// What an offer lacks and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// Its number in the list that was searched.
    pub offer: usize,
    /// `cpus`, `mem`, `disk` or `gpus`, each with how much is wanting.
    pub amounts: Vec<(&'static str, Milli)>,
}

/// How many different combinations of mismatches are told apart. There are few kinds, so only requests with many constraints come
/// near it; further combinations are passed over.
const MAX_COMBINATIONS: usize = 256;
/// How many offers with the same kinds of mismatches are tried, the closest first.
const TRIED: usize = 8;
/// How often a change may uncover the next mismatch of an offer.
const ROUNDS: usize = 4;
/// How many matches are made to count how many would fit.
const MAX_MATCHES: usize = 50_000;

/// A request held against many offers at once, by the same match that launches.
#[derive(Debug)]
pub struct Search<'a> {
    request: &'a Request,
    placed: &'a Placed,
    offers: &'a [&'a Offer],
    mismatches: Vec<Vec<Mismatch>>,
}

impl<'a> Search<'a> {
    /// Matches the request with each of the offers; `placed` is where others of its kind are.
    pub fn new(request: &'a Request, placed: &'a Placed, offers: &'a [&'a Offer]) -> Self {
        let mismatches = offers.iter().map(|offer| mismatches(request, placed, offer)).collect();
        Self { request, placed, offers, mismatches }
    }

    /// How far the offers got.
    pub fn funnel(&self) -> Funnel {
        let mut funnel = Funnel::default();
        self.mismatches.iter().for_each(|mismatches| funnel.note(mismatches));
        funnel
    }

    /// What keeps the request from each offer, in the order of the offers.
    pub fn mismatches(&self) -> &[Vec<Mismatch>] {
        &self.mismatches
    }

    /// The ways to make the request fit on one of the offers, at most `ways` of them, the smallest change first: fewer things
    /// changed, then less of each. `most` is how many are wanted in all. Empty when it fits already, or when no change of it
    /// helps.
    pub fn nearest(&self, most: usize, ways: usize) -> Vec<Nearest> {
        let mut groups: BTreeMap<Vec<Changed>, Vec<(u64, usize)>> = BTreeMap::new();
        for (index, mismatches) in self.mismatches.iter().enumerate() {
            if mismatches.is_empty() {
                return Vec::new();
            }
            let Some(changes) = Changes::default().and(mismatches) else { continue };
            let key: Vec<Changed> = changes.0.keys().cloned().collect();
            if groups.len() >= MAX_COMBINATIONS && !groups.contains_key(&key) {
                continue;
            }
            let group = groups.entry(key).or_default();
            let closest = (changes.cost(), index);
            group.insert(group.partition_point(|known| *known <= closest), closest);
            group.truncate(TRIED);
        }
        let tried = |group: &Vec<(u64, usize)>| group.iter().find_map(|(_, index)| self.changes_for(*index));
        let mut ranked: Vec<(usize, Changes)> = groups.values().filter_map(tried).collect();
        ranked.sort_by_key(|(index, changes)| (changes.0.len(), changes.cost(), *index));
        ranked.truncate(ways);
        let counted = |(offer, changes): (usize, Changes)| {
            let fits = fill(&changes.applied(self.request), self.placed, self.offers, most);
            Nearest { changes: changes.0.into_values().map(|(change, _)| change).collect(), fits, offer }
        };
        ranked.into_iter().map(counted).filter(|nearest| nearest.fits > 0).collect()
    }

    /// What has to change for the request to fit on this offer; `None` when nothing helps.
    fn changes_for(&self, index: usize) -> Option<(usize, Changes)> {
        let mut changes = Changes::default();
        let mut found = self.mismatches.get(index)?.clone();
        for _ in 0..ROUNDS {
            changes = changes.and(&found)?;
            found = mismatches(&changes.applied(self.request), self.placed, self.offers.get(index)?);
            if found.is_empty() {
                return Some((index, changes));
            }
        }
        None
    }

    /// The offer to which least would have to be added, of those that lack amounts and nothing else.
    pub fn least_lacking(&self) -> Option<Lacking> {
        let lacks = |(offer, mismatches): (usize, &Vec<Mismatch>)| {
            let amount = |mismatch: &Mismatch| match *mismatch {
                Mismatch::Short { resource, wanted, offered } => {
                    let lacking = wanted.0.saturating_sub(offered.0);
                    Some((share(lacking, wanted.0), (resource, Milli(lacking))))
                }
                _ => None,
            };
            let (shares, amounts): (Vec<u64>, Vec<_>) =
                mismatches.iter().map(amount).collect::<Option<Vec<_>>>()?.into_iter().unzip();
            (!amounts.is_empty()).then_some((shares.iter().sum::<u64>(), Lacking { offer, amounts }))
        };
        let lacking = self.mismatches.iter().enumerate().filter_map(lacks);
        lacking.min_by_key(|(share, lacking)| (*share, lacking.offer)).map(|(_, lacking)| lacking)
    }
}

/// Changes by what they change, each with its cost.
#[derive(Clone, Debug, Default)]
struct Changes(BTreeMap<Changed, (Change, u64)>);

impl Changes {
    /// With those that overcome the mismatches; `None` when one of them cannot be overcome.
    fn and(mut self, mismatches: &[Mismatch]) -> Option<Self> {
        for mismatch in mismatches {
            let (change, cost) = Change::against(mismatch)?;
            self.0.insert(change.changed(), (change, cost));
        }
        Some(self)
    }

    fn cost(&self) -> u64 {
        self.0.values().map(|(_, cost)| cost).sum()
    }

    fn applied(&self, request: &Request) -> Request {
        let mut request = request.clone();
        self.0.values().for_each(|(change, _)| change.apply(&mut request));
        request
    }
}

/// How many of the request, at most `most`, fit on the offers together. Goes round the offers as long as more fit, since one that
/// was placed may make room for the next where constraints count.
pub fn fill(request: &Request, placed: &Placed, offers: &[&Offer], most: usize) -> usize {
    let mut placed = placed.clone();
    let mut left: Vec<Offer> = offers.iter().map(|offer| (*offer).clone()).collect();
    let (mut count, mut matches, mut before) = (0, 0, None);
    while count < most && matches < MAX_MATCHES && before != Some(count) {
        before = Some(count);
        for offer in &mut left {
            while count < most && matches < MAX_MATCHES {
                matches += 1;
                let Ok(placement) = place(offer, request, &placed, 0) else { break };
                let Ok(rest) = offer.without(&placement.resources) else { break };
                *offer = rest;
                placed.add(offer);
                count += 1;
            }
        }
    }
    count
}

fn mismatches(request: &Request, placed: &Placed, offer: &Offer) -> Vec<Mismatch> {
    match place(offer, request, placed, 0) {
        Ok(_) => Vec::new(),
        Err(why) => why.mismatches,
    }
}
