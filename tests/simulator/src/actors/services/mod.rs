//! The services framework: its real core, with a store that takes its time, tasks that answer when asked how they are, and
//! owners of apps who want this and that.

mod decisions;
mod incarnation;
mod owners;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chapada_master_core::{Accept, Call, Change, Operation, Proposal, SchedulerEvent, TaskGroup};
use chapada_model::{
    ExecutorDescription, ExecutorId, ExecutorKind, Filters, Mono, OfferId, Payload, Resources, Role, TaskId,
    TaskStatus,
};
use chapada_services_core as core;
use chapada_services_core::{
    Command, Effect, Event, HomeOperation, Launch, LaunchGroup, Published, ReadinessResponse, Refusal, Reply,
    Seed,
};

use super::{Actor, News, Store, Turn, task};
pub(crate) use decisions::{Decisions, most_at_once};
pub(crate) use incarnation::Incarnation;
use owners::Owners;

/// The role that the framework of this number takes offers in: what is kept in it is for nobody else.
pub(crate) fn role(index: usize) -> Role {
    Role::new(format!("apps{index}")).expect("a valid role")
}

/// So many of the last things that it told its subscribers are kept for scenarios.
const TOLD: usize = 10_000;

/// What a task is asked, by which of its checks.
#[derive(Clone, Copy, Debug)]
enum Question {
    IsWell(usize),
    IsReady(usize),
}

/// The services framework.
#[derive(Debug)]
pub(crate) struct Services {
    index: usize,
    /// None until a process has read the records.
    core: Option<core::Services>,
    /// What tasks were asked, and when they answer.
    probes: Vec<(Mono, TaskId, Question)>,
    owners: Owners,
    requests: u64,
    answers: BTreeMap<u64, Result<Reply, Refusal>>,
    told: VecDeque<Published>,
    decisions: Decisions,
}

impl Actor for Services {
    fn on(&mut self, turn: &mut Turn<'_>, news: News) {
        self.begin(turn);
        match news {
            News::Subscribed => self.apply(turn, Event::Subscribed),
            News::Disconnected => self.apply(turn, Event::Disconnected),
            News::Event(SchedulerEvent::Offers(offers)) => {
                let offers = offers.iter().map(|offer| super::sdk_offer(offer)).collect();
                self.apply(turn, Event::Offers(offers));
            }
            News::Event(SchedulerEvent::Update(status)) => self.on_update(turn, &status),
            News::Command(command) => self.command(turn, *command),
            News::Started | News::Event(_) | News::Woken => {}
        }
        self.do_what_is_due(turn);
        turn.wake = self.next(turn.store);
    }

    /// What was not stored is gone; the next process reads the rest.
    fn restart(&mut self, _store: &Store) {
        self.core = None;
        self.probes.clear();
    }

    fn works_alone(&self) -> bool {
        true
    }

    fn services(&self) -> Option<&Services> {
        Some(self)
    }
}

impl Services {
    /// With random owners of so many apps, or none.
    pub(crate) fn new(apps: usize, index: usize) -> Self {
        Self {
            index,
            core: None,
            probes: Vec::new(),
            owners: Owners::new(apps),
            requests: 0,
            answers: BTreeMap::new(),
            told: VecDeque::new(),
            decisions: Decisions::default(),
        }
    }

    pub(crate) fn core(&self) -> Option<&core::Services> {
        self.core.as_ref()
    }

    /// What its launches rested on.
    pub(crate) fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// The number of the last command.
    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }

    /// What a client was answered; nothing before all that the answer rests on is durable.
    pub(crate) fn answer(&self, request: u64) -> Option<&Result<Reply, Refusal>> {
        self.answers.get(&request)
    }

    /// What its subscribers were told, the newest last.
    pub(crate) fn told(&self) -> impl Iterator<Item = &Published> {
        self.told.iter()
    }

    fn begin(&mut self, turn: &mut Turn<'_>) {
        if self.core.is_some() {
            return;
        }
        let seed = Seed::new(turn.rng.draw(), turn.rng.draw());
        let records = turn.store.records.clone();
        let core = core::Services::restore(role(self.index), seed, turn.clock, records)
            .expect("what was stored can be read");
        self.core = Some(core);
        self.apply(turn, Event::Tick);
    }

    fn on_update(&mut self, turn: &mut Turn<'_>, status: &TaskStatus) {
        self.decisions.note_update(turn.now, status);
        self.apply(turn, Event::Update(status.clone()));
    }

    fn command(&mut self, turn: &mut Turn<'_>, command: Command) {
        self.requests += 1;
        let request = self.requests;
        self.apply(turn, Event::Command { request, command });
    }

    fn do_what_is_due(&mut self, turn: &mut Turn<'_>) {
        while !turn.ends {
            if let Some(outcome) = turn.store.finished(turn.now) {
                match outcome {
                    Ok(number) => self.apply(turn, Event::Stored(number)),
                    Err(_) => turn.ends = true,
                }
            } else if let Some(place) = self.probes.iter().position(|(at, ..)| *at <= turn.now) {
                let (_, task, question) = self.probes.swap_remove(place);
                self.hear(turn, task, question);
            } else if self.deadline().is_some_and(|at| at <= turn.now) {
                self.apply(turn, Event::Tick);
                // It would be awake for ever.
                assert!(
                    turn.ends || self.deadline().is_none_or(|at| at > turn.now),
                    "I8: a deadline passes and stays"
                );
            } else if let Some(command) = self.core.as_ref().and_then(|core| self.owners.want(turn, core)) {
                self.command(turn, command);
            } else {
                return;
            }
        }
    }

    fn deadline(&self) -> Option<Mono> {
        self.core.as_ref().and_then(core::Services::next_deadline)
    }

    fn next(&self, store: &Store) -> Option<Mono> {
        let stored = store.on_the_way.front().map(|first| first.at);
        let probed = self.probes.iter().map(|(at, ..)| *at).min();
        [stored, probed, self.deadline(), self.owners.next()].into_iter().flatten().min()
    }

    fn apply(&mut self, turn: &mut Turn<'_>, event: Event) {
        let Some(core) = self.core.as_mut().filter(|_| !turn.ends) else { return };
        for effect in core.apply(turn.clock, event) {
            self.carry_out(turn, effect);
        }
    }

    fn carry_out(&mut self, turn: &mut Turn<'_>, effect: Effect) {
        match effect {
            Effect::Store { number, writes } => {
                if let Some(core) = &self.core {
                    self.decisions.note_writes(turn.now, core, &writes);
                }
                let slowest = if turn.stormy { 2_000 } else { 20 };
                let wait = turn.rng.between(Duration::from_micros(500), Duration::from_millis(slowest));
                let wait = if turn.rng.once_in(10) { wait } else { wait / 20 };
                turn.store.begin(turn.now + wait, number, writes);
            }
            Effect::Launch { offer, tasks, groups, refuse } => {
                accept(turn, offer, Vec::new(), &tasks, &groups, refuse);
            }
            Effect::Accept { offer, operations, tasks, groups, refuse } => {
                accept(turn, offer, operations, &tasks, &groups, refuse);
            }
            Effect::Decline { offer, refuse } => turn.decline(vec![offer], refuse),
            Effect::Kill { task, agent } => turn.calls.push(Call::Kill { task, agent, policy: None }),
            Effect::Acknowledge { task, agent, uuid } => {
                turn.calls.push(Call::Acknowledge { agent, task, uuid });
            }
            Effect::Reconcile(tasks) => turn.calls.push(Call::Reconcile { tasks }),
            Effect::Revive => turn.calls.push(Call::Revive { roles: Vec::new() }),
            Effect::Suppress => turn.calls.push(Call::Suppress { roles: Vec::new() }),
            Effect::ReviveIn(roles) => turn.calls.push(Call::Revive { roles: roles.into_iter().collect() }),
            Effect::SuppressIn(roles) => {
                turn.calls.push(Call::Suppress { roles: roles.into_iter().collect() })
            }
            // Every app here is in one role.
            Effect::Roles(_) => {}
            Effect::Probe(probe) => self.ask(turn, probe.task, Question::IsWell(probe.check)),
            Effect::AskReady(probe) => self.ask(turn, probe.task, Question::IsReady(probe.check)),
            Effect::Publish(event) => {
                self.told.push_back(*event);
                if self.told.len() > TOLD {
                    self.told.pop_front();
                }
            }
            Effect::Answer { request, answer } => {
                let is_invalid = matches!(answer, Err(Refusal::Invalid(_) | Refusal::WrongType(_)));
                assert!(!(is_invalid && self.owners.are_there()), "an owner's own mistake: {answer:?}");
                self.answers.insert(request, answer);
            }
        }
    }

    fn ask(&mut self, turn: &mut Turn<'_>, task: TaskId, question: Question) {
        let wait = turn.rng.between(Duration::from_millis(1), Duration::from_secs(1));
        self.probes.push((turn.now + wait, task, question));
    }

    /// A task answers; while it storms it is ill or not ready now and then.
    fn hear(&mut self, turn: &mut Turn<'_>, task: TaskId, question: Question) {
        let is_ill = turn.stormy && turn.rng.once_in(10);
        let event = match question {
            Question::IsWell(check) => {
                let result = if is_ill { Err("it is ill".to_owned()) } else { Ok(()) };
                Event::Probed { task, check, result }
            }
            Question::IsReady(check) => {
                let status = if is_ill { 503 } else { 200 };
                let response = ReadinessResponse { status, content_type: String::new(), body: String::new() };
                Event::Readiness { task, check, result: Ok(response) }
            }
        };
        self.apply(turn, event);
    }
}

fn accept(
    turn: &mut Turn<'_>,
    offer: OfferId,
    homes: Vec<HomeOperation>,
    tasks: &[Launch],
    groups: &[LaunchGroup],
    refuse: Duration,
) {
    let mut operations: Vec<Operation> = homes
        .into_iter()
        .map(|operation| match operation {
            HomeOperation::Reserve(resources) => Change::Reserve { source: Resources::EMPTY, resources },
            HomeOperation::Unreserve(resources) => Change::Unreserve { resources },
            HomeOperation::Create(volumes) => Change::Create { volumes },
            HomeOperation::Destroy(volumes) => Change::Destroy { volumes },
        })
        .map(|change| Operation::Change { id: None, change })
        .collect();
    if !tasks.is_empty() {
        let tasks = tasks.iter().map(|launch| Proposal::Valid(Box::new(described(launch)))).collect();
        operations.push(Operation::Launch { tasks });
    }
    operations.extend(groups.iter().map(grouped));
    turn.calls.push(Call::Accept(Accept { offers: vec![offer], operations, filters: Filters { refuse } }));
}

fn described(launch: &Launch) -> chapada_model::TaskDescription {
    task(launch.task.clone(), &launch.agent, launch.resources.unallocated())
}

/// An instance of a pod: its containers on the built-in executor.
fn grouped(group: &LaunchGroup) -> Operation {
    let executor = ExecutorDescription {
        id: ExecutorId::new(&group.executor).expect("the core names executors"),
        framework: None,
        kind: ExecutorKind::Default,
        resources: group.resources.unallocated(),
        has_command: false,
        name: None,
        details: Payload::default(),
    };
    let tasks = group.tasks.iter().map(|one| Proposal::Valid(Box::new(described(&one.launch)))).collect();
    Operation::LaunchGroup(TaskGroup { executor: Some(Box::new(executor)), tasks, problem: None })
}
