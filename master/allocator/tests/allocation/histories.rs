//! Whatever happened before, a plan leaves nobody without what it could have: the shortcuts of planning agree with the
//! predicates, which `explain` asks one by one. And no plan passes a limit or takes what is owed to another role.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chapada_allocator::{Allocator, PlannedOffer, PolicyName, Refusal};
use chapada_model::{Milli, Mono, Resource, ResourceValue, Resources, Role};
use proptest::prelude::*;

use crate::cluster::*;

const AGENTS: [&str; 4] = ["s0", "s1", "s2", "s3"];
const FRAMEWORKS: [&str; 5] = ["f0", "f1", "f2", "f3", "f4"];
const ROLES: [&[&str]; 5] = [&["*"], &["ops"], &["ops/db", "web"], &["web"], &["*", "ops"]];
/// Roles that have quota at times; `ops` is above `ops/db`.
const QUOTAS: [&str; 4] = ["ops", "ops/db", "web", "*"];
const SHAPES: [&str; 4] = ["cpus:4;mem:100", "cpus:1", "cpus:2;cpus(ops):2;mem(ops/db):64", "cpus:4;gpus:1"];

#[derive(Clone, Debug)]
enum Step {
    Add(usize, usize),
    Remove(usize),
    Active(usize, bool),
    Subscribe(usize),
    Leave(usize),
    Suppress(usize),
    Revive(usize),
    /// An outstanding offer is declined for so many seconds.
    Decline(usize, u64),
    /// One CPU of an outstanding offer is used, the rest given back.
    Use(usize),
    /// Something used is free again.
    End(usize),
    /// An agent comes back and says that it runs something of a framework: so much is held whatever the quota.
    Hold(usize, usize),
    /// A role's quota is this, or none.
    Quota(usize, Option<(u64, Option<u64>)>),
    /// A role's weight is so many halves.
    Weight(usize, u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (agent, framework) = (0..AGENTS.len(), || 0..FRAMEWORKS.len());
    prop_oneof![
        2 => (agent.clone(), 0..SHAPES.len()).prop_map(|(agent, shape)| Step::Add(agent, shape)),
        1 => agent.clone().prop_map(Step::Remove),
        1 => (agent, any::<bool>()).prop_map(|(agent, active)| Step::Active(agent, active)),
        3 => framework().prop_map(Step::Subscribe),
        1 => framework().prop_map(Step::Leave),
        1 => framework().prop_map(Step::Suppress),
        1 => framework().prop_map(Step::Revive),
        8 => (0_usize..20, 0_u64..8).prop_map(|(offer, seconds)| Step::Decline(offer, seconds)),
        4 => (0_usize..20).prop_map(Step::Use),
        3 => (0_usize..20).prop_map(Step::End),
        2 => (0_u64..3_000).prop_map(Step::Wait),
        1 => (0..AGENTS.len(), framework()).prop_map(|(agent, framework)| Step::Hold(agent, framework)),
        3 => (0..QUOTAS.len(), prop::option::of((0_u64..6, prop::option::of(0_u64..8))))
            .prop_map(|(role, quota)| Step::Quota(role, quota)),
        1 => (0..QUOTAS.len(), 1_u64..6).prop_map(|(role, halves)| Step::Weight(role, halves)),
    ]
}

struct World {
    allocator: Allocator,
    now: Mono,
    offers: Vec<PlannedOffer>,
    used: Vec<PlannedOffer>,
    /// What each agent has.
    shapes: BTreeMap<usize, Resources>,
}

fn amount(resource: &Resource) -> u64 {
    match &resource.value {
        ResourceValue::Scalar(amount) => amount.0,
        ResourceValue::Ranges(_) | ResourceValue::Set(_) => 0,
    }
}

impl World {
    fn apply(&mut self, step: &Step) {
        match step {
            Step::Add(index, shape) => {
                self.forget(index);
                self.shapes.insert(*index, resources(SHAPES[*shape]));
                add(&mut self.allocator, AGENTS[*index], SHAPES[*shape]);
            }
            Step::Remove(index) => {
                self.forget(index);
                self.shapes.remove(index);
                self.allocator.remove_agent(&agent(AGENTS[*index]));
            }
            Step::Active(index, active) => self.allocator.set_agent_active(&agent(AGENTS[*index]), *active),
            Step::Subscribe(index) => subscribe(&mut self.allocator, FRAMEWORKS[*index], ROLES[*index]),
            Step::Leave(index) => self.allocator.remove_framework(&framework(FRAMEWORKS[*index])),
            Step::Suppress(index) => {
                let roles: BTreeSet<_> = ROLES[*index].iter().map(|name| role(name)).collect();
                self.allocator.suppress(&framework(FRAMEWORKS[*index]), &roles);
            }
            Step::Revive(index) => {
                let roles: BTreeSet<_> = ROLES[*index].iter().map(|name| role(name)).collect();
                self.allocator.revive(&framework(FRAMEWORKS[*index]), &roles);
            }
            Step::Decline(index, seconds) if !self.offers.is_empty() => {
                let offer = self.offers.remove(index % self.offers.len());
                decline(&mut self.allocator, self.now, &offer, Duration::from_secs(*seconds));
            }
            Step::Use(index) if !self.offers.is_empty() => {
                let offer = self.offers.remove(index % self.offers.len());
                let part = resources("cpus:1").intersection(&offer.resources);
                let rest = offer.resources.checked_sub(&part).expect("a part");
                give_back(
                    &mut self.allocator,
                    &PlannedOffer { resources: rest.clone().into(), ..offer.clone() },
                );
                let at = (&offer.framework, &offer.role, &offer.agent);
                self.allocator.refuse(self.now, at, &rest, Refusal::Leftover(Duration::ZERO));
                self.used.push(PlannedOffer { resources: part.into(), ..offer });
            }
            Step::End(index) if !self.used.is_empty() => {
                let task = self.used.remove(index % self.used.len());
                give_back(&mut self.allocator, &task);
            }
            Step::Hold(index, framework) => self.hold(AGENTS[*index], *framework),
            Step::Quota(index, set) => {
                let set = set
                    .and_then(|(guarantee, limit)| quota(guarantee.min(limit.unwrap_or(guarantee)), limit));
                self.allocator.set_quotas([(role(QUOTAS[*index]), set)]);
            }
            Step::Weight(index, halves) => {
                self.allocator.set_weight(&role(QUOTAS[*index]), Milli(halves * 500));
            }
            Step::Wait(millis) => self.now = self.now + Duration::from_millis(*millis),
            Step::Decline(..) | Step::Use(_) | Step::End(_) => {}
        }
    }

    /// One CPU that is free is held all at once.
    fn hold(&mut self, name: &str, index: usize) {
        let Some(free) = self.allocator.free(&agent(name)) else { return };
        let part = resources("cpus:1").intersection(free);
        let left = free.checked_sub(&part).expect("a part");
        if part.is_empty() {
            return;
        }
        let (framework, role) = (framework(FRAMEWORKS[index]), role(ROLES[index][0]));
        self.allocator.charge(&framework, &role, &part);
        self.allocator.set_free(&agent(name), left, false);
        self.used.push(PlannedOffer { framework, role, agent: agent(name), resources: part.into() });
    }

    /// What was offered or used of an agent goes with it.
    fn forget(&mut self, index: &usize) {
        let gone = agent(AGENTS[*index]);
        for held in self.offers.iter().chain(&self.used).filter(|held| held.agent == gone) {
            self.allocator.discharge(&held.framework, &held.role, &held.resources);
        }
        self.offers.retain(|held| held.agent != gone);
        self.used.retain(|held| held.agent != gone);
    }

    /// What a role and those below it hold and are offered of what is nobody's own, and all that is reserved for them.
    fn consumed(&self, of: &Role) -> u64 {
        let open = |resource: &&Resource| &*resource.name == "cpus" && resource.reservations.is_empty();
        let held = self.offers.iter().chain(&self.used).filter(|held| held.role.is_within(of));
        let held = held.flat_map(|held| held.resources.iter()).filter(open).map(amount);
        let kept = |resource: &&Resource| {
            &*resource.name == "cpus" && resource.reserved_role().is_some_and(|role| role.is_within(of))
        };
        let kept = self.shapes.values().flat_map(|shape| shape.iter()).filter(kept).map(amount);
        held.chain(kept).sum()
    }

    /// Plans; no plan passes a limit, nor takes what is owed to others.
    fn plan(&mut self) -> Result<(), TestCaseError> {
        let before: BTreeMap<Role, u64> =
            QUOTAS.iter().map(|name| (role(name), self.consumed(&role(name)))).collect();
        let unmet = self.allocator.unmet().get("cpus");
        let now = self.now;
        self.offers.extend(self.allocator.plan(now).offers);
        prop_assert!(self.allocator.unmet().get("cpus") <= unmet, "a plan takes what is owed");
        for (role, quota) in self.allocator.quotas() {
            let (before, after) = (before[role], self.consumed(role));
            let most = quota.limit.get("cpus").map_or(u64::MAX, |most| most.0);
            prop_assert!(
                after <= most.max(before),
                "{role} goes from {before} to {after} with a limit of {most}"
            );
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        for name in FRAMEWORKS {
            for at in AGENTS {
                for (role, why) in self.allocator.explain(self.now, &framework(name), &agent(at)) {
                    prop_assert!(why.is_some(), "{name} in {role} is not offered what {at} has");
                }
            }
        }
        let set: Vec<Role> = self.allocator.quotas().map(|(role, _)| role.clone()).collect();
        for role in set {
            let counted = self.allocator.consumed(&role).unwrap_or_default().get("cpus").0;
            prop_assert_eq!(counted, self.consumed(&role), "consumed by {}", role);
        }
        let mut held = Resources::EMPTY;
        for part in self.offers.iter().chain(&self.used) {
            part.resources.iter().for_each(|resource| held.add_for_show(resource));
        }
        let charged: u64 = self.allocator.charges().map(|(.., amounts)| amounts.get("cpus").0).sum();
        prop_assert_eq!(charged, held.cpus().0, "what is charged is what is held");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_plan_leaves_nobody_without_what_it_could_have(
        policy in 0..3_usize,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let policy = PolicyName::all().nth(policy).expect("there are three").make(1);
        let allocator = Allocator::with_policy(minimum(), policy);
        let mut world = World {
            allocator,
            now: Mono(0),
            offers: Vec::new(),
            used: Vec::new(),
            shapes: BTreeMap::new(),
        };
        for step in &steps {
            world.apply(step);
            world.plan()?;
            world.check()?;
        }
    }
}
