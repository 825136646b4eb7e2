//! The smallest change of a request after which it fits, found by matching the changed request again.

use std::collections::BTreeMap;

use chapada_model::{Milli, Wall};

use crate::change::{Change, Changed, share};
use crate::funnel::Funnel;
use crate::matching::{explain, place};
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
    now: Wall,
    offers: &'a [&'a Offer],
    mismatches: Vec<Vec<Mismatch>>,
}

impl<'a> Search<'a> {
    /// Matches the request with each of the offers; `placed` is where others of its kind are.
    pub fn new(request: &'a Request, placed: &'a Placed, now: Wall, offers: &'a [&'a Offer]) -> Self {
        let all = |offer: &&Offer| explain(offer, request, placed, now);
        Self { request, placed, now, offers, mismatches: offers.iter().map(all).collect() }
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
            let Some(changes) = Changes::default().and(mismatches, self.request) else { continue };
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
            let fits = fill(&changes.applied(self.request), self.placed, self.now, self.offers, most);
            Nearest { changes: changes.0.into_values().map(|(change, _)| change).collect(), fits, offer }
        };
        ranked.into_iter().map(counted).filter(|nearest| nearest.fits > 0).collect()
    }

    /// What has to change for the request to fit on this offer; `None` when nothing helps.
    fn changes_for(&self, index: usize) -> Option<(usize, Changes)> {
        let offer = self.offers.get(index)?;
        let left = |changes: &Changes| explain(offer, &changes.applied(self.request), self.placed, self.now);
        let mut changes = Changes::default();
        let mut found = self.mismatches.get(index)?.clone();
        for _ in 0..ROUNDS {
            changes = changes.and(&found, self.request)?;
            found = left(&changes);
            if found.is_empty() {
                break;
            }
        }
        // A later change may make an earlier one needless.
        for changed in changes.0.keys().cloned().collect::<Vec<_>>() {
            let mut fewer = changes.clone();
            fewer.0.remove(&changed);
            if left(&fewer).is_empty() {
                changes = fewer;
            }
        }
        found.is_empty().then_some((index, changes))
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
    fn and(mut self, mismatches: &[Mismatch], request: &Request) -> Option<Self> {
        // What is kept for others is not counted, so the amounts are known only when all may be used.
        let kept = mismatches.iter().find(|mismatch| matches!(mismatch, Mismatch::Role));
        for mismatch in kept.map_or(mismatches, std::slice::from_ref) {
            let (change, cost) = Change::against(mismatch, request)?;
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
pub fn fill(request: &Request, placed: &Placed, now: Wall, offers: &[&Offer], most: usize) -> usize {
    let mut placed = placed.clone();
    let mut left: Vec<Offer> = offers.iter().map(|offer| (*offer).clone()).collect();
    let (mut count, mut matches, mut before) = (0, 0, None);
    while count < most && matches < MAX_MATCHES && before != Some(count) {
        before = Some(count);
        for offer in &mut left {
            while count < most && matches < MAX_MATCHES {
                matches += 1;
                let Ok(placement) = place(offer, request, &placed, now, 0) else { break };
                if placement.taken().and_then(|taken| offer.take(&taken)).is_err() {
                    break;
                }
                placed.add(offer);
                count += 1;
            }
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use chapada_model::{Attribute, AttributeValue, Range, Ranges, Resource, Resources};
    use proptest::prelude::*;

    use super::*;
    use crate::constraint::{Constraint, Field, Rule};
    use crate::request::PortWish;

    fn machine(number: usize, cpus: u64, mem: u64, rack: &str, ports: &[(u64, u64)]) -> Offer {
        let ranges = Ranges::new(ports.iter().map(|(begin, end)| Range { begin: *begin, end: *end }));
        let resources = Resources::from_list([
            Resource::scalar("cpus", Milli(cpus)),
            Resource::scalar("mem", Milli(mem)),
            Resource::ranges("ports", ranges),
        ]);
        let id = |kind: &str| format!("{kind}{number}");
        let mut offer =
            Offer::new(id("o").parse().unwrap(), id("a").parse().unwrap(), id("h"), resources.unwrap());
        offer.attributes.push(Attribute { name: "rack".into(), value: AttributeValue::Text(rack.into()) });
        offer
    }

    fn found(request: &Request, offers: &[Offer], most: usize) -> Vec<(Vec<Change>, usize)> {
        let offers: Vec<&Offer> = offers.iter().collect();
        let placed = Placed::of::<Offer>(&request.constraints, []);
        let search = Search::new(request, &placed, Wall(0), &offers);
        search.nearest(most, 3).into_iter().map(|nearest| (nearest.changes, nearest.fits)).collect()
    }

    fn lower(resource: &'static str, mib: u64) -> Change {
        Change::Lower { resource, to: Milli::whole(mib) }
    }

    #[test]
    fn one_smaller_amount_comes_before_a_dropped_constraint_and_both_before_two_things() {
        let rack = Constraint::new(Field::named("rack"), Rule::one_of(["r2"]));
        let request = Request { constraints: vec![rack.clone()], ..Request::new(1.0, 4096.0) };
        let mem = |mib: u64| mib * 1_000;
        let offers = [
            machine(0, 4_000, mem(8_192), "r1", &[]),
            machine(1, 4_000, mem(3_174), "r2", &[]),
            machine(2, 4_000, mem(3_100), "r2", &[]),
            machine(3, 500, mem(8_192), "r1", &[]),
        ];
        assert_eq!(
            found(&request, &offers, 3),
            [
                (vec![lower("mem", 3_072)], 2),
                (vec![Change::Drop(rack.clone())], 2),
                (vec![Change::Drop(rack), Change::Lower { resource: "cpus", to: Milli(500) }], 3),
            ]
        );
    }

    #[test]
    fn what_fits_needs_no_change_and_what_nothing_helps_has_none() {
        let offers = [machine(0, 4_000, 64_000, "r1", &[])];
        assert_eq!(found(&Request::new(1.0, 64.0), &offers, 1), []);
        assert_eq!(found(&Request::new(1.0, 64.0).any_ports(1), &offers, 1), []);
        assert_eq!(found(&Request::new(1.0, 64.0), &[], 1), []);
    }

    #[test]
    fn fixed_ports_may_become_any_and_then_fewer() {
        let fixed = |ports: &[u16]| Request {
            ports: ports.iter().map(|port| PortWish::Exactly(*port)).collect(),
            ..Request::new(1.0, 64.0)
        };
        let offers = [machine(0, 4_000, 64_000, "r1", &[(31_000, 31_000)])];
        assert_eq!(found(&fixed(&[80]), &offers, 1), [(vec![Change::AnyPorts], 1)]);
        assert_eq!(
            found(&fixed(&[80, 81]), &offers, 1),
            [(vec![Change::AnyPorts, Change::FewerPorts(1)], 1)]
        );
    }

    #[test]
    fn the_offer_that_lacks_least_is_named() {
        let request = Request::new(2.0, 1_000.0);
        let offers = [machine(0, 0, 0, "r1", &[]), machine(1, 2_000, 600_000, "r1", &[])];
        let offers: Vec<&Offer> = offers.iter().collect();
        let placed = Placed::default();
        let lacking = Search::new(&request, &placed, Wall(0), &offers).least_lacking();
        assert_eq!(lacking, Some(Lacking { offer: 1, amounts: vec![("mem", Milli::whole(400))] }));
    }

    fn offers() -> impl Strategy<Value = Vec<Offer>> {
        let one = (0_u64..4_000, 0_u64..2_000, 0_usize..3, 0_u64..4);
        prop::collection::vec(one, 1..8).prop_map(|machines| {
            let machine = |(number, (cpus, mem, rack, ports)): (usize, (u64, u64, usize, u64))| {
                let ports: Vec<(u64, u64)> = (0..ports).map(|port| (80 + 2 * port, 80 + 2 * port)).collect();
                machine(number, cpus, mem * 1_000, ["r1", "r2", "r3"][rack], &ports)
            };
            machines.into_iter().enumerate().map(machine).collect()
        })
    }

    fn requests() -> impl Strategy<Value = Request> {
        let rule = prop_oneof![
            Just(Rule::Unique),
            Just(Rule::one_of(["r2"])),
            Just(Rule::none_of(["r1", "r3"])),
            Just(Rule::MaxPer(1)),
            Just(Rule::Cluster(None)),
            Just(Rule::GroupBy(Some(2))),
        ];
        let constraints = prop::collection::vec((prop_oneof![Just("rack"), Just("hostname")], rule), 0..3);
        let ports = prop::collection::vec(
            prop_oneof![Just(PortWish::Any), (80_u16..90).prop_map(PortWish::Exactly)],
            0..3,
        );
        (0_u64..5_000, 1_u64..3_000, constraints, ports).prop_map(|(cpus, mem, constraints, ports)| Request {
            cpus: Milli(cpus),
            mem: Milli::whole(mem),
            constraints: constraints
                .into_iter()
                .map(|(field, rule)| Constraint::new(Field::named(field), rule))
                .collect(),
            ports,
            ..Request::default()
        })
    }

    proptest! {
        #[test]
        fn a_change_that_is_named_places_as_many_as_it_says(
            request in requests(), offers in offers(), others in 0_usize..3, most in 1_usize..5
        ) {
            let all: Vec<&Offer> = offers.iter().collect();
            let placed = Placed::of(&request.constraints, all.iter().copied().take(others));
            let search = Search::new(&request, &placed, Wall(0), &all);
            let ways = search.nearest(most, 8);
            prop_assert!(ways.is_empty() || search.funnel().fitting() == 0);
            for Nearest { changes, fits, offer } in ways {
                let mut changed = request.clone();
                changes.iter().for_each(|change| change.apply(&mut changed));
                prop_assert!(place(all[offer], &changed, &placed, Wall(0), 7).is_ok(), "{changes:?}");
                prop_assert!(fits >= 1 && fits <= most);
                prop_assert_eq!(fill(&changed, &placed, Wall(0), &all, most), fits);
                // Nothing in it is idle: with any one of the changes taken back, that offer is not taken.
                for kept in 0..changes.len() {
                    let mut less = request.clone();
                    changes.iter().enumerate().filter(|(at, _)| *at != kept).for_each(|(_, change)| change.apply(&mut less));
                    prop_assert!(place(all[offer], &less, &placed, Wall(0), 7).is_err(), "{:?} is idle", changes[kept]);
                }
            }
        }
    }
}
