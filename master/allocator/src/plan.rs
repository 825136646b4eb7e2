//! A plan: who is offered what, and counts of why others are not.

use std::collections::BTreeMap;

use chapada_model::{AgentId, FrameworkId, Mono, Resources, Role};

use crate::{AgentSlot, Allocator, Client, FrameworkSlot, WhyKind};

/// With more frameworks than this, those that were not looked at are not counted: a plan for one agent must not cost a walk
/// over all frameworks. For them [`Allocator::explain`] answers.
const MAX_COUNTED_FRAMEWORKS: usize = 256;

/// One offer to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedOffer {
    /// Who gets it.
    pub framework: FrameworkId,
    /// In which role.
    pub role: Role,
    /// Whose resources they are.
    pub agent: AgentId,
    /// The resources, allocated to nobody in form.
    pub resources: Resources,
}

/// What to offer now. It is already charged: making it true is the caller's duty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The offers, in the order they were decided.
    pub offers: Vec<PlannedOffer>,
    /// How many agents were looked at.
    pub considered: u32,
    /// For each subscribed framework, how many of those agents it was not offered, and why. A framework with several roles
    /// is counted once for each. What earlier ones took counts as [`WhyKind::NothingFree`]. Of very many frameworks only
    /// those are counted that were looked at.
    pub skipped: BTreeMap<FrameworkId, BTreeMap<WhyKind, u32>>,
}

impl Allocator {
    /// Decides what to offer of all agents at which something has changed. Resources in the plan count as held from now on.
    pub fn plan(&mut self, now: Mono) -> Plan {
        for slot in self.filters.expire(now) {
            self.mark(slot);
        }
        self.policy.refresh();
        let mut plan = Plan::default();
        let mut skipped: BTreeMap<FrameworkSlot, BTreeMap<WhyKind, u32>> = BTreeMap::new();
        let mut looks: BTreeMap<FrameworkSlot, u32> = BTreeMap::new();
        for slot in std::mem::take(&mut self.dirty) {
            if let Some(agent) = self.agents.get_mut(slot) {
                agent.dirty = false;
                plan.considered += 1;
                self.serve_agent(now, slot, &mut plan, &mut |client, why| {
                    *looks.entry(client.framework).or_default() += 1;
                    if let Some(why) = why {
                        *skipped.entry(client.framework).or_default().entry(why).or_default() += 1;
                    }
                });
            }
        }
        if plan.considered > 0 {
            self.count_unreached(&mut plan, skipped, &looks);
        }
        plan
    }

    /// Gives an agent's free resources away: each round to the first client in order that may have them.
    fn serve_agent(
        &mut self,
        now: Mono,
        slot: AgentSlot,
        plan: &mut Plan,
        seen: &mut dyn FnMut(Client, Option<WhyKind>),
    ) {
        // Each round takes something away, and a client that took all it may have is not served twice.
        let mut served: Vec<Client> = Vec::new();
        while self.agents.get(slot).is_some_and(|agent| agent.active && !agent.free.is_empty()) {
            let mut found = None;
            for client in self.policy.order().filter(|client| !served.contains(client)) {
                match self.candidate(now, client, slot) {
                    Ok(resources) => {
                        found = Some((client, resources.into_owned()));
                        break;
                    }
                    Err(why) if served.is_empty() => seen(client, Some(why.kind())),
                    Err(_) => {}
                }
            }
            let Some((client, resources)) = found else { return };
            seen(client, None);
            served.push(client);
            self.give(slot, client, resources, plan);
        }
    }

    fn give(&mut self, slot: AgentSlot, client: Client, resources: Resources, plan: &mut Plan) {
        let names =
            (self.frameworks.key(client.framework), self.roles.key(client.role), self.agents.key(slot));
        let (Some(framework), Some(role), Some(agent)) = names else { return };
        let offer = PlannedOffer {
            framework: framework.clone(),
            role: role.clone(),
            agent: agent.clone(),
            resources: resources.clone(),
        };
        let Some(agent) = self.agents.get_mut(slot) else { return };
        let Ok(left) = agent.free.checked_sub(&resources) else { return };
        agent.set_free(left);
        self.charge_slots(client, &resources, 1);
        plan.offers.push(offer);
    }

    /// Whoever was not looked at for an agent came after someone who took what was free.
    fn count_unreached(
        &self,
        plan: &mut Plan,
        skipped: BTreeMap<FrameworkSlot, BTreeMap<WhyKind, u32>>,
        looks: &BTreeMap<FrameworkSlot, u32>,
    ) {
        let all = self.frameworks.len() <= MAX_COUNTED_FRAMEWORKS;
        let slots: Vec<FrameworkSlot> = match all {
            true => self.frameworks.slots().collect(),
            false => looks.keys().copied().collect(),
        };
        for slot in slots {
            let (Some(id), Some(framework)) = (self.frameworks.key(slot), self.frameworks.get(slot)) else {
                continue;
            };
            if !framework.active {
                continue;
            }
            let mut counts = skipped.get(&slot).cloned().unwrap_or_default();
            let open = framework.roles.values().filter(|state| !state.suppressed).count();
            let suppressed = framework.roles.len() - open;
            let times =
                |roles: usize| plan.considered.saturating_mul(u32::try_from(roles).unwrap_or(u32::MAX));
            let unreached = times(open).saturating_sub(looks.get(&slot).copied().unwrap_or_default());
            for (why, count) in [(WhyKind::NothingFree, unreached), (WhyKind::Suppressed, times(suppressed))]
            {
                if count > 0 {
                    *counts.entry(why).or_default() += count;
                }
            }
            plan.skipped.insert(id.clone(), counts);
        }
    }
}
