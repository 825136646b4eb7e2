//! A master whose agents do at once what they are told, and a store that is quick.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chapada_model::{
    AgentId, Milli, Mono, Now, Resource, Resources, Role, TaskId, TaskState, TaskStatus, Wall,
};
use chapada_services_core::{
    AppId, AppState, Command, Effect, Event, Offer, Refusal, Reply, Seed, Services, Write,
};
use serde_json::Value;

/// How many agents there are; each has a host of its own.
pub(crate) const AGENTS: usize = 4;

pub(crate) struct Bench {
    pub(crate) services: Services,
    pub(crate) now: Now,
    pub(crate) records: BTreeMap<String, Vec<u8>>,
    /// What runs, and where.
    pub(crate) running: BTreeMap<TaskId, AgentId>,
    pub(crate) killed: Vec<TaskId>,
    pub(crate) answers: Vec<Result<Reply, Refusal>>,
    /// Whether it is heard at once that what was launched runs.
    pub(crate) launched_are_told: bool,
    /// Whether it lets those wait who ask what became of their tasks.
    pub(crate) master_is_slow: bool,
    /// The most records that were written in one go.
    pub(crate) most_written: usize,
    starts: u64,
    offers: usize,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let mut bench = Self {
            services: Services::new(Role::star(), Seed::new(1, 1)),
            now: Now { mono: Mono(1), wall: Wall(1_000_000_000_000_000_000) },
            records: BTreeMap::new(),
            running: BTreeMap::new(),
            killed: Vec::new(),
            answers: Vec::new(),
            launched_are_told: true,
            master_is_slow: false,
            most_written: 0,
            starts: 0,
            offers: 0,
        };
        bench.apply(Event::Subscribed);
        bench
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.apply(Event::Command { request: 1, command });
    }

    pub(crate) fn create(&mut self, app: &Value) {
        let definition = app.as_object().expect("an object").clone();
        self.command(Command::Create { definition, force: false });
    }

    pub(crate) fn apply(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for effect in self.services.apply(self.now, event) {
                match effect {
                    Effect::Store { number, writes } => {
                        self.write(writes);
                        events.push_back(Event::Stored(number));
                    }
                    Effect::Launch { tasks, .. } => {
                        for task in tasks {
                            if self.launched_are_told {
                                events.push_back(says(&task.task, &task.agent, TaskState::Running, ""));
                            }
                            self.running.insert(task.task, task.agent);
                        }
                    }
                    Effect::Kill { task, .. } => {
                        if let Some(agent) = self.running.remove(&task) {
                            events.push_back(says(&task, &agent, TaskState::Killed, ""));
                        }
                        self.killed.push(task);
                    }
                    Effect::Answer { answer, .. } => self.answers.push(answer),
                    Effect::Reconcile(asked) if !self.master_is_slow => {
                        events.extend(asked.into_iter().map(|(task, _)| self.standing(&task)));
                    }
                    _ => {}
                }
            }
        }
    }

    /// What the master answers when it is asked about a task.
    fn standing(&self, task: &TaskId) -> Event {
        match self.running.get(task) {
            Some(agent) => says(task, agent, TaskState::Running, ""),
            None => Event::Update(TaskStatus::new(task.clone(), TaskState::Gone)),
        }
    }

    /// The master says what became of a task.
    pub(crate) fn hears(&mut self, task: &TaskId) {
        let event = self.standing(task);
        self.apply(event);
    }

    fn write(&mut self, writes: Vec<Write>) {
        self.most_written = self.most_written.max(writes.len());
        for write in writes {
            match write {
                Write::Put { key, value } => self.records.insert(key, value),
                Write::Delete { key } => self.records.remove(&key),
            };
        }
    }

    /// A task ends by itself.
    pub(crate) fn ends(&mut self, task: &TaskId, message: &str) {
        let agent = self.running.remove(task).expect("it runs");
        self.apply(says(task, &agent, TaskState::Failed, message));
    }

    /// Everything that is due now is done.
    pub(crate) fn settle(&mut self) {
        while self.services.next_deadline().is_some_and(|at| at <= self.now.mono) {
            self.apply(Event::Tick);
        }
    }

    /// Offers until nothing takes any.
    pub(crate) fn run(&mut self) {
        let mut before = usize::MAX;
        while before != self.running.len() {
            before = self.running.len();
            self.offer_all();
        }
    }

    pub(crate) fn offer_all(&mut self) {
        let offers = (0..AGENTS).map(|agent| self.offer(agent)).collect();
        self.apply(Event::Offers(offers));
        self.settle();
    }

    fn offer(&mut self, agent: usize) -> Offer {
        self.offers += 1;
        let resources = Resources::from_list([
            Resource::scalar("cpus", Milli::whole(64)),
            Resource::scalar("mem", Milli::whole(65_536)),
        ]);
        let (id, name) = (format!("o{}", self.offers), format!("a{agent}"));
        let (id, name) = (id.parse().expect("an id"), name.parse().expect("an id"));
        Offer::new(id, name, format!("host-{agent}"), resources.expect("whole amounts"))
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now.mono = self.now.mono + time;
        self.now.wall = self.now.wall + time;
        self.apply(Event::Tick);
    }

    /// The process is gone, and another one takes its place after this time.
    pub(crate) fn restart(&mut self, after: Duration) {
        self.starts += 1;
        self.now.wall = self.now.wall + after;
        // Its clock begins anew.
        self.now.mono = Mono(1);
        let records = self.records.clone();
        let seed = Seed::new(2, self.starts);
        self.services = Services::restore(Role::star(), seed, self.now, records).expect("own records");
        self.apply(Event::Subscribed);
    }

    pub(crate) fn app(&self, id: &str) -> &AppState {
        self.services.app(&id.parse::<AppId>().expect("an id")).expect("there is the app")
    }
}

pub(crate) fn says(task: &TaskId, agent: &AgentId, state: TaskState, message: &str) -> Event {
    let message = (!message.is_empty()).then(|| message.into());
    Event::Update(TaskStatus { agent: Some(agent.clone()), message, ..TaskStatus::new(task.clone(), state) })
}
