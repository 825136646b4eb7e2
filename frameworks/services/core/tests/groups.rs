//! Groups: the tree, its versions, the order of dependencies, and roles.

use std::collections::{BTreeMap, BTreeSet};

use chapada_model::{
    Milli, Mono, Now, Range, Ranges, Resource, Resources, Role, TaskId, TaskState, TaskStatus, Wall,
};
use chapada_sdk_core::Offer;
use chapada_services_core::{
    ActionKind, AppId, Command, Effect, Event, GroupChange, PathId, Refusal, Reply, Seed, Services, Write,
};
use serde_json::{Map, Value, json};

/// The core with a store that is always quick and a master that starts what it lets start.
struct Bench {
    services: Services,
    now: Now,
    records: BTreeMap<String, Vec<u8>>,
    offers: u32,
    answers: Vec<Result<Reply, Refusal>>,
    /// Tasks that were launched and wait to be said to run.
    staged: Vec<TaskId>,
    events: Vec<String>,
    /// The role that offers are made to.
    role: Role,
    /// What was said to the master about roles.
    wishes: Vec<Effect>,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            services: Services::new(Role::star(), Seed::new(1, 1)),
            now: Now { mono: Mono(1), wall: Wall(1_000_000_000_000_000_000) },
            records: BTreeMap::new(),
            offers: 0,
            answers: Vec::new(),
            staged: Vec::new(),
            events: Vec::new(),
            role: Role::star(),
            wishes: Vec::new(),
        };
        bench.apply(Event::Subscribed);
        bench
    }

    fn apply(&mut self, event: Event) {
        for effect in self.services.apply(self.now, event) {
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
                Effect::Revive => self.offer(),
                wish @ (Effect::Roles(_) | Effect::ReviveIn(_) | Effect::SuppressIn(_)) => {
                    self.wishes.push(wish)
                }
                Effect::Launch { tasks, .. } => {
                    self.staged.extend(tasks.into_iter().map(|launch| launch.task))
                }
                Effect::Kill { task, .. } => self.update(task, TaskState::Killed),
                // Whatever was launched runs on.
                Effect::Reconcile(asked) => {
                    let asked = asked.into_iter().map(|(task, _)| task);
                    let there: Vec<TaskId> = asked.filter(|task| !self.staged.contains(task)).collect();
                    there.into_iter().for_each(|task| self.update(task, TaskState::Running));
                }
                Effect::Answer { answer, .. } => self.answers.push(answer),
                Effect::Publish(event) => self.events.push(format!("{event:?}")),
                _ => {}
            }
        }
    }

    fn update(&mut self, task: TaskId, state: TaskState) {
        self.apply(Event::Update(TaskStatus::new(task, state)));
    }

    fn offer(&mut self) {
        self.offers += 1;
        let ports = Ranges::new([Range { begin: 31_000, end: 32_000 }]);
        let resources = [
            Resource::scalar("cpus", Milli::whole(900)),
            Resource::scalar("mem", Milli::whole(900_000)),
            Resource::ranges("ports", ports),
        ];
        let id = format!("o{}", self.offers).parse().expect("an id");
        let resources = Resources::from_list(resources).expect("whole");
        let offer = Offer::new(id, "a".parse().expect("an id"), "host", resources);
        self.apply(Event::Offers(vec![Offer { role: self.role.clone(), ..offer }]));
    }

    /// A call for offers that was put off is made.
    fn wait(&mut self) {
        self.now.mono = self.now.mono + std::time::Duration::from_secs(1);
        self.apply(Event::Tick);
    }

    /// What was launched runs; gives who it was.
    fn run_once(&mut self) -> BTreeSet<String> {
        let staged = std::mem::take(&mut self.staged);
        for task in &staged {
            self.update(task.clone(), TaskState::Running);
        }
        self.wait();
        staged.iter().map(|task| task.as_str().split('.').next().unwrap_or_default().to_owned()).collect()
    }

    /// Everything that was launched runs, until nothing more is.
    fn run(&mut self) {
        while !self.run_once().is_empty() {}
    }

    fn command(&mut self, command: Command) -> Result<Reply, Refusal> {
        self.now.wall = Wall(self.now.wall.0 + 1_000_000_000);
        self.apply(Event::Command { request: 1, command });
        self.wait();
        self.answers.pop().expect("each command is answered")
    }

    fn group(&mut self, path: &str, change: GroupChange) -> Result<Reply, Refusal> {
        self.command(Command::Group { group: path.parse().expect("a path"), change, force: false })
    }

    fn put(&mut self, path: &str, fields: Value) -> Result<Reply, Refusal> {
        self.group(path, GroupChange::Put(object(fields)))
    }

    fn app(&mut self, fields: Value) -> Result<Reply, Refusal> {
        self.command(Command::Create { definition: object(fields), force: false })
    }

    fn ids(&self) -> Vec<&str> {
        self.services.apps().map(|state| state.app.definition.id.as_str()).collect()
    }

    fn instances(&self, app: &str) -> Option<u32> {
        self.services.app(&id(app)).map(|state| state.app.definition.instances)
    }

    fn steps(&self) -> Vec<Vec<(ActionKind, String)>> {
        let deployment = self.services.deployments().next().expect("a deployment");
        let step = |actions: &Vec<chapada_services_core::Action>| {
            actions.iter().map(|action| (action.action, action.app.to_string())).collect()
        };
        deployment.steps.iter().map(step).collect()
    }

    fn crash(&mut self) {
        let records = self.records.clone();
        self.services =
            Services::restore(Role::star(), Seed::new(2, 2), self.now, records).expect("own records");
        self.apply(Event::Subscribed);
    }
}

fn id(app: &str) -> AppId {
    app.parse().expect("an id")
}

fn path(text: &str) -> PathId {
    text.parse().expect("a path")
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn app(id: &str) -> Value {
    json!({"id": id, "cmd": "serve", "cpus": 0.1, "mem": 32})
}

fn needing(id: &str, dependencies: &[&str]) -> Value {
    let mut app = app(id);
    app["dependencies"] = json!(dependencies);
    app
}

fn product() -> Value {
    json!({
        "id": "/product",
        "groups": [
            {"id": "db", "apps": [app("mongo"), needing("mysql", &["../mongo"])]},
            {"id": "/product/service", "dependencies": ["../db"], "apps": [app("web"), app("api")]},
        ],
    })
}

fn paths_of(refusal: Result<Reply, Refusal>) -> Vec<String> {
    match refusal {
        Err(Refusal::Invalid(errors) | Refusal::WrongType(errors)) => {
            errors.into_iter().map(|error| error.path).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_group_starts_layer_by_layer_in_one_deployment() {
    let mut bench = Bench::new();
    let made = bench.group("/", GroupChange::Create(object(product())));
    assert!(
        matches!(&made, Ok(Reply::GroupDeployed { created: Some(group), .. }) if *group == path("/product"))
    );
    let scale = |app: &str| (ActionKind::ScaleApplication, format!("/product/{app}"));
    let steps = bench.steps();
    assert_eq!(steps[0].len(), 4, "all begin to exist first");
    assert_eq!(
        steps[1..],
        [vec![scale("db/mongo")], vec![scale("db/mysql")], vec![scale("service/api"), scale("service/web")]]
    );
    let mut order = Vec::new();
    while !bench.staged.is_empty() {
        order.push(bench.run_once());
    }
    let names = |names: &[&str]| names.iter().map(|name| format!("product_{name}")).collect::<BTreeSet<_>>();
    assert_eq!(order, [names(&["db_mongo"]), names(&["db_mysql"]), names(&["service_api", "service_web"])]);
    assert_eq!(bench.services.deployments().count(), 0);
}

#[test]
fn an_app_keeps_its_instances_until_its_turn_comes_also_after_a_crash() {
    let mut bench = Bench::new();
    bench.put("/", json!({"apps": [app("db"), needing("web", &["/db"])]})).expect("taken");
    bench.run();
    let scaled = |app: Value, instances: u32| {
        let mut app = app;
        app["instances"] = json!(instances);
        app
    };
    let apps = json!({"apps": [scaled(app("db"), 2), scaled(needing("web", &["/db"]), 3)]});
    bench.put("/", apps).expect("taken");
    assert_eq!(bench.staged.len(), 1, "only the database: {:?}", bench.staged);
    bench.crash();
    assert_eq!(bench.services.app(&id("/web")).map(|state| state.target()), Some(1));
    assert_eq!(bench.run_once(), ["db".to_owned()].into());
    assert_eq!(bench.staged.len(), 2, "its turn has come");
    bench.run();
    assert_eq!(bench.services.deployments().count(), 0);
}

#[test]
fn a_ring_is_refused_with_its_members_and_nothing_is_changed() {
    let mut bench = Bench::new();
    bench.app(needing("/a", &["/b"])).expect("what does not exist yet is not waited for");
    bench.run();
    let refused = bench.app(needing("/b", &["../a"]));
    let Err(Refusal::Invalid(errors)) = &refused else { panic!("{refused:?}") };
    assert_eq!(errors[0].path, "/dependencies");
    assert!(errors[0].errors[0].contains("/b -> /a -> /b"), "{errors:?}");
    assert_eq!(bench.ids(), ["/a"]);

    bench.put("/x", json!({"apps": [app("one")]})).expect("taken");
    bench.run();
    bench.put("/y", json!({"apps": [app("two")], "dependencies": ["/x"]})).expect("taken");
    bench.run();
    assert_eq!(paths_of(bench.put("/x", json!({"dependencies": ["../y"]}))), ["/dependencies"]);
    assert!(bench.events.last().is_some_and(|event| event.starts_with("GroupFailed")), "{:?}", bench.events);
}

#[test]
fn what_is_named_replaces_and_what_is_not_stays() {
    let mut bench = Bench::new();
    bench.group("/", GroupChange::Create(object(product()))).expect("taken");
    bench.run();
    bench.put("/product/service", json!({"apps": [app("web")]})).expect("taken");
    bench.run();
    assert_eq!(bench.ids(), ["/product/db/mongo", "/product/db/mysql", "/product/service/web"]);
    let said = |bench: &Bench, group: &str| {
        bench.services.groups().find(|(of, _)| **of == path(group)).map(|(_, said)| said.dependencies.clone())
    };
    assert_eq!(said(&bench, "/product/service"), Some(vec![path("/product/db")]), "not named, so it stays");
    bench.put("/product", json!({"groups": [{"id": "service"}]})).expect("taken");
    bench.run();
    assert_eq!(bench.ids(), ["/product/service/web"]);
    bench.put("/product/service", json!({"dependencies": []})).expect("taken");
    assert_eq!(said(&bench, "/product/service"), Some(vec![]));
}

#[test]
fn scaling_multiplies_and_rounds_up() {
    let mut bench = Bench::new();
    let mut two = app("two");
    two["instances"] = json!(2);
    bench
        .put("/g", json!({"apps": [app("one"), two], "groups": [{"id": "in", "apps": [app("deep")]}]}))
        .expect("taken");
    bench.run();
    bench.put("/g", json!({"scaleBy": 1.2})).expect("taken");
    bench.run();
    let counts = ["/g/one", "/g/two", "/g/in/deep"].map(|app| bench.instances(app));
    assert_eq!(counts, [Some(2), Some(3), Some(2)]);
    assert_eq!(bench.services.deployments().count(), 0);
    assert_eq!(paths_of(bench.put("/g", json!({"scaleBy": 1e6}))), ["/scaleBy"]);
    assert_eq!(paths_of(bench.put("/g", json!({"scaleBy": 2, "apps": []}))), ["/scaleBy"]);
    assert!(matches!(bench.put("/none", json!({"scaleBy": 2})), Err(Refusal::NoGroup(_))));
}

#[test]
fn a_subtree_returns_to_an_earlier_version_and_the_rest_stays() {
    let mut bench = Bench::new();
    bench.put("/g", json!({"apps": [app("a"), app("b")], "dependencies": ["/z"]})).expect("taken");
    bench.run();
    let then = bench.services.group_versions(&path("/g"))[0];
    bench.put("/g", json!({"apps": [app("a"), app("c")], "dependencies": []})).expect("taken");
    bench.run();
    bench.app(app("/other")).expect("taken");
    bench.run();
    let mut changed = app("a");
    changed["cmd"] = json!("another");
    bench.put("/g", json!({"apps": [changed, app("c")]})).expect("taken");
    bench.run();
    bench.crash();
    let old = bench.services.group_at(&path("/g"), then).expect("remembered");
    assert_eq!(old.apps.keys().map(AppId::as_str).collect::<Vec<_>>(), ["/g/a", "/g/b"]);
    bench.put("/g", json!({"version": then})).expect("taken");
    bench.run();
    assert_eq!(bench.ids(), ["/g/a", "/g/b", "/other"]);
    let a = bench.services.app(&id("/g/a")).expect("there");
    assert_eq!(a.app.definition.cmd.as_deref(), Some("serve"));
    let said = bench.services.groups().find(|(of, _)| **of == path("/g")).map(|(_, said)| &said.dependencies);
    assert_eq!(said, Some(&vec![path("/z")]));
    assert_eq!(bench.services.deployments().count(), 0);
    let unknown = "2001-01-01T00:00:00.000Z";
    assert_eq!(paths_of(bench.put("/g", json!({"version": unknown}))), ["/version"]);
}

#[test]
fn as_many_versions_are_kept_as_marathon_keeps_and_no_record_of_them_is_left_over() {
    let mut bench = Bench::new();
    bench.put("/g", json!({"apps": [app("gone")]})).expect("taken");
    bench.run();
    bench.group("/g", GroupChange::Delete).expect("taken");
    bench.run();
    assert_eq!(bench.records.keys().filter(|key| key.starts_with("version.g_gone")).count(), 1);
    for instances in 1..60 {
        bench
            .put("/", json!({"apps": [{"id": "a", "cmd": "serve", "instances": instances % 2}]}))
            .expect("taken");
        bench.run();
    }
    assert_eq!(bench.services.group_versions(&PathId::root()).len(), 50);
    let count = |kind: &str| bench.records.keys().filter(|key| key.starts_with(kind)).count();
    assert_eq!((count("tree."), count("version.g_gone"), count("group.")), (50, 0, 0));
    let oldest = *bench.services.group_versions(&PathId::root()).last().expect("one");
    assert!(bench.services.group_at(&PathId::root(), oldest).is_some_and(|then| then.apps.len() == 1));
}

#[test]
fn deleting_takes_all_below_and_the_root_everything() {
    let mut bench = Bench::new();
    bench.group("/", GroupChange::Create(object(product()))).expect("taken");
    bench.run();
    bench.app(app("/other")).expect("taken");
    bench.run();
    assert!(matches!(bench.group("/product/none", GroupChange::Delete), Err(Refusal::NoGroup(_))));
    bench.group("/product/db", GroupChange::Delete).expect("those that depend on it stay");
    assert_eq!(bench.ids(), ["/other", "/product/service/api", "/product/service/web"]);
    bench.group("/", GroupChange::Delete).expect("taken");
    bench.run();
    assert_eq!((bench.ids().len(), bench.services.groups().count()), (0, 0));
    assert_eq!(
        bench.records.keys().filter(|key| key.starts_with("app.") || key.starts_with("group.")).count(),
        0
    );
}

#[test]
fn an_empty_group_is_there_and_takes_its_path() {
    let mut bench = Bench::new();
    bench.group("/", GroupChange::Create(object(json!({"id": "/a/b"})))).expect("taken");
    assert!(bench.services.has_group(&path("/a/b")) && bench.services.has_group(&path("/a")));
    assert_eq!(bench.services.deployments().count(), 0, "nothing to do");
    bench.crash();
    assert!(bench.services.has_group(&path("/a/b")));
    assert!(matches!(bench.app(app("/a/b")), Err(Refusal::Exists { .. })));
    assert!(matches!(
        bench.group("/", GroupChange::Create(object(json!({"id": "a"})))),
        Err(Refusal::GroupExists(_))
    ));
    bench.app(app("/x")).expect("taken");
    bench.run();
    let taken = bench.group("/", GroupChange::Create(object(json!({"id": "/x"}))));
    assert!(matches!(taken, Err(Refusal::Exists { .. })), "{taken:?}");
    assert!(matches!(bench.put("/x/y", json!({})), Err(Refusal::Exists { .. })));
    let both = json!({"apps": [app("q")], "groups": [{"id": "q", "apps": [app("r")]}]});
    assert_eq!(paths_of(bench.put("/n", both)), ["/"]);
}

#[test]
fn every_wrong_field_is_named_with_its_place() {
    let mut bench = Bench::new();
    for (fields, paths) in [
        (json!({"apps": [{"id": "a"}, {"id": "b", "cmd": "x", "cpus": "1"}]}), vec!["/apps(0)"]),
        (json!({"groups": [{"id": "g", "apps": [{"cmd": "x"}]}]}), vec!["/groups(0)/apps(0)/id"]),
        (json!({"apps": [app("/elsewhere/a")]}), vec!["/apps(0)/id"]),
        (json!({"apps": [app("a"), app("a")]}), vec!["/apps(1)/id"]),
        (json!({"groups": [{"id": "g", "version": "2001-01-01T00:00:00.000Z"}]}), vec!["/groups(0)/version"]),
        (json!({"groups": [{"id": "g", "enforceRole": true}]}), vec!["/groups(0)/enforceRole"]),
        (json!({"dependencies": ["../UP"]}), vec!["/dependencies(0)"]),
        (json!({"pods": [{"id": "p"}]}), vec!["/pods"]),
        (json!({"version": "yesterday"}), vec!["/version"]),
    ] {
        assert_eq!(paths_of(bench.put("/top", fields.clone())), paths, "{fields}");
    }
    assert_eq!(bench.services.group_versions(&PathId::root()).len(), 1, "nothing was changed");
}

#[test]
fn a_dry_run_says_the_steps_and_changes_nothing() {
    let bench = Bench::new();
    let before = format!("{:?}", bench.services);
    let plan = bench.services.plan_group(bench.now, &PathId::root(), object(product())).expect("valid");
    assert_eq!(plan.deployment.steps.len(), 4);
    assert_eq!(format!("{:?}", bench.services), before);
}

#[test]
fn apps_new_in_one_change_have_service_ports_of_their_own() {
    let mut bench = Bench::new();
    bench.put("/g", json!({"apps": [app("a"), app("b")]})).expect("taken");
    let port = |app: &str| {
        let state = bench.services.app(&id(app)).expect("there");
        serde_json::to_value(&state.app.definition).expect("plain values")["portDefinitions"][0]["port"]
            .as_u64()
    };
    assert_eq!((port("/g/a"), port("/g/b")), (Some(10_000), Some(10_001)));
}

/// Each app of a large change once looked at every port that was taken: ten thousand of them kept everybody waiting.
#[test]
fn a_change_of_more_apps_than_there_are_service_ports_gives_out_each_once() {
    const PORTS: usize = 10_001;
    let mut bench = Bench::new();
    let mut holder = app("/holder");
    holder["portDefinitions"] = json!([{"port": 10_002}]);
    bench.app(holder).expect("taken");
    let apps: Vec<Value> = (0..PORTS + 99).map(|number| app(&format!("a-{number}"))).collect();
    let plan = bench.services.plan_group(
        bench.now,
        &PathId::root().resolve("g").expect("a path"),
        object(json!({"apps": apps})),
    );
    let plan = plan.expect("valid").deployment;
    let given = plan.changes.values().filter_map(|change| change.to.as_ref()?.definition.ports().next());
    let given: Vec<u16> = given.map(|port| port.service).collect();
    let unique: BTreeSet<u16> = given.iter().copied().filter(|port| *port != 0).collect();
    assert_eq!((given.len(), unique.len()), (PORTS + 99, PORTS - 1));
    assert!(!unique.contains(&10_002), "another app has it");
    assert_eq!(given.iter().filter(|port| **port == 0).count(), 100, "all are given out");
}

#[test]
fn a_role_is_the_frameworks_or_the_top_level_groups() {
    let mut bench = Bench::new();
    let with = |id: &str, role: &str| {
        let mut app = app(id);
        app["role"] = json!(role);
        app
    };
    let role = |bench: &Bench, app: &str| {
        bench.services.app(&id(app)).map(|state| state.app.definition.role.clone())
    };
    bench.app(with("/dev/a", "dev")).expect("the group's name");
    bench.app(app("/dev/b")).expect("taken");
    assert_eq!(role(&bench, "/dev/b").as_deref(), Some("*"));
    assert_eq!(paths_of(bench.app(with("/dev/c", "prod"))), ["/role"]);
    assert_eq!(paths_of(bench.app(with("/top", "dev"))), ["/role"]);
    bench.group("/dev", GroupChange::EnforceRole(true)).expect("taken");
    bench.app(app("/dev/d/deep")).expect("taken");
    assert_eq!(role(&bench, "/dev/d/deep").as_deref(), Some("dev"));
    assert_eq!(paths_of(bench.app(with("/dev/e", "*"))), ["/role"]);
    let fields = object(json!({"instances": 2}));
    let update = chapada_services_core::Update { app: id("/dev/b"), fields, partial: true, create: false };
    bench.command(Command::Update { updates: vec![update], force: true }).expect("a role it has may stay");
    assert_eq!(role(&bench, "/dev/b").as_deref(), Some("*"));
    assert_eq!(paths_of(bench.group("/dev/d", GroupChange::EnforceRole(true))), ["/enforceRole"]);
}

#[test]
fn the_framework_takes_part_in_every_role_in_use_and_offers_are_for_apps_of_theirs() {
    let mut bench = Bench::new();
    let role = |name: &str| Role::new(name).expect("a role");
    let roles = |names: &[&str]| names.iter().map(|name| role(name)).collect::<BTreeSet<Role>>();
    bench.app(app("/here")).expect("taken");
    bench.run();
    assert_eq!(bench.wishes, [], "one role needs no words");
    let mut other = app("/dev/a");
    other["role"] = json!("dev");
    bench.app(other).expect("taken");
    let said = [
        Effect::Roles(roles(&["*", "dev"])),
        Effect::ReviveIn(roles(&["dev"])),
        Effect::SuppressIn(roles(&["*"])),
    ];
    assert_eq!(std::mem::take(&mut bench.wishes), said);
    bench.offer();
    assert!(bench.staged.is_empty(), "an offer to another role is not for it");
    bench.role = role("dev");
    bench.offer();
    assert_eq!(bench.run_once(), ["dev_a".to_owned()].into());
    bench.crash();
    assert_eq!(bench.services.roles(), roles(&["*", "dev"]));
    assert_eq!(bench.wishes, [], "the subscription began in both");
    bench.command(Command::Delete { app: id("/dev/a"), force: false }).expect("taken");
    bench.run();
    assert_eq!(bench.wishes, [Effect::Roles(roles(&["*"]))]);
}

#[test]
fn a_deployment_of_many_stands_in_records_of_bounded_size_and_is_resumed() {
    let mut bench = Bench::new();
    let long = "x".repeat(100);
    let apps: Vec<Value> = (0..1_000)
        .map(|n| needing(&format!("{long}-{n}"), if n == 0 { &[] } else { &["/g/first"] }))
        .collect();
    bench.put("/g", json!({"apps": apps, "groups": []})).expect("taken");
    let largest = bench.records.values().map(Vec::len).max();
    assert!(largest.is_some_and(|largest| largest < 256 * 1024), "{largest:?}");
    let steps = bench.steps();
    bench.crash();
    assert_eq!(
        bench.steps().iter().map(Vec::len).collect::<Vec<_>>(),
        steps.iter().map(Vec::len).collect::<Vec<_>>()
    );
    assert_eq!(bench.services.deployments().next().map(|deployment| deployment.changes.len()), Some(1_000));
    bench
        .command(Command::Group { group: path("/g"), change: GroupChange::Delete, force: true })
        .expect("taken");
    bench.run();
    let left = bench.records.keys().filter(|key| key.starts_with("deployment")).count();
    assert_eq!((left, bench.services.deployments().count()), (0, 0));
}
