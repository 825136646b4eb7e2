//! The master itself: the one entrance for everything that happens.

use std::collections::{BTreeMap, BTreeSet};

use chapada_allocator::{Allocator, Explanation};
use chapada_model::{AgentId, FrameworkId, Mono, Now, Role, Wall};

use crate::agents::Silence;
use crate::brake::Removals;
use crate::draining::Draining;
use crate::early_kills::EarlyKills;
use crate::index::Index;
use crate::interned::Interned;
use crate::late_kills::LateKills;
use crate::maintenance::Leaving;
use crate::own_ends::OwnEnds;
use crate::patience::Patience;
use crate::pending::Waiting;
use crate::quota::Hold;
use crate::subscribe::Wishes;
use crate::timers::{Timer, Timers};
use crate::tombstones::Tombstones;
use crate::{
    Call, CallRefused, Caller, Counters, Effect, Event, RegistryState, Settings, Snapshot, Ticket, Why,
};

/// The books and everyone who keeps them.
#[derive(Debug)]
pub struct Master {
    pub(crate) settings: Settings,
    /// What readers see.
    pub(crate) books: Snapshot,
    pub(crate) index: Index,
    pub(crate) interned: Interned,
    pub(crate) allocator: Allocator,
    pub(crate) timers: Timers,
    /// The registry as it will be when everything asked for is durable.
    pub(crate) registry: RegistryState,
    /// Removed frameworks of the registry.
    pub(crate) tombstones: Tombstones,
    /// Frameworks that are away and held nothing when they went, longest first.
    pub(crate) idle: std::collections::BTreeSet<(Wall, FrameworkId)>,
    /// Unreachable agents, longest first.
    pub(crate) unreachable: std::collections::BTreeSet<(Wall, AgentId)>,
    /// Agents of which the books do not know what they hold, because they have not said it to this master yet.
    pub(crate) silent: BTreeMap<AgentId, Silence>,
    /// The agents of the registry that have not told this leader which tasks were over before it led.
    pub(crate) untold: BTreeSet<AgentId>,
    /// Kills whose launch may be on its way.
    pub(crate) early_kills: EarlyKills,
    pub(crate) late_kills: LateKills,
    /// Ends that nobody but this master can say again.
    pub(crate) own_ends: OwnEnds,
    /// How frameworks answer offers.
    pub(crate) patience: Patience,
    /// Who was asked to leave which agent.
    pub(crate) leaving: Leaving,
    /// Agents that operators gave up, longest first.
    pub(crate) gone: std::collections::BTreeSet<(Wall, AgentId)>,
    /// Agents that are draining and not drained.
    pub(crate) draining: BTreeMap<AgentId, Draining>,
    /// Those of them on which perhaps nothing is left.
    pub(crate) drains_due: std::collections::BTreeSet<AgentId>,
    /// Whether something has happened to an agent that a drain of many may wait for.
    pub(crate) plans_due: bool,
    /// Who was given up lately, and who waits to be.
    pub(crate) removals: Removals,
    /// When old records of agents are looked for next.
    pub(crate) collect_at: Mono,
    /// What waits for the registry.
    pub(crate) pending: Waiting,
    pub(crate) last_ticket: u64,
    pub(crate) next_framework: u64,
    pub(crate) next_agent: u64,
    pub(crate) next_offer: u64,
    pub(crate) next_operation: u64,
    /// Set while a new leader with quotas waits for agents to say what they hold.
    pub(crate) hold: Option<Hold>,
    /// When the next plan is due, if something waits for one.
    pub(crate) plan_due: Option<Mono>,
    /// The moment of the event at hand.
    pub(crate) now: Now,
    /// What the event at hand asks for so far.
    pub(crate) effects: Vec<Effect>,
    /// When it began to lead.
    pub(crate) began: Mono,
    /// When it last went on after a suspension; when it began, if it never was suspended.
    pub(crate) resumed: Mono,
    /// Until when agents may come that the registry does not know: it may be an older one that was put back.
    pub(crate) strangers_until: Option<Mono>,
}

impl Master {
    /// Begins to lead with what the registry has. Every timer restarts in full.
    pub fn recover(now: Now, settings: Settings, registry: RegistryState) -> Self {
        let books = Snapshot {
            version: 0,
            master_id: settings.master_id.clone(),
            epoch: registry.epoch,
            elected: now.wall,
            agents: imbl::OrdMap::new(),
            frameworks: imbl::OrdMap::new(),
            completed_frameworks: imbl::Vector::new(),
            offers: imbl::OrdMap::new(),
            tasks: imbl::OrdMap::new(),
            operations: imbl::OrdMap::new(),
            completed_tasks: imbl::OrdMap::new(),
            weights: imbl::OrdMap::new(),
            quotas: imbl::OrdMap::new(),
            machines: imbl::OrdMap::new(),
            inverse_offers: imbl::OrdMap::new(),
            inverse_answers: imbl::OrdMap::new(),
            why: imbl::OrdMap::new(),
            counters: Counters::default(),
            total: chapada_model::Quantities::default(),
            drains: imbl::OrdMap::new(),
            brake: crate::BrakeView::default(),
        };
        let mut master = Self {
            allocator: allocator(&settings),
            settings,
            books,
            index: Index::default(),
            interned: Interned::default(),
            timers: Timers::default(),
            registry: RegistryState { epoch: registry.epoch, ..RegistryState::default() },
            tombstones: Tombstones::default(),
            idle: std::collections::BTreeSet::new(),
            unreachable: std::collections::BTreeSet::new(),
            silent: BTreeMap::new(),
            untold: BTreeSet::new(),
            early_kills: EarlyKills::default(),
            late_kills: LateKills::default(),
            own_ends: OwnEnds::default(),
            patience: Patience::default(),
            leaving: Leaving::default(),
            gone: std::collections::BTreeSet::new(),
            draining: BTreeMap::new(),
            drains_due: std::collections::BTreeSet::new(),
            plans_due: true,
            removals: Removals::default(),
            collect_at: now.mono,
            pending: Waiting::default(),
            last_ticket: 0,
            next_framework: 0,
            next_agent: 0,
            next_offer: 0,
            next_operation: 0,
            hold: None,
            plan_due: None,
            now,
            effects: Vec::new(),
            began: now.mono,
            resumed: now.mono,
            strangers_until: None,
        };
        master.recover_records(registry);
        master
    }

    /// Takes what happened and says what to do about it. Never fails: what makes no sense is noted and passed over.
    pub fn apply(&mut self, now: Now, event: Event) -> Vec<Effect> {
        self.begin(now);
        match event {
            Event::Subscribe { stream, framework, suppressed, constraints } => {
                self.subscribe(stream, framework, Wishes::new(suppressed, constraints));
            }
            Event::StreamClosed { stream, framework } => self.on_stream_closed(&stream, &framework),
            Event::Call { caller, call } => {
                if let Err(refused) = self.call(&caller, call) {
                    self.drop_with(|| format!("a call of framework {}: {refused}", caller.framework));
                }
            }
            Event::AgentConnected { link, from, agent, held } => {
                self.on_agent_connected(link, from, agent, held);
            }
            Event::LinkClosed { link, agent, last_heard } => self.on_link_closed(link, &agent, last_heard),
            Event::Update { link, agent, framework, status, latest } => {
                self.on_update(link, agent, framework, status, latest);
            }
            Event::CompletedTasks { link, agent, tasks } => self.on_completed_tasks(link, &agent, tasks),
            Event::OperationUpdate { link, agent, status } => {
                self.on_operation_update(link, &agent, status);
            }
            Event::ExecutorMessage { agent, executor, data } => {
                self.on_executor_message(agent, executor, data)
            }
            Event::ExecutorGone { agent, executor, status } => {
                self.on_executor_gone(&agent, executor, status)
            }
            Event::Recorded { ticket } => self.on_recorded(ticket),
            Event::Tick => {}
            Event::TeardownFramework { framework } => drop(self.teardown(&framework)),
        }
        self.finish()
    }

    /// Takes a call and gives the verdict that the caller waits for.
    ///
    /// # Errors
    /// [`CallRefused`] says why; nothing has changed then, apart from what time alone has changed.
    pub fn apply_call(&mut self, now: Now, caller: &Caller, call: Call) -> Result<Vec<Effect>, CallRefused> {
        self.apply_call_and_wait(now, caller, call).map(|(effects, _)| effects)
    }

    /// As [`Master::apply_call`]. The caller may be told the verdict once the ticket is recorded; at once when there is none.
    ///
    /// # Errors
    /// As [`Master::apply_call`].
    pub fn apply_call_and_wait(
        &mut self,
        now: Now,
        caller: &Caller,
        call: Call,
    ) -> Result<(Vec<Effect>, Option<Ticket>), CallRefused> {
        self.begin(now);
        let ticket = self.call(caller, call)?;
        Ok((self.finish(), ticket))
    }

    /// When [`Event::Tick`] is due at the latest; `None` while nothing waits for time. Ask again after each event.
    pub fn next_wakeup(&self) -> Option<Mono> {
        let offers = match self.hold {
            Some(hold) => Some(hold.until),
            None => self.allocator.next_expiry().into_iter().chain(self.plan_due).min(),
        };
        let unheard = self.patience.next(self.settings.offer_timeout).map(|(at, _)| at);
        let agents = self.next_removal().into_iter().chain(self.next_collection());
        self.timers.next().into_iter().chain(offers).chain(unheard).chain(agents).min()
    }

    /// Grows with every event; books of one version are the same.
    pub fn version(&self) -> u64 {
        self.books.version
    }

    /// The epoch of this leadership.
    pub fn epoch(&self) -> u64 {
        self.books.epoch
    }

    /// The books as they are now, for readers. While one is kept, each part of it that changes is copied first.
    pub fn snapshot(&self) -> Snapshot {
        self.books.clone()
    }

    /// For each role of the framework: nothing when it would be offered what the agent has free, else why not. Empty when
    /// either is unknown.
    pub fn explain(&self, now: Now, framework: &FrameworkId, agent: &AgentId) -> Vec<(Role, Option<Why>)> {
        let decisions = self.decisions(now, framework, agent);
        decisions.into_iter().map(|Explanation { role, why, .. }| (role, why)).collect()
    }

    /// The decision for each role of the framework at this agent, its reason, and since when it stands. Empty when either is
    /// unknown.
    pub fn decisions(&self, now: Now, framework: &FrameworkId, agent: &AgentId) -> Vec<Explanation> {
        let mut decisions = self.allocator.decisions(now.mono, framework, agent);
        if let Some(agent) =
            self.books.agents.get(agent).filter(|agent| agent.deactivated && agent.link().is_some())
        {
            let why = if agent.drain.is_some() { Why::AgentDraining } else { Why::AgentDeactivated };
            for decision in decisions.iter_mut().filter(|one| one.why == Some(Why::AgentInactive)) {
                decision.why = Some(why);
            }
        }
        if let Some(hold) = self.hold {
            // Whoever would be offered something is not yet.
            for decision in decisions.iter_mut().filter(|decision| decision.why.is_none()) {
                decision.why = Some(Why::AwaitingAgents(hold.until));
            }
        }
        decisions
    }

    /// What waits for the registry; zero when everything asked for is durable.
    pub fn unrecorded(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn begin(&mut self, now: Now) {
        self.now = Now { mono: now.mono.max(self.now.mono), wall: now.wall };
        self.books.version += 1;
        self.allocator.set_now(self.now.mono);
    }

    /// Does what time has made due, and hands out the effects.
    pub(crate) fn finish(&mut self) -> Vec<Effect> {
        while let Some(timer) = self.timers.pop_due(self.now.mono) {
            match timer {
                Timer::Offer(offer) => self.on_offer_timeout(&offer),
                Timer::Agent(agent) => self.on_agent_timeout(&agent),
                Timer::Framework(framework) => drop(self.remove_framework(&framework)),
                Timer::InverseOffer(agent, framework) => self.on_inverse_offer_due(agent, &framework),
                Timer::Drain(agent) => self.on_notice_over(&agent),
            }
        }
        self.answer_late_kills();
        self.own_ends.forget_heard(self.now.mono);
        self.give_up_held();
        self.follow_drains();
        self.follow_plans();
        self.forget_old_agents();
        self.take_back_from_unheard();
        self.enforce_limits();
        self.make_inverse_offers();
        let waits = self.offers_wait();
        self.remove_surplus_idle();
        self.end_wait_for_absent();
        self.show_brake();
        let is_due = |at: Option<Mono>| !waits && at.is_some_and(|at| at <= self.now.mono);
        if is_due(self.plan_due) || is_due(self.allocator.next_expiry()) {
            self.make_offers();
        }
        if self.plan_due.is_none() && self.allocator.is_dirty() {
            self.plan_due = Some(self.now.mono + self.settings.coalesce);
        }
        std::mem::take(&mut self.effects)
    }

    /// Notes what was passed over.
    pub(crate) fn drop_with(&mut self, what: impl FnOnce() -> String) {
        self.effects.push(Effect::Dropped { what: what() });
    }
}

/// An empty allocator, as the operator wants it.
fn allocator(settings: &Settings) -> Allocator {
    let policy = settings.allocator.make(settings.seed);
    let mut allocator = Allocator::with_policy(settings.min_allocatable.clone(), policy);
    allocator.set_region(settings.region.clone());
    allocator.keep_gpus(settings.keep_gpus);
    allocator.exclude_from_shares(settings.unshared_names.iter().cloned().collect());
    allocator
}
