//! Whatever happened before, a plan leaves nobody without what it could have: the shortcuts of planning agree with the
//! predicates, which `explain` asks one by one.

use std::collections::BTreeSet;
use std::time::Duration;

use chapada_allocator::{Allocator, PlannedOffer, PolicyName, Refusal};
use chapada_model::{Mono, Resources};
use proptest::prelude::*;

use crate::cluster::*;

const AGENTS: [&str; 4] = ["s0", "s1", "s2", "s3"];
const FRAMEWORKS: [&str; 5] = ["f0", "f1", "f2", "f3", "f4"];
const ROLES: [&[&str]; 5] = [&["*"], &["ops"], &["ops/db", "web"], &["web"], &["*", "ops"]];
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
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (agent, framework) = (0..AGENTS.len(), 0..FRAMEWORKS.len());
    prop_oneof![
        2 => (agent.clone(), 0..SHAPES.len()).prop_map(|(agent, shape)| Step::Add(agent, shape)),
        1 => agent.clone().prop_map(Step::Remove),
        1 => (agent, any::<bool>()).prop_map(|(agent, active)| Step::Active(agent, active)),
        3 => framework.clone().prop_map(Step::Subscribe),
        1 => framework.clone().prop_map(Step::Leave),
        1 => framework.clone().prop_map(Step::Suppress),
        1 => framework.prop_map(Step::Revive),
        8 => (0_usize..20, 0_u64..8).prop_map(|(offer, seconds)| Step::Decline(offer, seconds)),
        4 => (0_usize..20).prop_map(Step::Use),
        3 => (0_usize..20).prop_map(Step::End),
        2 => (0_u64..3_000).prop_map(Step::Wait),
    ]
}

struct World {
    allocator: Allocator,
    now: Mono,
    offers: Vec<PlannedOffer>,
    used: Vec<PlannedOffer>,
}

impl World {
    fn apply(&mut self, step: &Step) {
        match step {
            Step::Add(index, shape) => {
                self.forget(index);
                add(&mut self.allocator, AGENTS[*index], SHAPES[*shape]);
            }
            Step::Remove(index) => {
                self.forget(index);
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
            Step::Wait(millis) => self.now = self.now + Duration::from_millis(*millis),
            Step::Decline(..) | Step::Use(_) | Step::End(_) => {}
        }
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

    fn check(&self) -> Result<(), TestCaseError> {
        for name in FRAMEWORKS {
            for at in AGENTS {
                for (role, why) in self.allocator.explain(self.now, &framework(name), &agent(at)) {
                    prop_assert!(why.is_some(), "{name} in {role} is not offered what {at} has");
                }
            }
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
    #[test]
    fn a_plan_leaves_nobody_without_what_it_could_have(
        policy in 0..3_usize,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let policy = PolicyName::all().nth(policy).expect("there are three").make(1);
        let allocator = Allocator::with_policy(minimum(), policy);
        let mut world = World { allocator, now: Mono(0), offers: Vec::new(), used: Vec::new() };
        for step in &steps {
            world.apply(step);
            let now = world.now;
            world.offers.extend(world.allocator.plan(now).offers);
            world.check()?;
        }
    }
}
