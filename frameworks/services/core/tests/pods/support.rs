//! The core with a store that is always quick, and an agent that launches groups as agents do.

use std::collections::BTreeMap;
use std::time::Duration;

use chapada_model::{
    Milli, Mono, Now, Range, Ranges, Resource, Resources, Role, TaskId, TaskState, TaskStatus, Wall,
};
use chapada_services_core::{
    AppId, Command, Effect, Event, Instance, InstanceId, LaunchGroup, Offer, Published, Refusal, Reply, Seed,
    Services, Settings, Write,
};
use serde_json::{Map, Value, json};

pub(crate) const POD: &str = "/shop/web";

pub(crate) struct Bench {
    pub(crate) services: Services,
    pub(crate) now: Now,
    pub(crate) store: BTreeMap<String, Vec<u8>>,
    pub(crate) groups: Vec<LaunchGroup>,
    pub(crate) killed: Vec<TaskId>,
    pub(crate) asked: Vec<TaskId>,
    pub(crate) published: Vec<Published>,
    pub(crate) answer: Option<Result<Reply, Refusal>>,
    offers: u32,
    starts: u64,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let mut bench = Self {
            services: Services::new(Role::star(), Seed::new(1, 1)).with_settings(settings()),
            now: Now { mono: Mono(1), wall: Wall(1_000_000_000_000_000_000) },
            store: BTreeMap::new(),
            groups: Vec::new(),
            killed: Vec::new(),
            asked: Vec::new(),
            published: Vec::new(),
            answer: None,
            offers: 0,
            starts: 0,
        };
        bench.apply(Event::Subscribed);
        bench
    }

    /// With the pod of [`pod`], changed by `more`, launched and running.
    pub(crate) fn with_pod(more: Value) -> Self {
        let mut bench = Self::new();
        bench.create(more).expect("accepted");
        bench.all_run();
        bench
    }

    pub(crate) fn command(&mut self, command: Command) -> Result<Reply, Refusal> {
        self.apply(Event::Command { request: 1, command });
        self.answer.take().expect("an answer")
    }

    pub(crate) fn create(&mut self, more: Value) -> Result<Reply, Refusal> {
        self.command(Command::CreatePod { definition: pod(more), force: false })
    }

    pub(crate) fn replace(&mut self, more: Value) -> Result<Reply, Refusal> {
        self.command(Command::ReplacePod { pod: id(), definition: pod(more), force: false })
    }

    pub(crate) fn apply(&mut self, event: Event) {
        for effect in self.services.apply(self.now, event) {
            match effect {
                Effect::Store { number, writes } => {
                    self.keep(writes);
                    self.apply(Event::Stored(number));
                }
                Effect::Revive => self.offer(),
                Effect::Launch { groups, .. } => {
                    for task in groups.iter().flat_map(|group| &group.tasks) {
                        let id = InstanceId::of_task(task.launch.task.as_str()).expect("the core named it");
                        let is_kept = self.store.contains_key(&format!("instance.{id}"));
                        assert!(is_kept, "launched before it was durable");
                    }
                    self.groups.extend(groups);
                }
                Effect::Kill { task, .. } => self.killed.push(task),
                Effect::Reconcile(tasks) if !tasks.is_empty() => {
                    self.asked = tasks.into_iter().map(|(task, _)| task).collect()
                }
                Effect::Publish(event) => self.published.push(*event),
                Effect::Answer { answer, .. } => self.answer = Some(answer),
                _ => {}
            }
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

    pub(crate) fn offer(&mut self) {
        self.offers += 1;
        let resources = Resources::from_list([
            Resource::scalar("cpus", Milli::whole(16)),
            Resource::scalar("mem", Milli::whole(8_192)),
            Resource::scalar("disk", Milli::whole(8_192)),
            Resource::ranges("ports", Ranges::new([Range { begin: 31_000, end: 31_099 }])),
        ]);
        let id = format!("o{}", self.offers).parse().expect("an id");
        let agent = "agent".parse().expect("an id");
        self.apply(Event::Offers(vec![Offer::new(id, agent, "host", resources.expect("whole amounts"))]));
    }

    pub(crate) fn wait(&mut self, seconds: u64) {
        let time = Duration::from_secs(seconds);
        self.now.mono = self.now.mono + time;
        self.now.wall = self.now.wall + time;
        self.apply(Event::Tick);
    }

    pub(crate) fn update(&mut self, task: &TaskId, state: TaskState) {
        self.apply(Event::Update(TaskStatus::new(task.clone(), state)));
    }

    pub(crate) fn says(&mut self, task: &TaskId, state: TaskState, message: &str) {
        let message = Some(message.into());
        self.apply(Event::Update(TaskStatus { message, ..TaskStatus::new(task.clone(), state) }));
    }

    pub(crate) fn health(&mut self, task: &TaskId, healthy: bool) {
        let status =
            TaskStatus { healthy: Some(healthy), ..TaskStatus::new(task.clone(), TaskState::Running) };
        self.apply(Event::Update(status));
    }

    /// Everything that was launched and not ended runs.
    pub(crate) fn all_run(&mut self) {
        for task in self.live() {
            self.update(&task, TaskState::Running);
        }
    }

    /// What was asked to end has ended.
    pub(crate) fn all_killed(&mut self) {
        for task in std::mem::take(&mut self.killed) {
            self.update(&task, TaskState::Killed);
        }
    }

    /// Lets what goes on go on, until nothing does.
    pub(crate) fn settle(&mut self) {
        for _ in 0..50 {
            self.all_run();
            self.all_killed();
            self.offer();
            self.wait(1);
        }
    }

    /// The tasks of the pod that have not ended.
    pub(crate) fn live(&self) -> Vec<TaskId> {
        let tasks = self.instances().into_iter().filter_map(|instance| instance.task().cloned());
        tasks.flat_map(|task| task.live_ids().cloned().collect::<Vec<TaskId>>()).collect()
    }

    pub(crate) fn instances(&self) -> Vec<Instance> {
        let state = self.services.all_apps().find(|state| state.app.definition.id == id());
        state.map(|state| state.instances.values().cloned().collect()).unwrap_or_default()
    }

    /// The one instance.
    pub(crate) fn instance(&self) -> Instance {
        let mut instances = self.instances();
        assert_eq!(instances.len(), 1);
        instances.swap_remove(0)
    }

    pub(crate) fn is_deploying(&self) -> bool {
        self.services.deployments().next().is_some()
    }

    /// The process dies and starts again.
    pub(crate) fn restart(&mut self) {
        let records = self.store.clone();
        self.starts += 1;
        let seed = Seed::new(1, self.starts << 40);
        let read = Services::restore(Role::star(), seed, self.now, records);
        self.services = read.expect("own records are readable").with_settings(settings());
        self.apply(Event::Subscribed);
    }
}

fn settings() -> Settings {
    Settings { secrets: true, ..Settings::default() }
}

pub(crate) fn id() -> AppId {
    POD.parse().expect("a path")
}

/// A pod of two containers that share a volume, with the fields of `more` in place of its own.
pub(crate) fn pod(more: Value) -> Map<String, Value> {
    let mut pod = json!({
        "id": POD,
        "labels": {"tier": "front"},
        "environment": {"SHARED": "pod", "OWN": "pod"},
        "volumes": [{"name": "pages"}],
        "containers": [
            {
                "name": "maker", "exec": {"command": {"shell": "make pages"}}, "resources": {"cpus": 0.5, "mem": 64},
                "volumeMounts": [{"name": "pages", "mountPath": "out"}],
            },
            {
                "name": "server", "exec": {"command": {"argv": ["serve", "in"]}},
                "resources": {"cpus": 1, "mem": 128, "disk": 8}, "environment": {"OWN": "container"},
                "endpoints": [{"name": "web-ui"}, {"name": "admin", "hostPort": 31_050}],
                "volumeMounts": [{"name": "pages", "mountPath": "in", "readOnly": true}],
            },
        ],
        "scheduling": {"backoff": {"backoff": 5}},
    });
    pod.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    pod.as_object().expect("an object").clone()
}
