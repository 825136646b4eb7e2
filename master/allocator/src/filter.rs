//! What a framework has refused, and for how long it is not offered again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chapada_model::{Mono, Resources};

use crate::{AgentSlot, Client};

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
}

#[derive(Clone, Debug)]
struct Filter {
    refused: Resources,
    until: Mono,
    /// How many declines for zero seconds came in a row.
    holds: u32,
}

/// The refusals at all agents.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters {
    by_agent: BTreeMap<AgentSlot, BTreeMap<Client, Filter>>,
    expiries: BTreeSet<(Mono, AgentSlot, Client)>,
}

impl Filters {
    /// Notes a refusal. An older one of the same client at the same agent is replaced.
    pub(crate) fn refuse(
        &mut self,
        now: Mono,
        agent: AgentSlot,
        client: Client,
        refused: &Resources,
        refusal: Refusal,
    ) {
        let holds = self
            .by_agent
            .get(&agent)
            .and_then(|filters| filters.get(&client))
            .map_or(0, |filter| filter.holds);
        self.remove(agent, client);
        let (lasts, holds) = match refusal {
            Refusal::Leftover(Duration::ZERO) => return,
            Refusal::Leftover(asked) => (asked.max(LEAST_REFUSAL), 0),
            Refusal::Declined(Duration::ZERO) => {
                let hold = FIRST_HOLD.saturating_mul(1 << holds.min(MOST_DOUBLINGS));
                (hold.min(LEAST_REFUSAL), (holds + 1).min(MOST_DOUBLINGS))
            }
            Refusal::Declined(asked) => (asked.max(LEAST_REFUSAL), 0),
        };
        let filter = Filter { refused: refused.clone(), until: now + lasts, holds };
        self.expiries.insert((filter.until, agent, client));
        self.by_agent.entry(agent).or_default().insert(client, filter);
    }

    /// Until when the client does not want these resources; `None` when it may be offered them.
    pub(crate) fn until(
        &self,
        now: Mono,
        agent: AgentSlot,
        client: Client,
        offered: &Resources,
    ) -> Option<Mono> {
        let filter = self.by_agent.get(&agent)?.get(&client)?;
        (filter.until > now && filter.refused.contains(offered)).then_some(filter.until)
    }

    /// The agents at which a refusal has ended since the last time.
    ///
    /// A hold is remembered for another [`LEAST_REFUSAL`] after its end, so that the next one can be longer.
    pub(crate) fn expire(&mut self, now: Mono) -> BTreeSet<AgentSlot> {
        let mut agents = BTreeSet::new();
        while let Some(&(at, agent, client)) = self.expiries.first().filter(|(at, ..)| *at <= now) {
            self.expiries.pop_first();
            let Some(filters) = self.by_agent.get_mut(&agent) else { continue };
            let Some(filter) = filters.get(&client) else { continue };
            if at == filter.until {
                agents.insert(agent);
            }
            if filter.holds > 0 && at == filter.until {
                self.expiries.insert((at + LEAST_REFUSAL, agent, client));
            } else {
                filters.remove(&client);
                if filters.is_empty() {
                    self.by_agent.remove(&agent);
                }
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
        self.by_agent.values().map(BTreeMap::len).sum()
    }

    /// Forgets all refusals at an agent.
    pub(crate) fn clear_agent(&mut self, agent: AgentSlot) {
        for (client, filter) in self.by_agent.remove(&agent).unwrap_or_default() {
            self.unqueue(agent, client, &filter);
        }
    }

    /// Forgets all refusals of clients for which this holds. Visits every refusal.
    pub(crate) fn clear_clients(&mut self, matches: impl Fn(Client) -> bool) {
        let found: Vec<(AgentSlot, Client)> = self
            .by_agent
            .iter()
            .flat_map(|(agent, filters)| filters.keys().map(|client| (*agent, *client)))
            .filter(|(_, client)| matches(*client))
            .collect();
        for (agent, client) in found {
            self.remove(agent, client);
        }
    }

    fn remove(&mut self, agent: AgentSlot, client: Client) {
        let Some(filters) = self.by_agent.get_mut(&agent) else { return };
        let Some(filter) = filters.remove(&client) else { return };
        if filters.is_empty() {
            self.by_agent.remove(&agent);
        }
        self.unqueue(agent, client, &filter);
    }

    fn unqueue(&mut self, agent: AgentSlot, client: Client, filter: &Filter) {
        self.expiries.remove(&(filter.until, agent, client));
        self.expiries.remove(&(filter.until + LEAST_REFUSAL, agent, client));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FrameworkSlot, RoleSlot};

    const AGENT: AgentSlot = AgentSlot(0);
    const CLIENT: Client = Client { role: RoleSlot(0), framework: FrameworkSlot(0) };

    fn resources(text: &str) -> Resources {
        text.parse().unwrap()
    }

    #[test]
    fn the_same_or_less_is_withheld_and_more_is_not() {
        let mut filters = Filters::default();
        let refusal = Refusal::Declined(Duration::from_secs(5));
        filters.refuse(Mono(0), AGENT, CLIENT, &resources("cpus:2;mem:10"), refusal);
        let until = Mono(0) + Duration::from_secs(5);
        assert_eq!(filters.until(Mono(1), AGENT, CLIENT, &resources("cpus:2;mem:10")), Some(until));
        assert_eq!(filters.until(Mono(1), AGENT, CLIENT, &resources("cpus:1")), Some(until));
        assert_eq!(filters.until(Mono(1), AGENT, CLIENT, &resources("cpus:3;mem:10")), None);
        assert_eq!(filters.until(until, AGENT, CLIENT, &resources("cpus:1")), None);
        assert_eq!(filters.expire(until).len(), 1);
        assert_eq!((filters.len(), filters.next_expiry()), (0, None));
    }

    #[test]
    fn a_refusal_lasts_at_least_a_second() {
        let mut filters = Filters::default();
        let refusal = Refusal::Declined(Duration::from_millis(1));
        filters.refuse(Mono(0), AGENT, CLIENT, &resources("cpus:1"), refusal);
        assert_eq!(filters.next_expiry(), Some(Mono(0) + LEAST_REFUSAL));
    }

    #[test]
    fn declining_for_zero_seconds_again_and_again_slows_down() {
        let mut filters = Filters::default();
        let mut now = Mono(0);
        let mut waits = Vec::new();
        for _ in 0..10 {
            filters.refuse(now, AGENT, CLIENT, &resources("cpus:1"), Refusal::Declined(Duration::ZERO));
            let until = filters.until(now, AGENT, CLIENT, &resources("cpus:1")).unwrap();
            waits.push(until.since(now).as_millis());
            filters.expire(until);
            now = until;
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000]);
        filters.expire(now + LEAST_REFUSAL);
        assert_eq!(filters.len(), 0);
    }

    #[test]
    fn what_is_left_of_an_accepted_offer_comes_back_at_once_when_asked() {
        let mut filters = Filters::default();
        filters.refuse(Mono(0), AGENT, CLIENT, &resources("cpus:1"), Refusal::Leftover(Duration::ZERO));
        assert_eq!(filters.until(Mono(0), AGENT, CLIENT, &resources("cpus:1")), None);
    }

    #[test]
    fn clearing_leaves_nothing_behind() {
        let mut filters = Filters::default();
        filters.refuse(Mono(0), AGENT, CLIENT, &resources("cpus:1"), Refusal::Declined(Duration::ZERO));
        filters.expire(Mono(0) + FIRST_HOLD);
        filters.clear_clients(|client| client == CLIENT);
        assert_eq!((filters.len(), filters.next_expiry()), (0, None));
    }
}
