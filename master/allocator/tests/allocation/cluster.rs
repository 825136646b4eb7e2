//! What the tests of the allocator share: names, and what a master does around a plan.

use std::time::Duration;

use chapada_allocator::{Allocator, FrameworkInput, Plan, PlannedOffer, Quota, Refusal};
use chapada_model::{
    AgentId, FrameworkCapability, FrameworkId, Milli, Mono, Quantities, Resource, ResourceValue, Resources,
    Role,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn role(name: &str) -> Role {
    Role::new(name).expect("a valid role")
}

pub(crate) fn framework(name: &str) -> FrameworkId {
    FrameworkId::new(name).expect("a valid id")
}

pub(crate) fn agent(name: &str) -> AgentId {
    AgentId::new(name).expect("a valid id")
}

pub(crate) fn resources(text: &str) -> Resources {
    text.parse().expect("valid resources")
}

pub(crate) fn cpus(amount: u64) -> Quantities {
    [("cpus", Milli::whole(amount))].into_iter().collect()
}

/// So many CPUs guaranteed, and at most so many.
pub(crate) fn quota(guarantee: u64, limit: Option<u64>) -> Option<Quota> {
    let limit = limit.map(|most| ("cpus".into(), Milli::whole(most)));
    Some(Quota { guarantee: cpus(guarantee), limit: limit.into_iter().collect() })
}

pub(crate) fn minimum() -> Vec<Quantities> {
    vec![[("cpus", Milli(10))].into_iter().collect(), [("mem", Milli::whole(32))].into_iter().collect()]
}

pub(crate) fn subscribe(allocator: &mut Allocator, name: &str, roles: &[&str]) {
    subscribe_with(allocator, name, roles, &[]);
}

pub(crate) fn subscribe_with(
    allocator: &mut Allocator,
    name: &str,
    roles: &[&str],
    capabilities: &[FrameworkCapability],
) {
    let input = FrameworkInput {
        roles: roles.iter().map(|name| role(name)).collect(),
        capabilities: capabilities.iter().copied().collect(),
        ..FrameworkInput::default()
    };
    allocator.set_framework(&framework(name), input);
}

pub(crate) fn add(allocator: &mut Allocator, name: &str, text: &str) {
    allocator.add_agent(&agent(name), &resources(text), resources(text));
}

/// Framework, agent and CPUs of each offer.
pub(crate) fn what(plan: &Plan) -> Vec<(&str, &str, f64)> {
    let line = |offer: &'_ PlannedOffer| offer.resources.cpus().to_f64();
    plan.offers.iter().map(|o| (o.framework.as_str(), o.agent.as_str(), line(o))).collect()
}

/// All CPUs that a framework is offered.
pub(crate) fn offered(plan: &Plan, name: &str) -> f64 {
    what(plan).iter().filter(|(framework, ..)| *framework == name).map(|(.., cpus)| cpus).sum()
}

/// Gives a planned offer back, as a decline does.
pub(crate) fn decline(allocator: &mut Allocator, now: Mono, offer: &PlannedOffer, refuse: Duration) {
    give_back(allocator, offer);
    let at = (&offer.framework, &offer.role, &offer.agent);
    allocator.refuse(now, at, &offer.resources, Refusal::Declined(refuse));
}

/// What was offered is free again. What is shared was free all the time.
pub(crate) fn give_back(allocator: &mut Allocator, offer: &PlannedOffer) {
    let free = allocator
        .free(&offer.agent)
        .expect("a known agent")
        .checked_add(&offer.resources.unshared())
        .expect("was taken");
    allocator.unshare((&offer.framework, &offer.role, &offer.agent), &offer.resources);
    allocator.discharge(&offer.framework, &offer.role, &offer.resources);
    allocator.set_free(&offer.agent, free, true);
}

/// One scalar, changed.
pub(crate) fn scalar(name: &str, amount: u64, change: impl Fn(&mut Resource)) -> Resource {
    let mut resource = Resource::new(name, ResourceValue::Scalar(Milli::whole(amount)));
    change(&mut resource);
    resource
}
