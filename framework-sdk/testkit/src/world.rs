//! The simulated master with its agents: what it knows, what it says, and which rules it has seen broken.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use chapada_model::{
    AgentId, FrameworkId, Mono, OfferId, Reason, Resources, Role, TaskId, TaskState, TaskStatus,
};
use chapada_sdk::wire::scheduler as api;
use chapada_sdk::wire::scheduler::event::Type as EventType;
use chapada_sdk::wire::{self};
use chapada_wire::convert::{ReservationFormat, resources_to_wire};

use crate::agent::{Agent, Standing};
use crate::rule::{Broken, Rule};

/// An offer that nobody answers for so long is hoarded.
const HOARDED_AFTER: Duration = Duration::from_secs(30);
/// An update that was sent so often on one subscription is not going to be acknowledged.
const MOST_TRIES: u32 = 4;
/// Between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What makes two tasks the same thing.
pub(crate) type Thing = Box<dyn Fn(&TaskId) -> String + Send>;

#[derive(Default)]
pub(crate) struct World {
    pub(crate) now: Mono,
    pub(crate) agents: BTreeMap<AgentId, Agent>,
    pub(crate) framework: Option<FrameworkId>,
    pub(crate) subscribed: bool,
    pub(crate) offers: BTreeMap<OfferId, Offered>,
    pub(crate) refused_until: BTreeMap<AgentId, Mono>,
    pub(crate) suppressed: bool,
    pub(crate) holds_offers: bool,
    pub(crate) out: VecDeque<api::Event>,
    pub(crate) used_ids: BTreeSet<TaskId>,
    pub(crate) broken: Vec<Broken>,
    pub(crate) lose_updates: u32,
    pub(crate) double_updates: u32,
    pub(crate) thing: Option<Thing>,
    heartbeat_at: Mono,
    numbers: u64,
}

pub(crate) struct Offered {
    pub(crate) agent: AgentId,
    pub(crate) resources: Resources,
    pub(crate) at: Mono,
    pub(crate) fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    Answered,
    /// Taken back, perhaps while an answer was on its way.
    Void,
}

impl World {
    pub(crate) fn break_rule(&mut self, rule: Rule, what: String) {
        let known = |broken: &Broken| broken.rule == rule && broken.what == what;
        if !self.broken.iter().any(known) {
            let at = Duration::from_nanos(self.now.0);
            self.broken.push(Broken { rule, at, what });
        }
    }

    pub(crate) fn say(&mut self, kind: EventType, fill: impl FnOnce(&mut api::Event)) {
        let mut event = api::Event::default();
        event.set_type(kind);
        fill(&mut event);
        self.out.push_back(event);
    }

    pub(crate) fn say_status(&mut self, status: &TaskStatus) {
        let status = Some(wire::TaskStatus::from(status));
        self.say(EventType::Update, |event| event.update = Some(api::event::Update { status }));
    }

    /// The subscription is over, by whosever fault.
    pub(crate) fn hang_up(&mut self) {
        self.subscribed = false;
        self.out.clear();
        self.void_offers(|_| true);
        self.refused_until.clear();
        self.agents.values_mut().for_each(Agent::forget_tries);
    }

    pub(crate) fn void_offers(&mut self, which: impl Fn(&Offered) -> bool) -> Vec<OfferId> {
        let open = self.offers.iter_mut().filter(|(_, offer)| offer.fate == Fate::Open && which(offer));
        open.map(|(id, offer)| {
            offer.fate = Fate::Void;
            id.clone()
        })
        .collect()
    }

    /// Another master leads: nothing is known of agents until they come back.
    pub(crate) fn fail_over(&mut self, agents_return_after: Duration) {
        self.hang_up();
        let at = self.now + agents_return_after;
        for agent in self.agents.values_mut().filter(|agent| agent.standing != Standing::Unreachable) {
            agent.standing = Standing::Returning(at);
        }
    }

    pub(crate) fn lose_agent(&mut self, id: &AgentId) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.standing = Standing::Unreachable;
        let live = agent.tasks.iter().filter(|(_, task)| task.is_live()).map(|(id, _)| id.clone());
        let tasks: Vec<TaskId> = live.collect();
        for offer in self.void_offers(|offer| offer.agent == *id) {
            let rescind = api::event::Rescind { offer_id: Some((&offer).into()) };
            self.say(EventType::Rescind, |event| event.rescind = Some(rescind));
        }
        for task in tasks {
            self.say_status(&said(&task, id, TaskState::Unreachable, Reason::AgentRemoved));
        }
    }

    pub(crate) fn forget_tasks_of(&mut self, id: &AgentId) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        let tasks: Vec<TaskId> = agent.tasks.keys().cloned().collect();
        for task in tasks {
            self.say_status(&said(&task, id, TaskState::Unknown, Reason::Reconciliation));
        }
    }

    pub(crate) fn return_agent(&mut self, id: &AgentId) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.standing = Standing::Registered;
        agent.forget_tries();
        let live = agent.tasks.iter().filter(|(_, task)| task.is_live());
        let tasks: Vec<(TaskId, TaskState)> = live.map(|(id, task)| (id.clone(), task.state)).collect();
        for (task, state) in tasks {
            self.say_status(&said(&task, id, state, Reason::AgentReregistered));
        }
    }

    /// All that time brings.
    pub(crate) fn pass_time(&mut self, now: Mono) {
        self.now = now;
        let returning = |agent: &Agent| matches!(agent.standing, Standing::Returning(at) if at <= now);
        let back: Vec<AgentId> =
            self.agents.iter().filter(|(_, agent)| returning(agent)).map(|(id, _)| id.clone()).collect();
        for agent in back {
            if let Some(agent) = self.agents.get_mut(&agent) {
                agent.standing = Standing::Registered;
            }
        }
        for (id, agent) in &mut self.agents {
            agent.pass_time(now, id, &mut self.numbers);
        }
        self.look_for_duplicates();
        if self.subscribed {
            if now >= self.heartbeat_at {
                self.heartbeat_at = now + HEARTBEAT;
                self.say(EventType::Heartbeat, |_| {});
            }
            self.send_updates();
            self.look_for_hoarded();
            self.make_offers();
        }
    }

    fn send_updates(&mut self) {
        let now = self.now;
        let mut due = Vec::new();
        for agent in self.agents.values_mut().filter(|agent| agent.standing == Standing::Registered) {
            for update in agent.due_updates(now) {
                (update.sent, update.tries) = (Some(now), update.tries + 1);
                due.push((update.status.clone(), update.tries));
            }
        }
        for (status, tries) in due {
            if tries > MOST_TRIES {
                let what = format!("{} of {} was sent {tries} times", status.state.name(), status.task);
                self.break_rule(Rule::AcknowledgeEveryUpdate, what);
            }
            if self.lose_updates > 0 {
                self.lose_updates -= 1;
                continue;
            }
            self.say_status(&status);
            if self.double_updates > 0 {
                self.double_updates -= 1;
                self.say_status(&status);
            }
        }
    }

    fn look_for_hoarded(&mut self) {
        let now = self.now;
        let hoarded = |offer: &Offered| offer.fate == Fate::Open && now >= offer.at + HOARDED_AFTER;
        let ids: Vec<OfferId> =
            self.offers.iter().filter(|(_, offer)| hoarded(offer)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.break_rule(Rule::DeclineWhatIsNotUsed, format!("offer {id} is not answered"));
        }
    }

    fn look_for_duplicates(&mut self) {
        let Some(thing) = &self.thing else { return };
        let mut live: BTreeMap<String, Vec<&TaskId>> = BTreeMap::new();
        let reachable = self.agents.values().filter(|agent| agent.standing != Standing::Unreachable);
        let tasks = reachable.flat_map(|agent| &agent.tasks).filter(|(_, task)| task.is_live());
        for (id, _) in tasks {
            live.entry(thing(id)).or_default().push(id);
        }
        let doubles = live.into_iter().filter(|(_, tasks)| tasks.len() > 1);
        let found: Vec<String> = doubles.map(|(thing, tasks)| format!("{thing} runs as {tasks:?}")).collect();
        for what in found {
            self.break_rule(Rule::NoDuplicate, what);
        }
    }

    fn make_offers(&mut self) {
        if self.suppressed || self.holds_offers {
            return;
        }
        let now = self.now;
        let idle = |id: &AgentId| {
            let open = |offer: &Offered| offer.agent == *id && offer.fate == Fate::Open;
            !self.offers.values().any(open) && self.refused_until.get(id).is_none_or(|until| *until <= now)
        };
        let agents =
            self.agents.iter().filter(|(id, agent)| agent.standing == Standing::Registered && idle(id));
        let free: Vec<(AgentId, Resources)> = agents.map(|(id, agent)| (id.clone(), agent.free())).collect();
        for (agent, resources) in free {
            self.offer(&agent, resources);
        }
    }

    /// Offers so much of an agent, whatever else was offered of it.
    pub(crate) fn offer(&mut self, id: &AgentId, resources: Resources) {
        let (Some(framework), Some(agent)) = (&self.framework, self.agents.get(id)) else { return };
        if resources.is_empty() {
            return;
        }
        self.numbers += 1;
        let Ok(offer) = OfferId::new(format!("offer-{}", self.numbers)) else { return };
        let role = Role::star();
        let wire = wire::Offer {
            id: Some((&offer).into()),
            framework_id: Some(framework.into()),
            agent_id: Some(id.into()),
            hostname: Some(agent.hostname.to_string()),
            resources: resources_to_wire(&resources.allocated_to(&role), ReservationFormat::Stacked),
            attributes: agent.attributes.iter().map(Into::into).collect(),
            allocation_info: Some(wire::resource::AllocationInfo { role: Some(role.to_string()) }),
            ..wire::Offer::default()
        };
        let made = Offered { agent: id.clone(), resources, at: self.now, fate: Fate::Open };
        self.offers.insert(offer, made);
        self.say(EventType::Offers, |event| event.offers = Some(api::event::Offers { offers: vec![wire] }));
    }

    /// Where a task is, and in which state, if any agent has it.
    pub(crate) fn find(&self, task: &TaskId) -> Option<(&AgentId, &Agent, TaskState)> {
        self.agents.iter().find_map(|(id, agent)| Some((id, agent, agent.tasks.get(task)?.state)))
    }
}

/// What the master says by itself: nobody acknowledges it.
pub(crate) fn said(task: &TaskId, agent: &AgentId, state: TaskState, reason: Reason) -> TaskStatus {
    TaskStatus { agent: Some(agent.clone()), reason: Some(reason), ..TaskStatus::new(task.clone(), state) }
}
