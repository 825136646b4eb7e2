//! What is known of agents: the last offer seen of each. What it says may have passed; when it was seen is kept with it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use chapada_model::{AgentId, Mono, Now, Range, Ranges, Resource, Resources, Role};
use chapada_sdk_core::{Offer, Request};

use super::Services;
use crate::id::AppId;
use crate::instance::Task;
use crate::matching::request;
use crate::timestamp::Timestamp;

/// The most agents of which an offer is kept, each in about a kilobyte: as many as a master carries.
const MAX_KNOWN: usize = 50_000;
/// How long after it was asked for everything the master has offered all there is. An agent that was not offered by then
/// is full, held by others or gone.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// How long an agent is remembered that is not offered any more.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// What was last offered of an agent, less what was taken of it.
#[derive(Clone, Debug)]
pub struct KnownOffer {
    /// What was left.
    pub offer: Arc<Offer>,
    /// When it was made.
    pub at: Timestamp,
    /// Whether something was launched with it; else it was declined.
    pub used: bool,
    pub(crate) seen: Mono,
}

/// By role, for each is offered what it may have.
#[derive(Debug, Default)]
pub(super) struct KnownOffers(BTreeMap<Role, OfRole>);

#[derive(Debug, Default)]
struct OfRole {
    agents: BTreeMap<AgentId, KnownOffer>,
    /// When the master was asked for everything, while answers may still be on their way; and the last time since.
    asked: Option<Mono>,
    asked_again: Option<Mono>,
    /// What was not seen since is not offered any more.
    settled: Mono,
}

impl KnownOffers {
    /// Notes what is left of an offer that was just answered.
    pub(super) fn note(&mut self, now: Now, offer: Offer, used: bool) {
        let full = self.0.values().map(|of_role| of_role.agents.len()).sum::<usize>() >= MAX_KNOWN;
        let of_role = self.0.entry(offer.role.clone()).or_default();
        if full && !of_role.agents.contains_key(&offer.agent) {
            return;
        }
        let agent = offer.agent.clone();
        let at = Timestamp::from(now.wall);
        of_role.agents.insert(agent, KnownOffer { offer: Arc::new(offer), at, used, seen: now.mono });
    }

    /// The master was asked for everything it has for these roles.
    pub(super) fn on_asked(&mut self, now: Mono, roles: impl Fn(&Role) -> bool) {
        self.0.iter_mut().filter(|(role, _)| roles(role)).for_each(|(_, of_role)| of_role.on_asked(now));
    }

    /// Something that ran on the agent is free again, and no offer will say so.
    pub(super) fn give_back(&mut self, role: &str, agent: &AgentId, resources: &Resources) {
        let of_role = self.0.iter_mut().find(|(known, _)| known.as_str() == role);
        let Some(known) = of_role.and_then(|(_, of_role)| of_role.agents.get_mut(agent)) else { return };
        let back = resources.allocated_to(&known.offer.role);
        if let Ok(resources) = known.offer.resources.checked_add(&back) {
            known.offer = Arc::new(Offer { resources, ..Offer::clone(&known.offer) });
        }
    }

    /// What is offered to the role as far as is known, in the order of the agents' ids.
    pub(super) fn current(&self, now: Mono, role: &Role) -> impl Iterator<Item = &KnownOffer> {
        let since = self.since(now, role);
        self.after(role, None).map(|(_, known)| known).filter(move |known| known.seen >= since)
    }

    /// What was not seen since then is not offered to the role any more.
    pub(super) fn since(&self, now: Mono, role: &Role) -> Mono {
        self.0.get(role).map(|of_role| of_role.settled_by(now)).unwrap_or_default()
    }

    /// All that was ever offered to the role, of agents after this one.
    pub(super) fn after<'a>(
        &'a self,
        role: &Role,
        agent: Option<&AgentId>,
    ) -> impl Iterator<Item = (&'a AgentId, &'a KnownOffer)> + use<'a> {
        let from = agent.map_or(Bound::Unbounded, |agent| Bound::Excluded(agent.clone()));
        let of_role = self.0.get(role).into_iter();
        of_role.flat_map(move |of_role| of_role.agents.range((from.clone(), Bound::Unbounded)))
    }

    /// How many agents were offered to the role once and are not any more.
    pub(super) fn absent(&self, now: Mono, role: &Role) -> usize {
        self.0.get(role).map_or(0, |of_role| of_role.agents.len()) - self.current(now, role).count()
    }

    /// When an offer to the role was last seen.
    pub(super) fn newest(&self, role: &Role) -> Option<Timestamp> {
        self.after(role, None).map(|(_, known)| known.at).max()
    }

    /// Whether no agent is known at all.
    pub(super) fn is_empty(&self) -> bool {
        self.0.values().all(|of_role| of_role.agents.is_empty())
    }
}

impl OfRole {
    fn on_asked(&mut self, now: Mono) {
        let settled = self.settled_by(now);
        if settled > self.settled {
            (self.settled, self.asked) = (settled, self.asked_again.take().filter(|again| *again > settled));
            self.agents.retain(|_, known| known.seen >= settled || now < known.seen + REMEMBERED);
        }
        match self.asked {
            Some(_) => self.asked_again = Some(now),
            None => self.asked = Some(now),
        }
    }

    fn settled_by(&self, now: Mono) -> Mono {
        let answered = |asked: &Mono| now >= *asked + ANSWERED_WITHIN;
        self.asked_again.filter(answered).or(self.asked.filter(answered)).unwrap_or(self.settled)
    }
}

impl Services {
    /// A task has ended. While offers are wanted one of them says what is free now; else it is counted here.
    pub(super) fn note_freed(&mut self, app: &AppId, task: &Task) {
        let Some(state) = self.apps.get(app).filter(|_| !self.demand.is_wanted()) else { return };
        let definition =
            state.versions.get(&task.version).map_or(&state.app.definition, |app| &app.definition);
        // What a resident app had is its own still.
        if definition.is_resident() {
            return;
        }
        self.known.give_back(&definition.role, &task.agent, &taken(&request(definition), &task.ports));
    }
}

/// What a task took of its offer, as far as its definition and its ports say.
pub(super) fn taken(request: &Request, ports: &[u16]) -> Resources {
    let Request { cpus, mem, disk, gpus, .. } = request;
    let amounts = [("cpus", cpus), ("mem", mem), ("disk", disk), ("gpus", gpus)];
    let amounts = amounts.into_iter().filter(|(_, amount)| !amount.is_zero());
    let single = |port: &u16| Range { begin: u64::from(*port), end: u64::from(*port) };
    let ports = Ranges::new(ports.iter().filter(|port| **port != 0).map(single));
    let ports = (ports.count() > 0).then(|| Resource::ranges("ports", ports));
    let all = amounts.map(|(name, amount)| Resource::scalar(name, *amount)).chain(ports);
    Resources::from_list(all).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use chapada_model::{Milli, Resource, Wall};

    use super::*;

    fn at(seconds: u64) -> Now {
        Now { mono: Mono(seconds * 1_000_000_000), wall: Wall(seconds * 1_000_000_000) }
    }

    fn offer(agent: &str, cpus: u64) -> Offer {
        let resources = Resources::from_list([Resource::scalar("cpus", Milli::whole(cpus))]).unwrap();
        Offer::new("o".parse().unwrap(), agent.parse().unwrap(), agent, resources)
    }

    fn seen(known: &KnownOffers, now: Now) -> Vec<(String, Milli)> {
        let named = |known: &KnownOffer| (known.offer.hostname.to_string(), known.offer.resources.cpus());
        known.current(now.mono, &Role::star()).map(named).collect()
    }

    #[test]
    fn the_newest_of_each_agent_counts_and_who_is_not_offered_any_more_does_not() {
        let mut known = KnownOffers::default();
        known.on_asked(at(1).mono, |_| true);
        known.note(at(1), offer("a", 1), false);
        known.note(at(1), offer("b", 1), false);
        known.note(at(2), offer("a", 3), true);
        let both = [("a".to_owned(), Milli::whole(3)), ("b".to_owned(), Milli::whole(1))];
        assert_eq!(seen(&known, at(3)), both);
        known.on_asked(at(100).mono, |_| true);
        assert_eq!(seen(&known, at(101)), both, "answers may be on their way");
        known.note(at(101), offer("b", 2), false);
        assert_eq!(seen(&known, at(105)), [("b".to_owned(), Milli::whole(2))]);
        assert_eq!(
            (known.absent(at(105).mono, &Role::star()), known.newest(&Role::star())),
            (1, Some(at(101).wall.into()))
        );
    }

    #[test]
    fn asking_again_and_again_does_not_keep_an_agent_alive_that_is_gone() {
        let mut known = KnownOffers::default();
        known.note(at(1), offer("a", 1), false);
        for second in 10..30 {
            known.on_asked(at(second).mono, |_| true);
        }
        assert_eq!(seen(&known, at(30)), []);
        known.on_asked(at(5_000).mono, |_| true);
        known.on_asked(at(5_010).mono, |_| true);
        assert_eq!(known.absent(at(5_020).mono, &Role::star()), 0, "nor is it remembered for ever");
    }

    #[test]
    fn what_ended_is_free_again() {
        let mut known = KnownOffers::default();
        known.note(at(1), offer("a", 1), true);
        let back = Resources::from_list([Resource::scalar("cpus", Milli(500))]).unwrap();
        known.give_back("*", &"a".parse().unwrap(), &back);
        known.give_back("*", &"b".parse().unwrap(), &back);
        assert_eq!(seen(&known, at(1)), [("a".to_owned(), Milli(1_500))]);
    }
}
