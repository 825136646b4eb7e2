//! Everything around the core, pretended: a master, three agents, a store that is slow, and a clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use chapada_model::{
    AgentId, Milli, Mono, Now, OfferId, Range, Ranges, Resource, Resources, Role, TaskId, TaskState,
    TaskStatus, Unavailability, Wall,
};
use chapada_services_core::{
    AppId, AppState, Command, DeploymentId, Effect, Event, Goal, Instance, InstanceId, Offer, Published,
    ReadinessResponse, Refusal, Reply, Seed, Services, UnreachableStrategy, Write,
};

/// Room for every instance that the histories can ask for, twice over.
const CPUS: u64 = 64;
pub(crate) const AGENTS: usize = 3;
/// For how many rounds nothing may change any more at the end. They last longer than any check or delay of launches that still works
/// on a state that looks final.
const QUIET_ROUNDS: usize = 5;

#[derive(Clone, Debug)]
struct Running {
    agent: usize,
    resources: Resources,
    state: TaskState,
    /// Since when the framework knows that its agent is out of reach.
    away: Option<Mono>,
}

pub(crate) struct World {
    pub(crate) services: Services,
    now: Now,
    starts: u64,
    store: BTreeMap<String, Vec<u8>>,
    writes: VecDeque<(u64, Vec<Write>)>,
    tasks: BTreeMap<TaskId, Running>,
    reachable: [bool; AGENTS],
    /// Agents that are to be left: they are not offered.
    leaving: BTreeSet<usize>,
    offers: BTreeMap<OfferId, (usize, Resources)>,
    next_offer: u64,
    connected: bool,
    wants_offers: bool,
    probes: Vec<(TaskId, usize)>,
    pub(crate) asked_ready: Vec<(TaskId, usize)>,
    pub(crate) answers: Vec<Result<Reply, Refusal>>,
    pub(crate) launches: usize,
    pub(crate) published: Vec<Published>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            services: Services::new(Role::star(), Seed::new(7, 0)),
            now: Now { mono: Mono(1), wall: Wall(1_000_000_000_000_000_000) },
            starts: 0,
            store: BTreeMap::new(),
            writes: VecDeque::new(),
            tasks: BTreeMap::new(),
            reachable: [true; AGENTS],
            leaving: BTreeSet::new(),
            offers: BTreeMap::new(),
            next_offer: 0,
            connected: false,
            wants_offers: false,
            probes: Vec::new(),
            asked_ready: Vec::new(),
            answers: Vec::new(),
            launches: 0,
            published: Vec::new(),
        }
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.apply(Event::Command { request: 0, command });
    }

    pub(crate) fn apply(&mut self, event: Event) {
        let before = self.known();
        let good = self.good();
        let asked = matches!(&event, Event::Command { command: Command::Kill { .. }, .. });
        let leaves = matches!(&event, Event::AskedToLeave(_));
        let is_moving = |state: &&AppState| state.is_moving() || leaves;
        let moving = self.services.all_apps().filter(is_moving).map(|state| state.app.definition.id.clone());
        let moving: BTreeSet<AppId> = moving.collect();
        let effects = self.services.apply(self.now, event);
        self.check(&before, &moving);
        if !asked {
            self.check_stops(&good, &moving);
        }
        for effect in effects {
            self.execute(effect);
        }
    }

    /// Every task that the core knows.
    fn known(&self) -> BTreeSet<TaskId> {
        let tasks = self.services.all_apps().flat_map(AppState::tasks);
        tasks.map(|task| task.id.clone()).collect()
    }

    /// The instances that do their work and are to go on.
    fn good(&self) -> BTreeMap<InstanceId, TaskId> {
        let instances = self.services.all_apps().flat_map(|state| state.instances.values());
        let good = instances.filter(|instance| instance.goal == Goal::Run && instance.is_good());
        good.filter_map(|instance| Some((instance.id.clone(), instance.task()?.id.clone()))).collect()
    }

    /// Whether its task really runs, and its agent is within reach: what the core believes may be older.
    fn is_there(&self, instance: &Instance) -> bool {
        let running = instance.task().and_then(|task| self.tasks.get(&task.id));
        running.is_some_and(|running| !running.state.is_terminal() && self.reachable[running.agent])
    }

    /// Whoever was stopped while it did its work was not needed: enough others do.
    fn check_stops(&self, before: &BTreeMap<InstanceId, TaskId>, moving: &BTreeSet<AppId>) {
        for state in self.services.all_apps() {
            let was_good = |id: &InstanceId, task: &TaskId| before.get(id) == Some(task);
            let stopped = state.instances.values().filter(|instance| {
                let same = instance.task().is_some_and(|task| was_good(&instance.id, &task.id));
                same && instance.goal == Goal::Stop && instance.is_good()
            });
            let stopped = stopped.count();
            if stopped == 0 {
                continue;
            }
            let definition = &state.app.definition;
            let deployment = state.deployment.and_then(|id| self.services.deployment(id));
            let paused = deployment.is_some_and(|deployment| deployment.progress.paused.is_some());
            assert!(!paused || state.deleting, "{} stops tasks while it is paused", definition.id);
            let moves = moving.contains(&definition.id) || state.is_moving();
            let replaces = moves || deployment.is_some_and(|one| one.replaces(&definition.id));
            let least = match replaces {
                true => definition.upgrade_strategy.least_good(state.target()),
                false => state.target(),
            };
            let goes_on = |one: &&Instance| one.goal == Goal::Run && one.is_good() && self.is_there(one);
            let good = state.instances.values().filter(goes_on).count();
            assert!(good >= least as usize, "{}: {good} are left of at least {least}", definition.id);
        }
    }

    /// Whoever launched one more had room for it, and no live task is unknown.
    fn check(&self, before: &BTreeSet<TaskId>, moving: &BTreeSet<AppId>) {
        for state in self.services.all_apps() {
            let definition = &state.app.definition;
            assert!(state.instances.is_counted_right(), "{} is counted wrong", definition.id);
            let replaces = self.services.deployments().any(|deployment| deployment.replaces(&definition.id));
            let moves = moving.contains(&definition.id) || state.is_moving();
            let most = match replaces || moves {
                true => definition.upgrade_strategy.most_at_once(state.target()),
                false => state.target(),
            };
            let progress =
                state.deployment.and_then(|id| self.services.deployment(id)).map(|one| &one.progress);
            let known = progress.and_then(|progress| progress.apps.get(&definition.id));
            let held = known.and_then(|known| known.held).map_or(0, |held| held.fresh + held.stale);
            let most = most.max(held as u32);
            let alive = state.alive(self.now.mono);
            let grew = state.tasks().any(|task| !before.contains(&task.id));
            assert!(!grew || alive <= most as usize, "{} has {alive} of at most {most}", definition.id);
        }
        for (task, running) in self.tasks.iter().filter(|(_, running)| !running.state.is_terminal()) {
            let id = InstanceId::of_task(task.as_str()).expect("the core named it");
            let state = self.services.all_apps().find(|state| state.app.definition.id == *id.app());
            if !self.may_be_forgotten(state, running) {
                let known =
                    state.and_then(|state| state.instances.get(&id)).and_then(|instance| instance.task());
                assert!(known.is_some_and(|known| known.id == *task), "{task} runs and is forgotten");
            }
        }
    }

    /// Whether a task that runs need not be known: it has been out of reach for long enough.
    fn may_be_forgotten(&self, state: Option<&AppState>, running: &Running) -> bool {
        let (Some(since), Some(state)) = (running.away, state) else { return running.away.is_some() };
        match state.app.definition.unreachable_strategy {
            UnreachableStrategy::Disabled => true,
            _ if state.deleting => true,
            UnreachableStrategy::After { inactive, .. } => self.now.mono >= since + inactive.duration(),
        }
    }

    fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::Store { number, writes } => self.writes.push_back((number, writes)),
            Effect::Launch { offer, tasks, .. } => {
                for launch in &tasks {
                    let id = InstanceId::of_task(launch.task.as_str()).expect("the core named it");
                    assert!(
                        self.store.contains_key(&format!("instance.{id}")),
                        "launched before it was durable"
                    );
                }
                let Some((agent, mut left)) = self.offers.remove(&offer) else { return };
                for launch in tasks {
                    left = left.checked_sub(&launch.resources).expect("took what was not offered");
                    let task =
                        Running { agent, resources: launch.resources, state: TaskState::Staging, away: None };
                    assert!(self.tasks.insert(launch.task, task).is_none(), "one id was used twice");
                    self.launches += 1;
                }
            }
            Effect::Decline { offer, .. } => {
                self.offers.remove(&offer);
            }
            Effect::Kill { task, .. } => {
                let agent = self.tasks.get(&task).map(|running| running.agent);
                if agent.is_none_or(|agent| self.reachable[agent]) {
                    self.end(&task, TaskState::Killed);
                }
            }
            Effect::Reconcile(asked) => self.reconcile(&asked),
            Effect::Revive => self.wants_offers = true,
            Effect::Suppress => self.wants_offers = false,
            Effect::Roles(_) | Effect::ReviveIn(_) | Effect::SuppressIn(_) | Effect::Accept { .. } => {
                panic!("every app is in one role and has no volumes")
            }
            Effect::Answer { answer, .. } => self.answers.push(answer),
            Effect::Probe(probe) => self.probes.push((probe.task, probe.check)),
            Effect::AskReady(probe) => self.asked_ready.push((probe.task, probe.check)),
            Effect::Publish(event) => self.published.push(*event),
            Effect::Acknowledge { .. } => {}
        }
    }

    fn reconcile(&mut self, asked: &[(TaskId, Option<AgentId>)]) {
        let mut statuses = Vec::new();
        for (task, _) in asked {
            let state = match self.tasks.get(task) {
                None => TaskState::Gone,
                Some(running) if !self.reachable[running.agent] => TaskState::Unreachable,
                Some(running) => running.state,
            };
            statuses.push((task.clone(), state));
        }
        if asked.is_empty() {
            let there =
                self.tasks.iter().filter(|(_, task)| !task.state.is_terminal() && self.reachable[task.agent]);
            statuses = there.map(|(task, running)| (task.clone(), running.state)).collect();
        }
        for (task, state) in statuses {
            self.tell(&task, state);
        }
    }

    fn tell(&mut self, task: &TaskId, state: TaskState) {
        if !self.connected {
            return;
        }
        if let Some(running) = self.tasks.get_mut(task).filter(|_| state == TaskState::Unreachable) {
            running.away = running.away.or(Some(self.now.mono));
        }
        self.apply(Event::Update(TaskStatus::new(task.clone(), state)));
    }

    /// A task comes to another state, and that is heard of.
    pub(crate) fn end(&mut self, task: &TaskId, state: TaskState) {
        match self.tasks.get_mut(task) {
            Some(running) if running.state.is_terminal() => self.tell_state(task),
            Some(running) => {
                running.state = state;
                self.tell_state(task);
            }
            None => self.tell(task, TaskState::Gone),
        }
    }

    fn tell_state(&mut self, task: &TaskId) {
        if let Some(state) = self.tasks.get(task).map(|running| running.state) {
            self.tell(task, state);
        }
    }

    /// Moves a task that is there to its next state.
    pub(crate) fn task_moves(&mut self, pick: usize, state: TaskState) {
        let there: Vec<TaskId> = self
            .tasks
            .iter()
            .filter(|(_, task)| !task.state.is_terminal() && self.reachable[task.agent])
            .map(|(task, _)| task.clone())
            .collect();
        let Some(task) = there.get(pick % there.len().max(1)) else { return };
        if let Some(running) = self.tasks.get_mut(task) {
            running.state = state;
        }
        self.tell_state(task);
    }

    pub(crate) fn subscribe(&mut self) {
        if !self.connected {
            self.connected = true;
            self.wants_offers = true;
            self.offers.clear();
            self.apply(Event::Subscribed);
        }
    }

    pub(crate) fn disconnect(&mut self) {
        if self.connected {
            self.connected = false;
            self.offers.clear();
            self.apply(Event::Disconnected);
        }
    }

    pub(crate) fn set_reachable(&mut self, agent: usize, reachable: bool) {
        if self.reachable[agent] == reachable {
            return;
        }
        self.reachable[agent] = reachable;
        self.offers.retain(|_, (of, _)| *of != agent);
        // An agent that comes back repeats also the ends of tasks that nobody acknowledged.
        let there = self.tasks.iter().filter(|(_, task)| task.agent == agent);
        let there = there.filter(|(_, task)| reachable || !task.state.is_terminal());
        let there: Vec<(TaskId, TaskState)> = there.map(|(id, task)| (id.clone(), task.state)).collect();
        for (task, state) in there {
            self.tell(&task, if reachable { state } else { TaskState::Unreachable });
        }
    }

    /// The master asks that an agent be left, and offers it to nobody.
    pub(crate) fn leave(&mut self, agent: usize) {
        self.set_leaving(agent);
        let away = Unavailability { start: self.now.wall, duration: None };
        let agent = format!("agent-{agent}").parse().expect("no slash");
        self.apply(Event::AskedToLeave(vec![(agent, away)]));
    }

    pub(crate) fn set_leaving(&mut self, agent: usize) {
        self.leaving.insert(agent);
        self.offers.retain(|_, (of, _)| *of != agent);
    }

    pub(crate) fn may_stay(&mut self, agent: usize) {
        self.leaving.remove(&agent);
    }

    pub(crate) fn offer(&mut self, agent: usize) {
        if self.leaving.contains(&agent) {
            return;
        }
        let taken = self.offers.values().any(|(of, _)| *of == agent);
        if !self.connected || !self.wants_offers || !self.reachable[agent] || taken {
            return;
        }
        let mut free = whole();
        for task in self.tasks.values().filter(|task| task.agent == agent && !task.state.is_terminal()) {
            free = free.checked_sub(&task.resources).expect("more runs than there is room for");
        }
        self.next_offer += 1;
        let id: OfferId = format!("offer-{}", self.next_offer).parse().expect("no slash");
        self.offers.insert(id.clone(), (agent, free.clone()));
        let (name, hostname) = (format!("agent-{agent}"), format!("host-{agent}"));
        let agent = name.parse().expect("no slash");
        self.apply(Event::Offers(vec![Offer::new(id, agent, hostname, free)]));
    }

    /// Answers every open question about health.
    pub(crate) fn answer(&mut self, well: bool) {
        for (task, check) in std::mem::take(&mut self.probes) {
            let result = if well { Ok(()) } else { Err("refused".to_owned()) };
            self.apply(Event::Probed { task, check, result });
        }
    }

    /// Answers every open question about readiness.
    pub(crate) fn answer_ready(&mut self, ready: bool) {
        for (task, check) in std::mem::take(&mut self.asked_ready) {
            let status = if ready { 200 } else { 503 };
            let response =
                ReadinessResponse { status, content_type: "text/plain".to_owned(), body: String::new() };
            self.apply(Event::Readiness { task, check, result: Ok(response) });
        }
    }

    /// Makes up to `count` writes durable and says so.
    pub(crate) fn store(&mut self, count: usize) {
        for _ in 0..count {
            let Some((number, writes)) = self.writes.pop_front() else { return };
            self.keep(writes);
            self.apply(Event::Stored(number));
        }
    }

    fn keep(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::Put { key, value } => self.store.insert(key, value),
                Write::Delete { key } => self.store.remove(&key),
            };
        }
    }

    /// The process dies, after some of its writes reached the disk, and starts again.
    pub(crate) fn crash(&mut self, kept: usize) {
        for _ in 0..kept {
            if let Some((_, writes)) = self.writes.pop_front() {
                self.keep(writes);
            }
        }
        self.writes.clear();
        self.probes.clear();
        self.asked_ready.clear();
        self.offers.clear();
        self.connected = false;
        self.starts += 1;
        let seed = Seed::new(7, self.starts << 40);
        let records = self.store.clone();
        self.services =
            Services::restore(Role::star(), seed, self.now, records).expect("own records are readable");
    }

    /// The time of day jumps, and no time passes.
    pub(crate) fn set_clock(&mut self, change: impl FnOnce(u64) -> u64) {
        self.now.wall = Wall(change(self.now.wall.0));
    }

    /// How long until it wants to look by itself.
    pub(crate) fn until_deadline(&self) -> Option<Duration> {
        self.services.next_deadline().map(|at| at.since(self.now.mono))
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now.mono = self.now.mono + time;
        self.now.wall = self.now.wall + time;
        self.apply(Event::Tick);
    }

    /// No more faults: everything works for as long as it takes, and a little longer, so that nothing comes after it.
    pub(crate) fn calm_down(&mut self) {
        for agent in 0..AGENTS {
            self.set_reachable(agent, true);
            self.may_stay(agent);
        }
        self.subscribe();
        let mut quiet = 0;
        for _ in 0..100 {
            self.store(usize::MAX);
            for agent in 0..AGENTS {
                self.offer(agent);
            }
            self.store(usize::MAX);
            for pick in 0..self.tasks.len() {
                self.task_moves(pick, TaskState::Running);
            }
            self.answer(true);
            self.answer_ready(true);
            self.let_go_on();
            self.wait(Duration::from_secs(10));
            quiet = if self.has_arrived() { quiet + 1 } else { 0 };
            if quiet == QUIET_ROUNDS {
                break;
            }
        }
        self.store(usize::MAX);
    }

    /// Nothing is left half done, and each app has what it asked for.
    fn has_arrived(&self) -> bool {
        let has_all = |state: &AppState| {
            let definition = &state.app.definition;
            self.running(&definition.id) == definition.instances as usize
        };
        self.writes.is_empty() && self.is_settled() && self.services.all_apps().all(has_all)
    }

    /// No deployment waits for a person.
    fn let_go_on(&mut self) {
        let waiting: Vec<DeploymentId> =
            self.services.deployments().map(|deployment| deployment.id).collect();
        for deployment in waiting {
            self.command(Command::Resume(deployment));
            self.command(Command::Promote(deployment));
        }
    }

    /// How many tasks of an app run, by the agents.
    pub(crate) fn running(&self, app: &AppId) -> usize {
        let of_app = |task: &TaskId| InstanceId::of_task(task.as_str()).is_some_and(|id| id.app() == app);
        self.tasks.iter().filter(|(id, task)| of_app(id) && !task.state.is_terminal()).count()
    }

    /// Every task that has not ended.
    pub(crate) fn live(&self) -> usize {
        self.tasks.values().filter(|task| !task.state.is_terminal()).count()
    }

    /// Nothing is left half done.
    pub(crate) fn is_settled(&self) -> bool {
        let stopping =
            |state: &AppState| state.instances.values().any(|instance| instance.goal == Goal::Stop);
        self.services.deployments().next().is_none() && !self.services.all_apps().any(stopping)
    }
}

fn whole() -> Resources {
    let ports = Ranges::new([Range { begin: 31_000, end: 32_000 }]);
    Resources::from_list([
        Resource::scalar("cpus", Milli::whole(CPUS)),
        Resource::scalar("mem", Milli::whole(CPUS * 64)),
        Resource::ranges("ports", ports),
    ])
    .expect("whole amounts")
}
