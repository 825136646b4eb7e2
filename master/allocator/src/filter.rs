//! What a framework has refused, and for how long it is not offered again.

mod at_agent;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chapada_model::{Mono, Resources};

use crate::bits::Bits;
use crate::{AgentSlot, ClientSlot};
use at_agent::{AgentFilters, Filter};

/// A refusal lasts at least so long, as Mesos' allocation interval has it.
pub const LEAST_REFUSAL: Duration = Duration::from_secs(1);

/// The first hold after a decline that asked for none. It doubles with each further one, up to [`LEAST_REFUSAL`]: those
/// who decline everything for zero seconds may not keep the master busy.
const FIRST_HOLD: Duration = Duration::from_millis(10);

/// Doublings after which a hold has reached [`LEAST_REFUSAL`].
const MOST_DOUBLINGS: u32 = 7;

/// How a framework gave resources back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It used a part and may be offered the rest again after this time; at once when zero.
    Leftover(Duration),
    /// It wanted nothing of it for this time.
    Declined(Duration),
    /// It said nothing, and is passed over for this time, or until it answers again.
    Unanswered(Duration),
}

/// The refusals at all agents.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters {
    by_agent: Vec<Option<Box<AgentFilters>>>,
    by_client: Vec<BTreeSet<AgentSlot>>,
    expiries: BTreeSet<(Mono, AgentSlot, ClientSlot)>,
    len: usize,
}

impl Filters {
    /// Notes a refusal of an agent at which this is free now. An older one of the same client is replaced.
    pub(crate) fn refuse(
        &mut self,
        now: Mono,
        (agent, client): (AgentSlot, ClientSlot),
        (refused, free): (Arc<Resources>, &Arc<Resources>),
        refusal: Refusal,
    ) {
        let holds = self.find(agent, client).map_or(0, |filter| filter.holds);
        self.remove(agent, client);
        let (lasts, holds) = match refusal {
            Refusal::Leftover(Duration::ZERO) => return,
            Refusal::Leftover(asked) => (asked.max(LEAST_REFUSAL), 0),
            Refusal::Declined(Duration::ZERO) => {
                let hold = FIRST_HOLD.saturating_mul(1 << holds.min(MOST_DOUBLINGS));
                (hold.min(LEAST_REFUSAL), (holds + 1).min(MOST_DOUBLINGS))
            }
            Refusal::Declined(asked) | Refusal::Unanswered(asked) => (asked.max(LEAST_REFUSAL), 0),
        };
        let is_unanswered = matches!(refusal, Refusal::Unanswered(_));
        let filter = Filter { refused, since: now, until: now + lasts, holds, is_unanswered };
        self.expiries.insert((filter.until, agent, client));
        let index = agent.0 as usize;
        if self.by_agent.len() <= index {
            self.by_agent.resize(index + 1, None);
        }
        self.by_agent[index]
            .get_or_insert_with(|| Box::new(AgentFilters::new(free)))
            .insert(client, filter, free);
        let index = client.0 as usize;
        if self.by_client.len() <= index {
            self.by_client.resize(index + 1, BTreeSet::new());
        }
        self.by_client[index].insert(agent);
        self.len += 1;
    }

    /// Since and until when the client does not want these resources; `None` when it may be offered them.
    pub(crate) fn withholds(
        &self,
        now: Mono,
        (agent, client): (AgentSlot, ClientSlot),
        offered: &Resources,
    ) -> Option<(Mono, Mono)> {
        let filter = self.find(agent, client)?;
        (filter.until > now && filter.refused.contains(offered)).then_some((filter.since, filter.until))
    }

    /// The clients that are known to have refused all they could be offered of what is free. Others may have, too.
    pub(crate) fn withheld(&self, agent: AgentSlot) -> Option<&Bits> {
        Some(&self.at(agent)?.withheld)
    }

    /// A client was found to have refused all it could be offered of what is free: it need not be asked again.
    pub(crate) fn settle(&mut self, agent: AgentSlot, client: ClientSlot, free: &Arc<Resources>) {
        if let Some(Some(filters)) = self.by_agent.get_mut(agent.0 as usize) {
            filters.settle(client, free);
        }
    }

    /// So much is free at the agent now.
    pub(crate) fn on_free(&mut self, agent: AgentSlot, free: &Arc<Resources>) {
        if let Some(Some(filters)) = self.by_agent.get_mut(agent.0 as usize) {
            filters.on_free(free);
        }
    }

    /// The agents at which a refusal has ended since the last time.
    ///
    /// A hold is remembered for another [`LEAST_REFUSAL`] after its end, so that the next one can be longer.
    pub(crate) fn expire(&mut self, now: Mono) -> BTreeSet<AgentSlot> {
        let mut agents = BTreeSet::new();
        while let Some(&(at, agent, client)) = self.expiries.first().filter(|(at, ..)| *at <= now) {
            self.expiries.pop_first();
            let Some(Some(filters)) = self.by_agent.get_mut(agent.0 as usize) else { continue };
            let Some(filter) = filters.get(client) else { continue };
            let (ends, is_hold) = (at == filter.until, filter.holds > 0);
            if ends {
                filters.end(client);
                agents.insert(agent);
            }
            if ends && is_hold {
                self.expiries.insert((at + LEAST_REFUSAL, agent, client));
            } else {
                self.remove(agent, client);
            }
        }
        agents
    }

    /// When the next refusal ends.
    pub(crate) fn next_expiry(&self) -> Option<Mono> {
        self.expiries.first().map(|(at, ..)| *at)
    }

    /// How many refusals are remembered.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Forgets all refusals at an agent.
    pub(crate) fn clear_agent(&mut self, agent: AgentSlot) {
        let clients: Vec<ClientSlot> = self.at(agent).map(|at| at.clients().collect()).unwrap_or_default();
        for client in clients {
            self.remove(agent, client);
        }
    }

    /// Forgets all that a client refused.
    pub(crate) fn clear_client(&mut self, client: ClientSlot) {
        let agents = self.by_client.get_mut(client.0 as usize).map(std::mem::take).unwrap_or_default();
        for agent in agents {
            self.remove(agent, client);
        }
    }

    /// Forgets what a client was passed over for because it said nothing.
    pub(crate) fn forgive(&mut self, client: ClientSlot) {
        let agents = self.by_client.get(client.0 as usize).into_iter().flatten().copied();
        let unanswered =
            |agent: &AgentSlot| self.find(*agent, client).is_some_and(|filter| filter.is_unanswered);
        let agents: Vec<AgentSlot> = agents.filter(unanswered).collect();
        for agent in agents {
            self.remove(agent, client);
        }
    }

    fn at(&self, agent: AgentSlot) -> Option<&AgentFilters> {
        self.by_agent.get(agent.0 as usize)?.as_deref()
    }

    fn find(&self, agent: AgentSlot, client: ClientSlot) -> Option<&Filter> {
        self.at(agent)?.get(client)
    }

    fn remove(&mut self, agent: AgentSlot, client: ClientSlot) {
        let Some(place) = self.by_agent.get_mut(agent.0 as usize) else { return };
        let Some(filter) = place.as_mut().and_then(|filters| filters.remove(client)) else { return };
        if place.as_ref().is_some_and(|filters| filters.is_empty()) {
            *place = None;
        }
        self.len -= 1;
        self.expiries.remove(&(filter.until, agent, client));
        self.expiries.remove(&(filter.until + LEAST_REFUSAL, agent, client));
        if let Some(agents) = self.by_client.get_mut(client.0 as usize) {
            agents.remove(&agent);
        }
    }
}
