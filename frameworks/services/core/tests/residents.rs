//! Apps with persistent volumes, against agents that keep books of what is reserved and of the volumes on them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chapada_model::{
    Milli, Mono, Now, Range, Ranges, Resource, Resources, Role, TaskId, TaskState, TaskStatus, Wall,
};
use chapada_sdk_core::Offer;
use chapada_services_core::{
    Command, Effect, Event, GroupChange, HomeOperation, InstanceId, Launch, Refusal, Reply, Seed, Services,
    Update, Which, Write,
};
use serde_json::{Map, Value, json};

const ROLE: &str = "store";

/// Agents and a master that do what they are told, a store that is always quick.
struct Bench {
    services: Services,
    now: Now,
    records: BTreeMap<String, Vec<u8>>,
    /// What each agent has that no task uses.
    free: BTreeMap<String, Resources>,
    tasks: BTreeMap<TaskId, (String, Resources)>,
    /// Offers that were made and not answered.
    offers: BTreeMap<String, String>,
    made: u32,
    answers: Vec<Result<Reply, Refusal>>,
    /// Whether operations and what comes after them are lost on the way.
    deaf: bool,
    /// Every launch there was: the task and the volumes in it.
    launches: Vec<(TaskId, BTreeSet<String>)>,
}

impl Bench {
    fn new(agents: &[&str]) -> Self {
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
            launches: Vec::new(),
        };
        bench.subscribe();
        bench
    }

    fn subscribe(&mut self) {
        self.apply(Event::Registered("f-1".parse().expect("an id")));
        self.apply(Event::Subscribed);
    }

    fn apply(&mut self, event: Event) {
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
            Effect::Launch { offer, tasks, .. } => self.accept(offer.as_str(), Vec::new(), tasks),
            Effect::Accept { offer, operations, tasks, .. } => self.accept(offer.as_str(), operations, tasks),
            Effect::Decline { offer, .. } => drop(self.offers.remove(offer.as_str())),
            Effect::Kill { task, .. } => self.end(&task, TaskState::Killed),
            Effect::Answer { answer, .. } => self.answers.push(answer),
            _ => {}
        }
    }

    fn accept(&mut self, offer: &str, operations: Vec<HomeOperation>, tasks: Vec<Launch>) {
        let agent = self.offers.remove(offer).expect("an offer is used once");
        if self.deaf && !operations.is_empty() {
            for launch in tasks {
                self.apply(Event::Update(TaskStatus::new(launch.task, TaskState::Dropped)));
            }
            return;
        }
        let free = self.free.get_mut(&agent).expect("an agent");
        let mut change = |from: Resources, to: Resources| {
            *free = free.checked_sub(&from).expect("it is there");
            *free = sum(free, &to);
        };
        for operation in operations {
            match operation {
                HomeOperation::Reserve(kept) => change(each(&kept, unkept), kept),
                HomeOperation::Unreserve(kept) => change(kept.clone(), each(&kept, unkept)),
                HomeOperation::Create(volumes) => change(each(&volumes, Resource::without_volume), volumes),
                HomeOperation::Destroy(volumes) => {
                    change(volumes.clone(), each(&volumes, Resource::without_volume))
                }
            }
        }
        for launch in tasks {
            let taken = launch.resources.unallocated();
            change(taken.clone(), Resources::EMPTY);
            let volumes = taken.iter().filter_map(volume_id).collect();
            self.launches.push((launch.task.clone(), volumes));
            assert!(
                self.tasks.insert(launch.task, (agent.clone(), taken)).is_none(),
                "one id was used twice"
            );
        }
    }

    fn end(&mut self, task: &TaskId, state: TaskState) {
        if let Some((agent, resources)) = self.tasks.remove(task)
            && let Some(free) = self.free.get_mut(&agent)
        {
            *free = sum(free, &resources);
        }
        self.apply(Event::Update(TaskStatus::new(task.clone(), state)));
    }

    /// Each agent is offered, what runs is said to run, and time passes, until nothing more can happen.
    fn run(&mut self) {
        for _ in 0..12 {
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
            for task in self.tasks.keys().cloned().collect::<Vec<_>>() {
                self.apply(Event::Update(TaskStatus::new(task, TaskState::Running)));
            }
            self.wait(Duration::from_secs(1));
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now = Now { mono: self.now.mono + time, wall: self.now.wall + time };
        self.apply(Event::Tick);
    }

    fn command(&mut self, command: Command) -> Result<Reply, Refusal> {
        self.apply(Event::Command { request: 1, command });
        self.answers.pop().expect("each command is answered")
    }

    fn update(&mut self, fields: Value) -> Result<Reply, Refusal> {
        let app = "/db".parse().expect("an id");
        let update = Update { app, fields: object(fields), partial: true, create: false };
        self.command(Command::Update { updates: vec![update], force: true })
    }

    fn crash(&mut self) {
        let records = self.records.clone();
        self.services = Services::restore(role(), Seed::new(2, 2), self.now, records).expect("own records");
        self.subscribe();
    }

    /// The ids of all volumes there are.
    fn volumes(&self) -> BTreeSet<String> {
        let used = self.tasks.values().map(|(_, resources)| resources);
        used.chain(self.free.values()).flat_map(Resources::iter).filter_map(volume_id).collect()
    }

    /// Whether anything is reserved anywhere.
    fn is_all_free(&self) -> bool {
        self.tasks.is_empty() && self.free.values().all(|free| *free == machine())
    }

    fn agents(&self) -> Vec<&str> {
        self.tasks.values().map(|(agent, _)| agent.as_str()).collect()
    }

    fn with_app(agents: &[&str], instances: u32) -> Self {
        let mut bench = Self::new(agents);
        let mut app = app();
        app["instances"] = json!(instances);
        bench.command(Command::Create { definition: object(app), force: false }).expect("valid");
        bench.run();
        assert_eq!(bench.tasks.len(), instances as usize);
        bench
    }

    fn task(&self) -> TaskId {
        self.tasks.keys().next().expect("a task").clone()
    }
}

fn role() -> Role {
    Role::new(ROLE).expect("a role")
}

fn machine() -> Resources {
    let ports = Ranges::new([Range { begin: 31_000, end: 31_009 }]);
    list(vec![
        Resource::scalar("cpus", Milli::whole(2)),
        Resource::scalar("mem", Milli::whole(512)),
        Resource::scalar("disk", Milli::whole(1_000)),
        Resource::ranges("ports", ports),
    ])
}

fn list(resources: Vec<Resource>) -> Resources {
    Resources::from_list(resources).expect("whole amounts")
}

fn sum(one: &Resources, other: &Resources) -> Resources {
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

fn object(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn app() -> Value {
    json!({
        "id": "/db", "cmd": "serve", "cpus": 1, "mem": 64, "disk": 10, "role": ROLE, "backoffSeconds": 0,
        "container": {"type": "MESOS", "volumes": [
            {"containerPath": "data", "mode": "RW", "persistent": {"size": 100}},
        ]},
    })
}

fn instance_of(task: &TaskId) -> InstanceId {
    InstanceId::of_task(task.as_str()).expect("ours")
}

#[test]
fn an_instance_finds_its_volume_again_after_failures_restarts_and_crashes() {
    let mut bench = Bench::with_app(&["a", "b"], 1);
    let (agent, volumes, instance) =
        (bench.agents()[0].to_owned(), bench.volumes(), instance_of(&bench.task()));
    assert_eq!(volumes.len(), 1);
    bench.end(&bench.task(), TaskState::Failed);
    bench.run();
    bench.command(Command::Restart { app: "/db".parse().expect("an id"), force: false }).expect("taken");
    bench.run();
    bench.crash();
    bench.end(&bench.task(), TaskState::Failed);
    bench.crash();
    bench.run();
    bench.update(json!({"cmd": "serve better"})).expect("taken");
    bench.run();
    assert_eq!(bench.launches.len(), 5);
    for (task, used) in &bench.launches {
        assert_eq!((used, instance_of(task)), (&volumes, instance.clone()));
    }
    assert_eq!((bench.agents(), bench.volumes()), (vec![agent.as_str()], volumes));
    assert_eq!(bench.services.deployments().count(), 0);
}

#[test]
fn an_agent_that_is_gone_is_waited_for_and_never_replaced_by_an_empty_volume() {
    let mut bench = Bench::with_app(&["a", "b"], 1);
    let (task, agent) = (bench.task(), bench.agents()[0].to_owned());
    let lost = bench.free.remove(&agent).expect("an agent");
    let (_, kept) = bench.tasks.remove(&task).expect("it ran");
    bench.apply(Event::Update(TaskStatus::new(task.clone(), TaskState::Unreachable)));
    bench.wait(Duration::from_secs(100_000));
    bench.run();
    assert_eq!(bench.launches.len(), 1, "it may be running still");
    bench.apply(Event::Update(TaskStatus::new(task.clone(), TaskState::Gone)));
    bench.run();
    bench.crash();
    bench.wait(Duration::from_secs(100_000));
    bench.run();
    assert_eq!(bench.launches.len(), 1, "only its agent has what it needs");
    let state = bench.services.app(&"/db".parse().expect("an id")).expect("there");
    let home = state.homes.values().next().expect("a home");
    assert_eq!((home.hostname.as_str(), home.confirmed), (format!("host-{agent}").as_str(), true));

    let ids = vec![home.instance.to_string()];
    bench.command(Command::Wipe { which: Which::Any(ids) }).expect("the operator may give it up");
    bench.run();
    assert_eq!(bench.launches.len(), 2);
    assert_ne!(bench.agents(), [agent.as_str()]);

    bench.free.insert(agent.clone(), sum(&lost, &kept));
    bench.run();
    assert_eq!(bench.free[&agent], machine(), "what comes back later is given back");
}

#[test]
fn a_wipe_gives_back_what_was_kept_and_begins_anew() {
    let mut bench = Bench::with_app(&["a"], 2);
    let before = bench.volumes();
    let which = Which::One { app: "/db".parse().expect("an id"), task: bench.task().to_string() };
    let Ok(Reply::Killed(killed)) = bench.command(Command::Wipe { which }) else { panic!("refused") };
    assert_eq!(killed.len(), 1);
    bench.run();
    let after = bench.volumes();
    assert_eq!((bench.tasks.len(), after.len(), after.intersection(&before).count()), (2, 2, 1));
    bench.command(Command::Delete { app: "/db".parse().expect("an id"), force: true }).expect("taken");
    bench.run();
    assert!(bench.is_all_free(), "{:?}", bench.free);
    bench.wait(Duration::from_secs(120));
    let left = bench.records.keys().filter(|key| key.starts_with("home.") || key.starts_with("sweep."));
    assert_eq!(left.count(), 0);
    assert_eq!(bench.services.deployments().count(), 0);
}

#[test]
fn what_is_left_of_a_deleted_app_in_a_role_of_its_own_is_given_back_over_a_crash() {
    let mut bench = Bench::new(&["a"]);
    bench.services = Services::new(Role::star(), Seed::new(3, 3));
    bench.subscribe();
    let mut one = app();
    one["id"] = json!("/store/db");
    bench.command(Command::Create { definition: object(one), force: false }).expect("valid");
    bench.run();
    assert_eq!(bench.tasks.len(), 1);
    bench.command(Command::Delete { app: "/store/db".parse().expect("an id"), force: true }).expect("taken");
    let records = bench.records.clone();
    bench.services =
        Services::restore(Role::star(), Seed::new(4, 4), bench.now, records).expect("own records");
    bench.subscribe();
    assert!(bench.services.roles().contains(&role()), "or nothing would be offered");
    bench.run();
    assert!(bench.is_all_free(), "{:?}", bench.free);
    bench.wait(Duration::from_secs(120));
    assert!(!bench.services.roles().contains(&role()));
}

#[test]
fn fewer_instances_keep_what_is_theirs_and_more_find_it() {
    let mut bench = Bench::with_app(&["a", "b"], 2);
    let volumes = bench.volumes();
    for instances in [0, 2, 1, 2] {
        bench.update(json!({"instances": instances})).expect("taken");
        bench.run();
        assert_eq!((bench.tasks.len(), &bench.volumes()), (instances, &volumes));
        bench.crash();
    }
}

#[test]
fn a_home_that_was_not_made_is_tried_again_and_one_that_was_is_used() {
    let mut bench = Bench::new(&["a"]);
    bench.deaf = true;
    bench.command(Command::Create { definition: object(app()), force: false }).expect("valid");
    bench.run();
    assert_eq!(bench.tasks.len(), 0);
    bench.deaf = false;
    bench.wait(Duration::from_secs(30));
    bench.run();
    assert_eq!((bench.tasks.len(), bench.volumes().len()), (1, 1));
    bench.end(&bench.task(), TaskState::Dropped);
    bench.run();
    assert_eq!((bench.tasks.len(), bench.volumes().len()), (1, 1));
}

#[test]
fn replacing_many_never_makes_more_homes_than_instances() {
    let mut bench = Bench::with_app(&["a", "b", "c"], 5);
    let volumes = bench.volumes();
    bench.update(json!({"cmd": "serve better"})).expect("taken");
    bench.run();
    bench.run();
    assert_eq!((bench.tasks.len(), bench.launches.len(), bench.volumes()), (5, 10, volumes));
    assert_eq!(bench.services.deployments().count(), 0);
}

#[test]
fn what_is_reserved_cannot_be_changed_and_the_rules_are_marathons() {
    let mut bench = Bench::with_app(&["a"], 1);
    let volume = |size: u32| json!({"containerPath": "data", "mode": "RW", "persistent": {"size": size}});
    for (fields, path) in [
        (json!({"cpus": 2}), "/cpus"),
        (json!({"mem": 65}), "/mem"),
        (json!({"disk": 11}), "/disk"),
        (json!({"portDefinitions": []}), "/portDefinitions"),
        (json!({"container": {"type": "MESOS", "volumes": [volume(101)]}}), "/container/volumes"),
        (json!({"container": {"type": "MESOS"}}), "/container/volumes"),
        (
            json!({"upgradeStrategy": {"minimumHealthCapacity": 1, "maximumOverCapacity": 1}}),
            "/upgradeStrategy/maximumOverCapacity",
        ),
        (
            json!({"unreachableStrategy": {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0}}),
            "/unreachableStrategy",
        ),
        (json!({"acceptedResourceRoles": [ROLE]}), "/acceptedResourceRoles"),
    ] {
        let refused = bench.update(fields.clone());
        let Err(Refusal::Invalid(errors)) = refused else { panic!("{fields} gave {refused:?}") };
        assert_eq!(errors.iter().map(|error| error.path.as_str()).collect::<Vec<_>>(), [path], "{fields}");
    }
    let state = bench.services.app(&"/db".parse().expect("an id")).expect("there");
    let shown = serde_json::to_value(&state.app.definition).expect("plain values");
    assert_eq!(shown["upgradeStrategy"], json!({"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0}));
    assert_eq!(shown["unreachableStrategy"], "disabled");
    assert_eq!(shown["container"]["volumes"][0]["persistent"], json!({"type": "root", "size": 100}));
    let mut in_star = app();
    in_star["role"] = json!("*");
    let group = GroupChange::Put(object(json!({"apps": [in_star]})));
    let refused =
        bench.command(Command::Group { group: "/g".parse().expect("a path"), change: group, force: false });
    assert!(matches!(&refused, Err(Refusal::Invalid(_))), "{refused:?}");
}
