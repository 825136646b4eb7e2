//! The predicates: may this client be offered what this agent has free? Plans and explanations ask the same ones.

use std::borrow::Cow;

use chapada_model::{FrameworkCapability, Mono, Resource, Resources};

use crate::agent::Agent;
use crate::framework::Framework;
use crate::quota::{Cut, Trimmed};
use crate::{AgentSlot, Allocator, Amounts, Client, Why};

/// Why a client is offered nothing, since when, and whether that stays so however little is free.
pub(crate) struct Refused {
    pub(crate) why: Why,
    pub(crate) since: Mono,
    /// Whether a refusal of its own is what stands in the way, quota apart.
    pub(crate) settled: bool,
    /// Whether quota left something out, so that it may be another answer when quota makes room.
    pub(crate) is_cut: bool,
}

impl Refused {
    fn new(why: Why, since: Mono) -> Self {
        Self { why, since, settled: false, is_cut: false }
    }
}

/// What a client would be offered.
pub(crate) struct Candidate<'a> {
    pub(crate) resources: Cow<'a, Resources>,
    /// Whether quota left something out.
    pub(crate) is_cut: bool,
}

impl Allocator {
    /// What the client would be offered of the agent, or why it is offered nothing.
    pub(crate) fn candidate(
        &self,
        now: Mono,
        client: Client,
        slot: AgentSlot,
    ) -> Result<Candidate<'_>, Refused> {
        let refused = Refused::new;
        let framework = self.frameworks.get(client.framework);
        let Some(framework) = framework else { return Err(refused(Why::Disconnected, self.now)) };
        let record = self.clients.get(client.slot).filter(|record| record.named && framework.active);
        let record = record.ok_or(refused(Why::Disconnected, framework.since))?;
        if record.suppressed {
            return Err(refused(Why::Suppressed, record.since));
        }
        let Some(agent) = self.agents.get(slot) else { return Err(refused(Why::AgentInactive, self.now)) };
        if !agent.active {
            return Err(refused(Why::AgentInactive, agent.since));
        }
        let met = framework.since.max(agent.since);
        if let Some(capability) = self.missing(framework, agent) {
            return Err(refused(Why::NotCapable(capability), met));
        }
        if record.constraints.as_ref().is_some_and(|constraints| !constraints.allow(&agent.input)) {
            return Err(refused(Why::Constrained, met));
        }
        let resources = self.for_client(client, framework, (slot, agent));
        if resources.is_empty() {
            return Err(refused(Why::NothingFree, agent.free_since));
        }
        let minimum = record.minimum.as_ref().unwrap_or(&self.minimum);
        let is_enough = match &resources {
            Cow::Borrowed(_) => reaches(&agent.counted.all, minimum),
            Cow::Owned(part) => reaches(&self.names.known(part), minimum),
        };
        if !is_enough {
            return Err(refused(Why::BelowMinimum, agent.free_since));
        }
        if let Some((since, until)) = self.filters.withholds(now, (slot, client.slot), &resources) {
            return Err(Refused { settled: true, ..refused(Why::FilteredUntil(until), since) });
        }
        let Trimmed { resources, cut } = self.trim(client, resources);
        let Some(cut) = cut else { return Ok(Candidate { resources, is_cut: false }) };
        if resources.is_empty() || !reaches(&self.names.known(&resources), minimum) {
            let why = match cut {
                Cut::Limit => Why::OverLimit,
                Cut::Owed => Why::KeptForGuarantees,
            };
            return Err(Refused { is_cut: true, ..refused(why, agent.free_since) });
        }
        match self.filters.withholds(now, (slot, client.slot), &resources) {
            Some((since, until)) => {
                Err(Refused { is_cut: true, ..refused(Why::FilteredUntil(until), since) })
            }
            None => Ok(Candidate { resources, is_cut: true }),
        }
    }

    /// What a framework must be able to do for this agent, and is not.
    fn missing(&self, framework: &Framework, agent: &Agent) -> Option<FrameworkCapability> {
        if self.keeps_gpus && agent.has_gpus && !framework.can(FrameworkCapability::GpuResources) {
            return Some(FrameworkCapability::GpuResources);
        }
        let is_far = match (&self.region, &agent.input.domain) {
            (Some(ours), Some(domain)) => *ours != domain.region,
            (Some(_) | None, _) => false,
        };
        let aware = FrameworkCapability::RegionAware;
        (is_far && !framework.can(aware)).then_some(aware)
    }

    /// What is free and for this client: not reserved for others, nothing it does not understand, nothing shared that it is
    /// offered already.
    fn for_client<'a>(
        &self,
        client: Client,
        framework: &Framework,
        (slot, agent): (AgentSlot, &'a Agent),
    ) -> Cow<'a, Resources> {
        if agent.plain {
            return Cow::Borrowed(&agent.free);
        }
        let Some(role) = self.roles.key(client.role) else { return Cow::Owned(Resources::EMPTY) };
        let understands = |resource: &Resource| {
            (!resource.revocable || framework.can(FrameworkCapability::RevocableResources))
                && (!resource.shared || framework.can(FrameworkCapability::SharedResources))
                && (resource.reservations.len() < 2
                    || framework.can(FrameworkCapability::ReservationRefinement))
        };
        let is_on_offer =
            |resource: &Resource| resource.shared && self.sharing.has((client.slot, slot), resource);
        let fits =
            |resource: &Resource| resource.is_for(role) && understands(resource) && !is_on_offer(resource);
        Cow::Owned(agent.free.filter(fits))
    }

    fn trim<'a>(&self, client: Client, resources: Cow<'a, Resources>) -> Trimmed<'a> {
        match self.roles.get(client.role) {
            Some(role) if self.quotas.is_used() => self.quotas.trim(&role.path, resources, &self.names),
            Some(_) | None => Trimmed { resources, cut: None },
        }
    }
}

/// Whether amounts reach any one of the minimums; an empty list is reached by anything.
fn reaches(amounts: &Amounts, minimums: &[Amounts]) -> bool {
    minimums.is_empty() || minimums.iter().any(|minimum| amounts.contains(minimum))
}
