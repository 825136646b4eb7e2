//! Inverse offers: frameworks are asked to leave agents whose machines will be away, and say whether they will.
//!
//! A framework that has tasks or executors on such an agent has one inverse offer for it at a time. After its answer, whichever it
//! is, it is asked again when `refuse_seconds` have passed, for as long as it has something there. What it was asked is forgotten,
//! and it is asked anew, when the schedule changes. Source: Mesos' allocator.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chapada_model::{AgentId, Filters, FrameworkId, Mono, OfferId, Unavailability, Wall};

use crate::timers::Timer;
use crate::{AgentState, Master, SchedulerEvent};

/// Nobody is asked again sooner, whatever it says: nothing has changed.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// A request to leave an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InverseOffer {
    /// What it is answered by.
    pub id: OfferId,
    /// Who is asked.
    pub framework: FrameworkId,
    /// What it is to leave.
    pub agent: AgentId,
    /// When the machine will be away.
    pub unavailability: Unavailability,
}

/// What a framework answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InverseAnswer {
    /// Whether it will leave.
    pub will_leave: bool,
    /// When it said so.
    pub at: Wall,
}

#[derive(Clone, Debug)]
enum Asked {
    /// And has not answered.
    Outstanding(OfferId),
    /// And answered; not again before.
    Answered(Mono),
}

/// Who was asked to leave which agent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leaving {
    asked: BTreeMap<AgentId, BTreeMap<FrameworkId, Asked>>,
    /// Agents of which somebody may have to be asked.
    due: BTreeSet<AgentId>,
}

impl Leaving {
    /// How many pairs of agent and framework are remembered.
    pub(crate) fn asked(&self) -> usize {
        self.asked.values().map(BTreeMap::len).sum()
    }

    /// The outstanding ones, for the audit.
    pub(crate) fn outstanding(&self) -> BTreeSet<(&OfferId, &AgentId, &FrameworkId)> {
        let pairs =
            self.asked.iter().flat_map(|(agent, by)| by.iter().map(move |(by, asked)| (agent, by, asked)));
        let open = pairs.filter_map(|(agent, framework, asked)| match asked {
            Asked::Outstanding(id) => Some((id, agent, framework)),
            Asked::Answered(_) => None,
        });
        open.collect()
    }

    fn get(&self, agent: &AgentId, framework: &FrameworkId) -> Option<&Asked> {
        self.asked.get(agent)?.get(framework)
    }

    fn put(&mut self, agent: &AgentId, framework: &FrameworkId, asked: Asked) {
        self.asked.entry(agent.clone()).or_default().insert(framework.clone(), asked);
    }

    fn remove(&mut self, agent: &AgentId, framework: &FrameworkId) -> Option<Asked> {
        let by = self.asked.get_mut(agent)?;
        let asked = by.remove(framework);
        if by.is_empty() {
            self.asked.remove(agent);
        }
        asked
    }

    fn frameworks(&self, agent: &AgentId) -> Vec<FrameworkId> {
        self.asked.get(agent).map(|by| by.keys().cloned().collect()).unwrap_or_default()
    }

    fn agents(&self, framework: &FrameworkId) -> Vec<AgentId> {
        let asked = self.asked.iter().filter(|(_, by)| by.contains_key(framework));
        asked.map(|(agent, _)| agent.clone()).collect()
    }
}

impl Master {
    /// Somebody new may have something on the agent.
    pub(crate) fn ask_to_leave(&mut self, agent: &AgentId) {
        match self.unavailability_of(agent) {
            Some(_) => drop(self.leaving.due.insert(agent.clone())),
            None => self.forget_inverse_offers_of(agent),
        }
    }

    /// The framework is there to be asked.
    pub(crate) fn ask_to_leave_all(&mut self, framework: &FrameworkId) {
        if !self.books.machines.is_empty() || !self.draining.is_empty() {
            for agent in self.agents_of(framework) {
                self.ask_to_leave(&agent);
            }
        }
    }

    /// Asks whoever is to be asked.
    pub(crate) fn make_inverse_offers(&mut self) {
        let mut made: BTreeMap<FrameworkId, Vec<Arc<InverseOffer>>> = BTreeMap::new();
        while let Some(agent) = self.leaving.due.pop_first() {
            let Some(unavailability) = self.unavailability_of(&agent) else { continue };
            for framework in self.who_is_at(&agent) {
                if let Some(offer) = self.make_inverse_offer(&agent, framework, unavailability) {
                    made.entry(offer.framework.clone()).or_default().push(offer);
                }
            }
        }
        for (framework, offers) in made {
            for some in offers.chunks(crate::offers::MAX_OFFERS_PER_EVENT) {
                self.tell_framework(&framework, SchedulerEvent::InverseOffers(some.to_vec()));
            }
        }
    }

    /// The subscribed frameworks that have something on a connected agent.
    fn who_is_at(&self, id: &AgentId) -> BTreeSet<FrameworkId> {
        let agent =
            self.books.agents.get(id).filter(|agent| matches!(agent.state, AgentState::Active { .. }));
        let Some(agent) = agent else { return BTreeSet::new() };
        let is_live =
            |key: &&chapada_model::TaskKey| self.books.tasks.get(*key).is_some_and(|task| task.is_live());
        let tasks = self.index.tasks_by_agent.iter(id).filter(is_live).map(|key| &key.framework);
        let all = tasks.chain(agent.executors.keys().map(|key| &key.framework));
        let is_there =
            |id: &&FrameworkId| self.books.frameworks.get(*id).is_some_and(|f| f.stream().is_some());
        all.filter(is_there).cloned().collect()
    }

    fn make_inverse_offer(
        &mut self,
        agent: &AgentId,
        framework: FrameworkId,
        unavailability: Unavailability,
    ) -> Option<Arc<InverseOffer>> {
        if self.leaving.get(agent, &framework).is_some() {
            return None;
        }
        let id = OfferId::new(format!("{}-O{}", self.settings.master_id, self.next_offer)).ok()?;
        self.next_offer += 1;
        self.leaving.put(agent, &framework, Asked::Outstanding(id.clone()));
        let offer =
            Arc::new(InverseOffer { id: id.clone(), framework, agent: agent.clone(), unavailability });
        self.books.inverse_offers.insert(id, offer.clone());
        Some(offer)
    }

    pub(crate) fn answer_inverse_offers(
        &mut self,
        framework: &FrameworkId,
        offers: Vec<OfferId>,
        will_leave: bool,
        filters: Filters,
    ) {
        for id in offers {
            let own =
                self.books.inverse_offers.get(&id).filter(|offer| offer.framework == *framework).cloned();
            let Some(offer) = own else {
                self.drop_with(|| {
                    format!("framework {framework} answers inverse offer {id}, which is not valid")
                });
                continue;
            };
            self.books.inverse_offers.remove(&id);
            let answer = InverseAnswer { will_leave, at: self.now.wall };
            self.books
                .inverse_answers
                .entry(offer.agent.clone())
                .or_default()
                .insert(framework.clone(), answer);
            let until = self.now.mono + filters.refuse.max(LEAST_PAUSE);
            self.timers.set(until, Timer::InverseOffer(offer.agent.clone(), framework.clone()));
            self.leaving.put(&offer.agent, framework, Asked::Answered(until));
        }
    }

    /// The time that a framework was not to be asked again has passed.
    pub(crate) fn on_inverse_offer_due(&mut self, agent: AgentId, framework: &FrameworkId) {
        self.leaving.remove(&agent, framework);
        self.leaving.due.insert(agent);
    }

    /// Another schedule: what is out about the agent speaks of the old one.
    pub(crate) fn on_unavailability_changed(&mut self, agent: &AgentId) {
        for offer in self.index.offers_by_agent.of(agent) {
            self.rescind(&offer);
        }
        self.forget_inverse_offers_of(agent);
        self.ask_to_leave(agent);
    }

    /// The agent cannot be left for now, or need not: those who were asked and have not answered hear so.
    pub(crate) fn rescind_inverse_offers_of(&mut self, agent: &AgentId) {
        for framework in self.leaving.frameworks(agent) {
            if let Some(id) = self.take_inverse_offer(agent, &framework) {
                self.tell_framework(&framework, SchedulerEvent::RescindInverseOffer(id));
            }
        }
    }

    /// Nobody was asked to leave the agent, and nobody has answered.
    pub(crate) fn forget_inverse_offers_of(&mut self, agent: &AgentId) {
        self.rescind_inverse_offers_of(agent);
        for framework in self.leaving.frameworks(agent) {
            self.forget_asked(agent, &framework);
        }
        self.books.inverse_answers.remove(agent);
    }

    /// The framework is not there to answer.
    pub(crate) fn discard_inverse_offers(&mut self, framework: &FrameworkId) {
        for agent in self.leaving.agents(framework) {
            drop(self.take_inverse_offer(&agent, framework));
        }
    }

    /// The framework is gone for good.
    pub(crate) fn forget_inverse_offers(&mut self, framework: &FrameworkId) {
        for agent in self.leaving.agents(framework) {
            self.forget_asked(&agent, framework);
        }
        let has = |by: &BTreeMap<FrameworkId, InverseAnswer>| by.contains_key(framework);
        let answered = self.books.inverse_answers.iter().filter(|(_, by)| has(by));
        for agent in answered.map(|(agent, _)| agent.clone()).collect::<Vec<_>>() {
            let Some(by) = self.books.inverse_answers.get_mut(&agent) else { continue };
            by.remove(framework);
            if by.is_empty() {
                self.books.inverse_answers.remove(&agent);
            }
        }
    }

    /// Takes an inverse offer that waits for an answer out of the books.
    fn take_inverse_offer(&mut self, agent: &AgentId, framework: &FrameworkId) -> Option<OfferId> {
        let Some(Asked::Outstanding(id)) = self.leaving.get(agent, framework).cloned() else { return None };
        self.leaving.remove(agent, framework);
        self.books.inverse_offers.remove(&id);
        Some(id)
    }

    fn forget_asked(&mut self, agent: &AgentId, framework: &FrameworkId) {
        if let Some(Asked::Answered(until)) = self.leaving.remove(agent, framework) {
            self.timers.clear(until, Timer::InverseOffer(agent.clone(), framework.clone()));
        }
    }
}
