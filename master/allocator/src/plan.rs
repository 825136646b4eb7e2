//! A plan: who is offered what, and counts of why others are not.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use chapada_model::{AgentId, FrameworkId, Mono, Resources, Role};

use crate::agent::Agent;
use crate::tally::Tally;
use crate::{AgentSlot, Allocator, Client, ClientSlot, Why, WhyKind};

/// Up to so many clients that have just come are asked one by one about agents that everyone else has passed over; of more,
/// every agent is looked at afresh.
const MAX_ASKED_NEWCOMERS: usize = 8;

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
    pub resources: Arc<Resources>,
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

/// What a walk through the clients came to.
struct Found {
    client: Client,
    /// Absent when it is all that is free.
    resources: Option<Arc<Resources>>,
}

impl Allocator {
    /// Decides what to offer of all agents at which something has changed. Resources in the plan count as held from now on.
    pub fn plan(&mut self, now: Mono) -> Plan {
        for slot in self.filters.expire(now) {
            self.mark(slot);
        }
        self.policy.refresh();
        let mut plan = Plan::default();
        let mut tally = Tally::new();
        self.ask_newcomers(now, &mut tally);
        let dirty = self.take_dirty();
        plan.offers.reserve(dirty.len());
        for slot in dirty {
            if let Some(agent) = self.agents.get_mut(slot).filter(|agent| agent.dirty) {
                agent.dirty = false;
                plan.considered += 1;
                self.serve_agent(now, slot, &mut plan, &mut tally);
            }
        }
        plan.skipped = tally.skipped(self, plan.considered);
        if !plan.offers.is_empty() {
            self.retry_kept_back();
        }
        plan
    }

    /// The agents to look at, in the order in which they are given away.
    fn take_dirty(&mut self) -> Vec<AgentSlot> {
        let mut dirty = std::mem::take(&mut self.dirty);
        if self.policy.serves_fullest_first() {
            dirty.sort_by_cached_key(|slot| self.agents.get(*slot).map(Agent::emptiness));
        }
        dirty
    }

    /// Whoever has just come, or wants again what it had refused, may want agents that all others have passed over.
    fn ask_newcomers(&mut self, now: Mono, tally: &mut Tally) {
        let newcomers = std::mem::take(&mut self.newcomers);
        let clients: Vec<Client> = newcomers
            .into_iter()
            .filter(|c| self.wanting.contains(c.0))
            .filter_map(|c| self.client(c))
            .collect();
        if clients.is_empty() {
            return;
        }
        let has_something = |slot: &AgentSlot| {
            self.agents.get(*slot).is_some_and(|agent| !agent.dirty && agent.active && !agent.free.is_empty())
        };
        let mut wanted: Vec<AgentSlot> = self.agents.slots().filter(has_something).collect();
        if clients.len() <= MAX_ASKED_NEWCOMERS {
            let mut kept_back = Vec::new();
            wanted.retain(|slot| {
                clients.iter().any(|client| match self.candidate(now, *client, *slot) {
                    Ok(_) => true,
                    Err(refused) => {
                        tally.look_apart(*client, refused.why.kind());
                        kept_back.extend(refused.is_cut.then_some(*slot));
                        false
                    }
                })
            });
            self.kept_back.extend(kept_back);
        }
        for slot in wanted {
            self.mark(slot);
        }
    }

    /// Gives an agent's free resources away: each round to the first client in order that may have them.
    fn serve_agent(&mut self, now: Mono, slot: AgentSlot, plan: &mut Plan, tally: &mut Tally) {
        if !self.agents.get(slot).is_some_and(|agent| agent.active && !agent.free.is_empty()) {
            return;
        }
        if self.filters.withheld(slot).is_some_and(|withheld| self.wanting.is_within(withheld)) {
            tally.refused_by_all += 1;
            return;
        }
        // Each round takes something away, and a client that took all it may have is not served twice.
        let mut served: Vec<ClientSlot> = Vec::new();
        while let Some(found) = self.find_taker(now, slot, &served, tally) {
            if served.is_empty() {
                tally.look(found.client, None);
            }
            served.push(found.client.slot);
            self.give(slot, found, plan);
            if self.agents.get(slot).is_none_or(|agent| agent.free.is_empty()) {
                return;
            }
        }
    }

    /// The first client in order that may have something of the agent.
    fn find_taker(
        &mut self,
        now: Mono,
        slot: AgentSlot,
        served: &[ClientSlot],
        tally: &mut Tally,
    ) -> Option<Found> {
        let (mut settled, mut left_out) = (Vec::new(), Vec::new());
        let mut found = None;
        let mut is_kept_back = false;
        let withheld = self.filters.withheld(slot);
        for client in self.in_order().filter(|client| !served.contains(&client.slot)) {
            if withheld.is_some_and(|withheld| withheld.contains(client.slot.0)) {
                if served.is_empty() {
                    tally.look(client, Some(WhyKind::Filtered));
                }
                continue;
            }
            if self.agents.get(slot).is_some_and(|agent| agent.left_out.contains(client.slot.0)) {
                if served.is_empty() {
                    tally.look(client, Some(WhyKind::Constrained));
                }
                continue;
            }
            match self.candidate(now, client, slot) {
                Ok(candidate) => {
                    is_kept_back |= candidate.is_cut;
                    let resources = match candidate.resources {
                        Cow::Borrowed(_) => None,
                        Cow::Owned(resources) => Some(Arc::new(resources)),
                    };
                    found = Some(Found { client, resources });
                    break;
                }
                Err(refused) => {
                    if served.is_empty() {
                        tally.look(client, Some(refused.why.kind()));
                    }
                    is_kept_back |= refused.is_cut;
                    if refused.why == Why::Constrained {
                        left_out.push(client.slot);
                    }
                    if refused.settled {
                        settled.push(client.slot);
                    }
                }
            }
        }
        if let Some(agent) = self.agents.get(slot) {
            settled.into_iter().for_each(|client| self.filters.settle(slot, client, &agent.free));
        }
        self.remember_left_out(slot, left_out);
        if is_kept_back {
            self.kept_back.insert(slot);
        }
        found
    }

    /// The clients in the policy's order, those that are late after all others.
    fn in_order(&self) -> impl Iterator<Item = Client> + '_ {
        let is_late = |client: &Client| self.late.contains(client.slot.0);
        let late = (!self.late.is_empty()).then(|| self.policy.order().filter(is_late));
        self.policy.order().filter(move |client| !is_late(client)).chain(late.into_iter().flatten())
    }

    fn give(&mut self, slot: AgentSlot, found: Found, plan: &mut Plan) {
        let Found { client, resources } = found;
        let names =
            (self.frameworks.key(client.framework), self.roles.key(client.role), self.agents.get(slot));
        let (Some(framework), Some(role), Some(agent)) = names else { return };
        let Some(id) = self.agents.key(slot) else { return };
        let (framework, role, agent_id) = (framework.clone(), role.clone(), id.clone());
        let (resources, counted) = match resources {
            None => {
                let all = (agent.free.clone(), agent.counted.clone());
                let nothing = self.nothing.clone();
                self.put_free(slot, nothing);
                all
            }
            Some(part) => {
                // What is shared stays there for the next one.
                let Ok(left) = agent.free.checked_sub(&part.unshared()) else { return };
                self.put_free(slot, Arc::new(left));
                self.sharing.insert((client.slot, slot), &part);
                let counted = self.names.charged(&part);
                (part, counted)
            }
        };
        self.charge_client(client, counted, 1);
        let offer = PlannedOffer { framework, role, agent: agent_id, resources };
        plan.offers.push(offer);
    }
}
