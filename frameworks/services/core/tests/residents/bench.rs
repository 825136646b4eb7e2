//! Agents and a master that keep books of what is reserved and of the volumes on them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chapada_model::{
    Milli, Mono, Now, Range, Ranges, Resource, Resources, Role, TaskId, TaskState, TaskStatus, Wall,
};
use chapada_sdk_core::Offer;
use chapada_services_core::{
    Command, Effect, Event, HomeOperation, Launch, LaunchGroup, Refusal, Reply, Seed, Services, Update, Write,
};
use serde_json::{Map, Value, json};

pub(crate) const ROLE: &str = "store";

/// Agents and a master that do what they are told, a store that is always quick.
pub(crate) struct Bench {
    pub(crate) services: Services,
    pub(crate) now: Now,
    pub(crate) records: BTreeMap<String, Vec<u8>>,
    /// What each agent has that no task uses.
    pub(crate) free: BTreeMap<String, Resources>,
    pub(crate) tasks: BTreeMap<TaskId, (String, Resources)>,
    /// Offers that were made and not answered.
    offers: BTreeMap<String, String>,
    made: u32,
    answers: Vec<Result<Reply, Refusal>>,
    /// Whether operations and what comes after them are lost on the way.
    pub(crate) deaf: bool,
    /// The instances of pods that run, and where.
    pub(crate) executors: Vec<(String, LaunchGroup)>,
    /// Every launch there was: the task, or an instance's first, and the volumes in it.
    pub(crate) launches: Vec<(TaskId, BTreeSet<String>)>,
}

impl Bench {
    pub(crate) fn new(agents: &[&str]) -> Self {
        let mut bench = Self {
            services: Services::new(role(), Seed::new(1, 1)),
            now: Now { mono: Mono(1), wall: Wall(1_000_000_000_000_000_000) },
            records: BTreeMap::new(),
            free: agents.iter().map(|agent| ((*agent).to_owned(), machine())).collect(),
            tasks: BTreeMap::new(),
            offers: BTreeMap::new(),
            made: 0,
            answers: Vec::new(),
            deaf: false,
            executors: Vec::new(),
            launches: Vec::new(),
        };
        bench.subscribe();
        bench
    }

    pub(crate) fn subscribe(&mut self) {
        self.apply(Event::Registered("f-1".parse().expect("an id")));
        self.apply(Event::Subscribed);
    }

    pub(crate) fn apply(&mut self, event: Event) {
        for effect in self.services.apply(self.now, event) {
            self.execute(effect);
        }
    }

    fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::Store { number, writes } => {
                for write in writes {
                    match write {
                        Write::Put { key, value } => self.records.insert(key, value),
                        Write::Delete { key } => self.records.remove(&key),
                    };
                }
                self.apply(Event::Stored(number));
            }
            Effect::Launch { offer, tasks, groups, .. } => {
                self.accept(offer.as_str(), Vec::new(), tasks, groups);
            }
            Effect::Accept { offer, operations, tasks, groups, .. } => {
                self.accept(offer.as_str(), operations, tasks, groups);
            }
            Effect::Decline { offer, .. } => drop(self.offers.remove(offer.as_str())),
            Effect::Kill { task, .. } => self.end(&task, TaskState::Killed),
            Effect::Answer { answer, .. } => self.answers.push(answer),
            _ => {}
        }
    }

    fn accept(
        &mut self,
        offer: &str,
        operations: Vec<HomeOperation>,
        tasks: Vec<Launch>,
        groups: Vec<LaunchGroup>,
    ) {
        let agent = self.offers.remove(offer).expect("an offer is used once");
        if self.deaf && !operations.is_empty() {
            let members = groups.into_iter().flat_map(|group| group.tasks).map(|member| member.launch);
            for launch in tasks.into_iter().chain(members) {
                self.apply(Event::Update(TaskStatus::new(launch.task, TaskState::Dropped)));
            }
            return;
        }
        for operation in operations {
            match operation {
                HomeOperation::Reserve(kept) => self.change(&agent, each(&kept, unkept), kept),
                HomeOperation::Unreserve(kept) => self.change(&agent, kept.clone(), each(&kept, unkept)),
                HomeOperation::Create(volumes) => {
                    self.change(&agent, each(&volumes, Resource::without_volume), volumes);
                }
                HomeOperation::Destroy(volumes) => {
                    self.change(&agent, volumes.clone(), each(&volumes, Resource::without_volume));
                }
            }
        }
        for launch in tasks {
            let taken = self.begin(&agent, &launch);
            self.launches.push((launch.task, taken.iter().filter_map(volume_id).collect()));
        }
        for group in groups {
            let taken = group.resources.unallocated();
            self.change(&agent, taken.clone(), Resources::EMPTY);
            for member in &group.tasks {
                self.begin(&agent, &member.launch);
            }
            let first = group.tasks[0].launch.task.clone();
            self.launches.push((first, taken.iter().filter_map(volume_id).collect()));
            self.executors.push((agent.clone(), group));
        }
    }

    /// What is free on an agent is other than it was.
    fn change(&mut self, agent: &str, from: Resources, to: Resources) {
        let free = self.free.get_mut(agent).expect("an agent");
        *free = sum(&free.checked_sub(&from).expect("it is there"), &to);
    }

    fn begin(&mut self, agent: &str, launch: &Launch) -> Resources {
        let taken = launch.resources.unallocated();
        self.change(agent, taken.clone(), Resources::EMPTY);
        let before = self.tasks.insert(launch.task.clone(), (agent.to_owned(), taken.clone()));
        assert!(before.is_none(), "one id was used twice");
        taken
    }

    pub(crate) fn end(&mut self, task: &TaskId, state: TaskState) {
        if let Some((agent, resources)) = self.tasks.remove(task)
            && let Some(free) = self.free.get_mut(&agent)
        {
            *free = sum(free, &resources);
        }
        let is_of =
            |(_, group): &(String, LaunchGroup)| group.tasks.iter().any(|member| member.launch.task == *task);
        let at = self.executors.iter().position(is_of);
        let others = self.end_executor(at);
        self.apply(Event::Update(TaskStatus::new(task.clone(), state)));
        for other in others {
            self.end(&other, TaskState::Killed);
        }
    }

    /// An executor ends with its last task; the tasks that it ends with one of them.
    fn end_executor(&mut self, at: Option<usize>) -> Vec<TaskId> {
        let Some(at) = at else { return Vec::new() };
        let tasks = self.executors[at].1.tasks.iter().map(|member| member.launch.task.clone());
        let others: Vec<TaskId> = tasks.filter(|task| self.tasks.contains_key(task)).collect();
        if others.is_empty() {
            let (agent, group) = self.executors.remove(at);
            self.change(&agent, Resources::EMPTY, group.resources.unallocated());
        }
        others
    }

    /// Each agent is offered, what runs is said to run, and time passes, until nothing more can happen.
    pub(crate) fn run(&mut self) {
        for _ in 0..12 {
            self.round();
        }
    }

    /// Every agent is offered.
    pub(crate) fn offer(&mut self) {
        for agent in self.free.keys().cloned().collect::<Vec<_>>() {
            self.made += 1;
            let id = format!("o{}", self.made);
            self.offers.insert(id.clone(), agent.clone());
            let resources = self.free[&agent].clone();
            let offer = Offer::new(
                id.parse().expect("an id"),
                agent.parse().expect("an id"),
                format!("host-{agent}"),
                resources.allocated_to(&role()),
            );
            self.apply(Event::Offers(vec![Offer { role: role(), ..offer }]));
        }
    }

    /// A second in which every agent is offered and everything that was launched runs.
    pub(crate) fn round(&mut self) {
        self.offer();
        for task in self.tasks.keys().cloned().collect::<Vec<_>>() {
            self.apply(Event::Update(TaskStatus::new(task, TaskState::Running)));
        }
        self.wait(Duration::from_secs(1));
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now = Now { mono: self.now.mono + time, wall: self.now.wall + time };
        self.apply(Event::Tick);
    }

    pub(crate) fn command(&mut self, command: Command) -> Result<Reply, Refusal> {
        self.apply(Event::Command { request: 1, command });
        self.answers.pop().expect("each command is answered")
    }

    pub(crate) fn update(&mut self, fields: Value) -> Result<Reply, Refusal> {
        let app = "/db".parse().expect("an id");
        let update = Update { app, fields: object(fields), partial: true, create: false };
        self.command(Command::Update { updates: vec![update], force: true })
    }

    pub(crate) fn crash(&mut self) {
        let records = self.records.clone();
        self.services = Services::restore(role(), Seed::new(2, 2), self.now, records).expect("own records");
        self.subscribe();
    }

    /// The ids of all volumes there are.
    pub(crate) fn volumes(&self) -> BTreeSet<String> {
        let used = self.tasks.values().map(|(_, resources)| resources);
        let shared: Vec<Resources> =
            self.executors.iter().map(|(_, group)| group.resources.unallocated()).collect();
        used.chain(self.free.values())
            .chain(&shared)
            .flat_map(Resources::iter)
            .filter_map(volume_id)
            .collect()
    }

    /// Whether anything is reserved anywhere.
    pub(crate) fn is_all_free(&self) -> bool {
        self.tasks.is_empty() && self.free.values().all(|free| *free == machine())
    }

    pub(crate) fn agents(&self) -> Vec<&str> {
        self.tasks.values().map(|(agent, _)| agent.as_str()).collect()
    }

    pub(crate) fn with_app(agents: &[&str], instances: u32) -> Self {
        let mut bench = Self::new(agents);
        let mut app = app();
        app["instances"] = json!(instances);
        bench.command(Command::Create { definition: object(app), force: false }).expect("valid");
        bench.run();
        assert_eq!(bench.tasks.len(), instances as usize);
        bench
    }

    pub(crate) fn task(&self) -> TaskId {
        self.tasks.keys().next().expect("a task").clone()
    }
}

pub(crate) fn role() -> Role {
    Role::new(ROLE).expect("a role")
}

pub(crate) fn machine() -> Resources {
    let ports = Ranges::new([Range { begin: 31_000, end: 31_009 }]);
    list(vec![
        Resource::scalar("cpus", Milli::whole(2)),
        Resource::scalar("mem", Milli::whole(512)),
        Resource::scalar("disk", Milli::whole(1_000)),
        Resource::ranges("ports", ports),
    ])
}

pub(crate) fn list(resources: Vec<Resource>) -> Resources {
    Resources::from_list(resources).expect("whole amounts")
}

pub(crate) fn sum(one: &Resources, other: &Resources) -> Resources {
    list(one.iter().chain(other.iter()).cloned().collect())
}

fn each(resources: &Resources, change: impl Fn(&Resource) -> Resource) -> Resources {
    list(resources.iter().map(change).collect())
}

fn unkept(resource: &Resource) -> Resource {
    let mut resource = resource.clone();
    resource.reservations.pop().expect("reserved");
    resource
}

fn volume_id(resource: &Resource) -> Option<String> {
    Some(resource.disk.as_ref()?.persistence.as_ref()?.id.to_string())
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

pub(crate) fn app() -> Value {
    json!({
        "id": "/db", "cmd": "serve", "cpus": 1, "mem": 64, "disk": 10, "role": ROLE, "backoffSeconds": 0,
        "container": {"type": "MESOS", "volumes": [
            {"containerPath": "data", "mode": "RW", "persistent": {"size": 100}},
        ]},
    })
}
