//! What waits for the registry, and who waits: asked for by name with every event of a mass return, when tens of thousands wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chapada_model::{AgentDescription, AgentId, FrameworkId, MachineId, Milli, Role, Text, Wall};

use crate::holdings::Stated;
use crate::index::Groups;
use crate::{Drain, DrainPlan, Effect, LinkId, Machine, Quota, StreamId, Ticket};

/// What happens once a change is durable.
#[derive(Clone, Debug)]
pub(crate) enum Pending {
    /// An agent is told that it is registered.
    Admit { agent: AgentId, link: LinkId, description: Arc<AgentDescription>, stated: Box<Stated> },
    /// A framework is told that it is subscribed.
    Subscribe { framework: FrameworkId, stream: StreamId, is_new: bool },
    /// A framework is answered, by the shell.
    Update { framework: FrameworkId },
    /// These agents are told to end what they run of a framework, and its farewell is carried out.
    Remove { framework: FrameworkId, agents: BTreeSet<AgentId>, farewell: Vec<Effect> },
    /// An agent's tasks are said to be unreachable.
    GiveUp { agent: AgentId, since: Wall },
    /// Quotas come into force.
    Quotas(Vec<(Role, Option<Quota>)>),
    /// Weights come into force.
    Weights(Vec<(Role, Milli)>),
    /// The maintenance of machines is this.
    Machines(Vec<(MachineId, Option<Machine>)>),
    /// What an operator said of an agent.
    Duty { agent: AgentId, deactivated: bool, drain: Option<Drain> },
    /// A drain of many is this, or is forgotten.
    Plan(Text, Option<DrainPlan>),
    /// An agent is given up for good.
    Gone { agent: AgentId, since: Wall },
}

/// What waits for the registry, by ticket, and the tickets of whom they are about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting {
    all: BTreeMap<Ticket, Pending>,
    named: Named,
}

/// The tickets of those who are asked for by name. Derived from what waits; the audit holds it against that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    /// Agents that are being admitted or given up; both can wait at once.
    standing: Groups<AgentId, Ticket>,
    subscriptions: Groups<FrameworkId, Ticket>,
    updates: Groups<FrameworkId, Ticket>,
    removals: Groups<FrameworkId, Ticket>,
}

/// One of these groups, and of whom the tickets in it are.
enum Group<'a> {
    OfAgent(&'a mut Groups<AgentId, Ticket>, &'a AgentId),
    OfFramework(&'a mut Groups<FrameworkId, Ticket>, &'a FrameworkId),
}

impl Named {
    /// Where the ticket of something that waits stands; nowhere when nobody asks for it by name.
    fn group_of<'a>(&'a mut self, pending: &'a Pending) -> Option<Group<'a>> {
        Some(match pending {
            Pending::Admit { agent, .. } | Pending::GiveUp { agent, .. } => {
                Group::OfAgent(&mut self.standing, agent)
            }
            Pending::Subscribe { framework, .. } => Group::OfFramework(&mut self.subscriptions, framework),
            Pending::Update { framework } => Group::OfFramework(&mut self.updates, framework),
            Pending::Remove { framework, .. } => Group::OfFramework(&mut self.removals, framework),
            Pending::Quotas(_)
            | Pending::Weights(_)
            | Pending::Machines(_)
            | Pending::Duty { .. }
            | Pending::Plan(..)
            | Pending::Gone { .. } => return None,
        })
    }

    fn insert(&mut self, ticket: Ticket, pending: &Pending) {
        match self.group_of(pending) {
            Some(Group::OfAgent(group, agent)) => group.insert(agent, ticket),
            Some(Group::OfFramework(group, framework)) => group.insert(framework, ticket),
            None => {}
        }
    }

    fn remove(&mut self, ticket: Ticket, pending: &Pending) {
        match self.group_of(pending) {
            Some(Group::OfAgent(group, agent)) => group.remove(agent, &ticket),
            Some(Group::OfFramework(group, framework)) => group.remove(framework, &ticket),
            None => {}
        }
    }
}

impl Waiting {
    pub(crate) fn insert(&mut self, ticket: Ticket, pending: Pending) {
        self.named.insert(ticket, &pending);
        self.all.insert(ticket, pending);
    }

    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<Pending> {
        let pending = self.all.remove(&ticket)?;
        self.named.remove(ticket, &pending);
        Some(pending)
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether an agent is on its way into the registry as admitted or as unreachable.
    pub(crate) fn has_standing_of(&self, agent: &AgentId) -> bool {
        self.named.standing.has(agent)
    }

    /// Whether a subscription of the framework is on its way into the registry.
    pub(crate) fn has_subscription_of(&self, framework: &FrameworkId) -> bool {
        self.named.subscriptions.has(framework)
    }

    /// The newest update of a framework that is not durable yet.
    pub(crate) fn last_update_of(&self, framework: &FrameworkId) -> Option<Ticket> {
        self.named.updates.iter(framework).next_back().copied()
    }

    /// Whether the removal of a framework is on its way into the registry.
    pub(crate) fn has_removal_of(&self, framework: &FrameworkId) -> bool {
        self.named.removals.has(framework)
    }

    /// Who is told once the removal of a framework is durable, and its farewell; nothing when none is on its way.
    pub(crate) fn removal_of(
        &mut self,
        framework: &FrameworkId,
    ) -> Option<(&mut BTreeSet<AgentId>, &mut Vec<Effect>)> {
        let ticket = *self.named.removals.iter(framework).next()?;
        self.removal(ticket)
    }

    /// As [`Waiting::removal_of`], of the one with this ticket.
    pub(crate) fn removal(&mut self, ticket: Ticket) -> Option<(&mut BTreeSet<AgentId>, &mut Vec<Effect>)> {
        match self.all.get_mut(&ticket) {
            Some(Pending::Remove { agents, farewell, .. }) => Some((agents, farewell)),
            Some(_) | None => None,
        }
    }

    /// Keeps of the farewells of all frameworks whose removal is on its way into the registry what is to be kept.
    pub(crate) fn retain_in_farewells(&mut self, mut keep: impl FnMut(&Effect) -> bool) {
        for ticket in self.named.removals.values() {
            if let Some(Pending::Remove { farewell, .. }) = self.all.get_mut(ticket) {
                farewell.retain(&mut keep);
            }
        }
    }

    /// All of it, for the audit.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pending> {
        self.all.values()
    }

    /// Whether the names are those of what waits, for the audit.
    pub(crate) fn is_named_right(&self) -> bool {
        let mut named = Named::default();
        self.all.iter().for_each(|(ticket, pending)| named.insert(*ticket, pending));
        named == self.named
    }

    /// Damage for the audit to see.
    #[cfg(test)]
    pub(crate) fn forget_names(&mut self) {
        self.named = Named::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(what: &str) -> Effect {
        Effect::Warn { what: what.to_owned() }
    }

    #[test]
    fn who_waits_twice_still_waits_when_one_of_both_is_recorded() {
        let id = AgentId::new("a").expect("valid");
        let mut waiting = Waiting::default();
        for ticket in [1, 2] {
            waiting.insert(Ticket(ticket), Pending::GiveUp { agent: id.clone(), since: Wall(0) });
        }
        assert!(waiting.take(Ticket(1)).is_some() && waiting.take(Ticket(1)).is_none());
        assert!(waiting.has_standing_of(&id) && waiting.is_named_right());
        assert!(waiting.take(Ticket(2)).is_some());
        assert!(!waiting.has_standing_of(&id) && waiting.is_named_right());
    }

    #[test]
    fn the_newest_update_and_the_first_removal_of_a_framework_are_found() {
        let id = FrameworkId::new("f").expect("valid");
        let mut waiting = Waiting::default();
        for ticket in [3, 4] {
            waiting.insert(Ticket(ticket), Pending::Update { framework: id.clone() });
        }
        for ticket in [5, 6] {
            let (agents, farewell) = (BTreeSet::new(), vec![note("a"), note("b")]);
            waiting.insert(Ticket(ticket), Pending::Remove { framework: id.clone(), agents, farewell });
        }
        assert_eq!(waiting.last_update_of(&id), Some(Ticket(4)));
        let (agents, _) = waiting.removal_of(&id).expect("is there");
        agents.insert(AgentId::new("a").expect("valid"));
        assert!(matches!(waiting.take(Ticket(5)), Some(Pending::Remove { agents, .. }) if agents.len() == 1));
        assert!(waiting.has_removal_of(&id) && !waiting.has_subscription_of(&id));
    }

    #[test]
    fn what_is_not_to_be_said_is_taken_out_of_every_farewell() {
        let mut waiting = Waiting::default();
        for ticket in 0..3 {
            let framework = FrameworkId::new(format!("f{}", ticket / 2)).expect("valid");
            let (agents, farewell) = (BTreeSet::new(), vec![note("a"), note("b")]);
            waiting.insert(
                Ticket(2 * ticket),
                Pending::Remove { framework: framework.clone(), agents, farewell },
            );
            waiting.insert(Ticket(2 * ticket + 1), Pending::Update { framework });
        }
        waiting.retain_in_farewells(|effect| *effect != note("a"));
        let farewells = waiting.iter().filter_map(|pending| match pending {
            Pending::Remove { farewell, .. } => Some(&farewell[..]),
            _ => None,
        });
        assert_eq!(farewells.collect::<Vec<_>>(), [[note("b")], [note("b")], [note("b")]]);
    }
}
