//! The predicates: may this client be offered what this agent has free? Plans and explanations ask the same ones.

use std::borrow::Cow;

use chapada_model::{FrameworkCapability, Milli, Mono, Quantities, Resource, Resources};

use crate::agent::Agent;
use crate::framework::Framework;
use crate::{AgentSlot, Allocator, Client, Why};

impl Allocator {
    /// What the client would be offered of the agent, or why it is offered nothing.
    pub(crate) fn candidate(
        &self,
        now: Mono,
        client: Client,
        slot: AgentSlot,
    ) -> Result<Cow<'_, Resources>, Why> {
        let framework = self.frameworks.get(client.framework).filter(|framework| framework.active);
        let framework = framework.ok_or(Why::Disconnected)?;
        let state = framework.roles.get(&client.role).ok_or(Why::Disconnected)?;
        if state.suppressed {
            return Err(Why::Suppressed);
        }
        let agent = self.agents.get(slot).filter(|agent| agent.active).ok_or(Why::AgentInactive)?;
        if agent.has_gpus() && !framework.can(FrameworkCapability::GpuResources) {
            return Err(Why::NotCapable(FrameworkCapability::GpuResources));
        }
        let resources = self.for_client(client, framework, agent)?;
        if resources.is_empty() {
            return Err(Why::NothingFree);
        }
        let minimum = state.minimum.as_ref().unwrap_or(&self.minimum);
        if !reaches(&resources, minimum) {
            return Err(Why::BelowMinimum);
        }
        match self.filters.until(now, slot, client, &resources) {
            Some(until) => Err(Why::FilteredUntil(until)),
            None => Ok(resources),
        }
    }

    /// What is free and for this client: not reserved for others, nothing it does not understand.
    fn for_client<'a>(
        &self,
        client: Client,
        framework: &Framework,
        agent: &'a Agent,
    ) -> Result<Cow<'a, Resources>, Why> {
        if agent.plain {
            return Ok(Cow::Borrowed(&agent.free));
        }
        let role = self.roles.key(client.role).ok_or(Why::Disconnected)?;
        let understands = |resource: &Resource| {
            (!resource.revocable || framework.can(FrameworkCapability::RevocableResources))
                && (!resource.shared || framework.can(FrameworkCapability::SharedResources))
                && (resource.reservations.len() < 2
                    || framework.can(FrameworkCapability::ReservationRefinement))
        };
        Ok(Cow::Owned(agent.free.filter(|resource| resource.is_for(role) && understands(resource))))
    }
}

/// Whether resources reach any one of the minimums; an empty list is reached by anything.
fn reaches(resources: &Resources, minimums: &[Quantities]) -> bool {
    let reaches_one = |minimum: &Quantities| {
        minimum.iter().all(|(name, amount)| amount == Milli::ZERO || resources.scalar(name) >= amount)
    };
    minimums.is_empty() || minimums.iter().any(reaches_one)
}
