//! What an operator can choose.

use std::collections::BTreeMap;
use std::time::Duration;

use chapada_model::{
    Domain, Milli, Mono, Now, Range, Ranges, Reservation, Resource, Resources, Role, TaskId, TaskState,
    TaskStatus, Wall,
};
use chapada_services_core::{
    AcceptedRoles, Command, Effect, Event, GroupChange, Launch, LaunchValue, Offer, Patience, Published,
    Refusal, Reply, Seed, Services, Settings, Update, Write,
};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

/// The core with a store that is always quick, which offers come to when a test says so.
struct Bench {
    services: Services,
    now: Now,
    role: Role,
    domain: Option<Domain>,
    records: BTreeMap<String, Vec<u8>>,
    launched: Vec<Launch>,
    killed: Vec<TaskId>,
    refused: Vec<Duration>,
    answer: Option<Result<Reply, Refusal>>,
    published: Vec<Published>,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let mut bench = Self {
            services: Services::new(Role::star(), Seed::new(1, 1)).with_settings(settings),
            now: Now { mono: Mono(1), wall: Wall(1_000_000_000_000_000_000) },
            role: Role::star(),
            domain: None,
            records: BTreeMap::new(),
            launched: Vec::new(),
            killed: Vec::new(),
            refused: Vec::new(),
            answer: None,
            published: Vec::new(),
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
                            Write::Put { key, value } => drop(self.records.insert(key, value)),
                            Write::Delete { key } => drop(self.records.remove(&key)),
                        }
                    }
                    self.apply(Event::Stored(number));
                }
                Effect::Launch { tasks, refuse, .. } => {
                    self.launched.extend(tasks);
                    self.refused.push(refuse);
                }
                Effect::Decline { refuse, .. } => self.refused.push(refuse),
                Effect::Kill { task, .. } => self.killed.push(task),
                Effect::Answer { answer, .. } => self.answer = Some(answer),
                Effect::Publish(event) => self.published.push(*event),
                _ => {}
            }
        }
    }

    fn command(&mut self, command: Command) -> Result<Reply, Refusal> {
        self.apply(Event::Command { request: 1, command });
        self.answer.take().expect("an answer")
    }

    fn create(&mut self, app: Value) -> Result<Reply, Refusal> {
        let definition = app.as_object().expect("an object").clone();
        self.command(Command::Create { definition, force: false })
    }

    fn offer(&mut self, reserved_for: Option<&str>) {
        let resources = [
            Resource::scalar("cpus", Milli::whole(8)),
            Resource::scalar("mem", Milli::whole(8_192)),
            Resource::ranges("ports", Ranges::new([Range { begin: 31_000, end: 31_099 }])),
        ];
        let resources = resources.map(|resource| match reserved_for {
            Some(role) => Resource {
                reservations: vec![Reservation::fixed(Role::new(role).expect("a role"))],
                ..resource
            },
            None => resource,
        });
        let (id, agent) = ("o".parse().expect("an id"), "agent".parse().expect("an id"));
        let offer = Offer::new(id, agent, "host", Resources::from_list(resources).expect("whole amounts"));
        let (role, domain) = (self.role.clone(), self.domain.clone());
        self.apply(Event::Offers(vec![Offer { role, domain, ..offer }]));
    }

    /// Another process reads what is stored.
    fn restart(&mut self, settings: Settings) {
        let restored = Services::restore(Role::star(), Seed::new(2, 2), self.now, self.records.clone());
        self.services = restored.expect("own records").with_settings(settings);
    }

    fn wait(&mut self, time: Duration) {
        self.now.mono = self.now.mono + time;
        self.now.wall = self.now.wall + time;
        self.apply(Event::Tick);
    }
}

fn app(id: &str) -> Value {
    json!({"id": id, "cmd": "serve", "cpus": 0.1, "mem": 32})
}

#[test]
fn there_are_no_more_apps_than_there_may_be() {
    let mut bench = Bench::new(Settings { max_apps: 2, ..Settings::default() });
    bench.create(app("/a")).expect("the first");
    let Ok(Value::Object(group)) = serde_json::from_value(json!({"id": "/g", "apps": [app("b"), app("c")]}))
    else {
        panic!("an object");
    };
    let change = GroupChange::Create(group);
    let both = bench.command(Command::Group { group: "/".parse().expect("a path"), change, force: false });
    assert!(matches!(both, Err(Refusal::Invalid(_))), "three are too many: {both:?}");
    bench.create(app("/b")).expect("the second");
    assert!(matches!(bench.create(app("/c")), Err(Refusal::Invalid(_))));
}

#[test]
fn there_are_no_more_instances_than_there_may_be_and_less_is_always_taken() {
    let many = |id: &str, instances: u32| {
        let mut app = app(id);
        app["instances"] = json!(instances);
        app
    };
    let mut bench = Bench::new(Settings { max_instances: 10, ..Settings::default() });
    bench.create(many("/a", 6)).expect("the first");
    let Err(Refusal::Invalid(why)) = bench.create(many("/b", 5)) else { panic!("eleven are too many") };
    assert_eq!(why[0].path, "/instances");
    assert!(
        why[0].errors[0].contains("--max-instances") && why[0].errors[0].contains(" 6 are wanted"),
        "{why:?}"
    );
    bench.create(many("/b", 4)).expect("ten are not");
    let scale = |app: &str, instances: u32| {
        let fields = json!({"instances": instances}).as_object().expect("an object").clone();
        let app = app.parse().expect("an id");
        Command::Update { updates: vec![Update { app, fields, partial: true, create: false }], force: true }
    };
    assert!(matches!(bench.command(scale("/a", 7)), Err(Refusal::Invalid(_))));
    bench.command(scale("/a", 2)).expect("fewer");
    bench.command(scale("/b", 8)).expect("what the other gave up");
    // The next process counts anew.
    bench.restart(Settings { max_instances: 5, ..Settings::default() });
    assert!(matches!(bench.command(scale("/a", 3)), Err(Refusal::Invalid(_))));
    bench.command(scale("/b", 4)).expect("fewer, though still too many");
    bench.command(scale("/b", 3)).expect("fewer");
    assert!(matches!(bench.command(scale("/a", 3)), Err(Refusal::Invalid(_))));
}

#[test]
fn there_are_no_more_deployments_than_there_may_be() {
    let mut bench = Bench::new(Settings { max_deployments: 1, ..Settings::default() });
    bench.create(app("/a")).expect("the first");
    let second = bench.create(app("/b"));
    assert!(matches!(&second, Err(Refusal::TooMany(why)) if why.starts_with("1 ")), "{second:?}");
}

#[test]
fn an_unused_offer_is_declined_for_as_long_as_is_said() {
    let mut bench = Bench::new(Settings { decline_offer: 7 * SECOND, ..Settings::default() });
    bench.offer(None);
    assert_eq!(bench.refused, [7 * SECOND]);
    assert_eq!(Settings::default().decline_offer, 120 * SECOND);
}

#[test]
fn a_task_that_does_not_start_is_killed_after_as_long_as_is_said_also_after_a_restart() {
    let patience = Patience { kill_retry: 3 * SECOND, task_launch: 20 * SECOND };
    let settings = Settings { patience, ..Settings::default() };
    let mut bench = Bench::new(settings.clone());
    bench.create(app("/a")).expect("an app");
    bench.offer(None);
    let task = bench.launched[0].task.clone();
    bench.apply(Event::Update(TaskStatus::new(task.clone(), TaskState::Staging)));

    bench.restart(settings);
    bench.apply(Event::Subscribed);
    bench.wait(19 * SECOND);
    assert_eq!(bench.killed, []);
    let due = bench.services.next_deadline().expect("the launch is given up at some time");
    assert!(due <= bench.now.mono + SECOND, "it is looked at in time");
    bench.wait(SECOND);
    assert_eq!(bench.killed.as_slice(), std::slice::from_ref(&task));
    bench.wait(2 * SECOND);
    assert_eq!(bench.killed.len(), 1);
    bench.wait(SECOND);
    assert_eq!(bench.killed, [task.clone(), task]);
}

#[test]
fn the_prefix_stands_before_host_and_ports_only() {
    let mut bench = Bench::new(Settings { env_prefix: "MY_".to_owned(), ..Settings::default() });
    bench.create(app("/a")).expect("an app");
    bench.offer(None);
    let env = &bench.launched[0].env;
    assert_eq!(env["MY_HOST"], LaunchValue::Text("host".to_owned()));
    for name in ["MY_PORT", "MY_PORT0", "MY_PORTS", "MARATHON_APP_ID", "MESOS_TASK_ID"] {
        assert!(env.contains_key(name), "{name} of {env:?}");
    }
    assert!(!env.keys().any(|name| name.starts_with("HOST") || name.starts_with("PORT")), "{env:?}");
}

/// Whether an app is launched in a region, where the masters are in `home`, and else why not.
fn launched_in(region: Option<&str>, home: Option<&str>, more: Value) -> Result<(), Vec<String>> {
    let mut bench = Bench::new(Settings::default());
    bench.apply(Event::HomeRegion(home.map(Into::into)));
    let mut app = app("/a");
    app.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    bench.create(app).expect("an app");
    bench.domain = region.map(|region| Domain { region: region.into(), zone: "z".into() });
    bench.offer(None);
    if bench.launched.len() == 1 {
        return Ok(());
    }
    let why = bench.services.inquire(bench.now, &"/a".parse().expect("an id")).expect("it waits").answer();
    let said = why.reasons.into_iter().flat_map(|reason| {
        let patches = reason.suggestions.into_iter().filter_map(|suggestion| suggestion.patch);
        std::iter::once(reason.sentence).chain(patches.map(|patch| Value::Object(patch).to_string()))
    });
    Err(said.collect())
}

/// Source: Marathon's check of the local region.
#[test]
fn what_says_nothing_of_regions_stays_in_that_of_the_masters() {
    let anywhere = || json!({});
    assert_eq!(launched_in(Some("eu"), Some("eu"), anywhere()), Ok(()));
    assert_eq!(launched_in(Some("us"), None, anywhere()), Ok(()), "the masters do not say where they are");
    assert_eq!(launched_in(None, Some("eu"), anywhere()), Ok(()), "nor does the agent");
    let far = launched_in(Some("us"), Some("eu"), anywhere()).expect_err("it is far away").join("; ");
    assert!(far.contains("@region=eu"), "{far}");
    assert!(far.contains(r#"[["@region","LIKE",".*"]]"#), "{far}");
    for constraint in [["@region", "IS", "us"], ["@zone", "LIKE", "z"], ["@region", "LIKE", ".*"]] {
        let more = json!({"constraints": [constraint]});
        assert_eq!(launched_in(Some("us"), Some("eu"), more), Ok(()), "{constraint:?}");
    }
}

#[test]
fn whose_resources_are_accepted_by_who_does_not_say() {
    let launches = |accepted_roles, reserved_for, more: Value| {
        let mut bench = Bench::new(Settings { accepted_roles, ..Settings::default() });
        let mut app = json!({"id": "/web/a", "cmd": "serve", "role": "web", "cpus": 0.1, "mem": 32, "portDefinitions": []});
        app.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        bench.create(app).expect("an app");
        bench.role = Role::new("web").expect("a role");
        bench.offer(reserved_for);
        bench.launched.len()
    };
    for (accepted, unreserved, reserved) in
        [(AcceptedRoles::Any, 1, 1), (AcceptedRoles::Unreserved, 1, 0), (AcceptedRoles::Reserved, 0, 1)]
    {
        assert_eq!(launches(accepted, None, json!({})), unreserved, "{accepted:?}");
        assert_eq!(launches(accepted, Some("web"), json!({})), reserved, "{accepted:?}");
    }
    assert_eq!(
        launches(AcceptedRoles::Reserved, None, json!({"acceptedResourceRoles": ["*"]})),
        1,
        "it says so"
    );
}

/// An update of twenty apps that fails, of which two gave up instances that another app has taken meanwhile.
#[test]
fn what_can_be_taken_back_of_a_failed_update_is_taken_back_in_one_in_order() {
    let settings = Settings { max_deployments: 2, max_instances: 24, ..Settings::default() };
    let mut bench = Bench::new(settings);
    let named = |number: usize| format!("/g/a{number:02}");
    let apps = (0..20).map(|number| {
        let mut app = app(&format!("a{number:02}"));
        if number > 0 {
            app["dependencies"] = json!([named(number - 1)]);
        }
        app["instances"] = json!(if [3, 12].contains(&number) { 3 } else { 1 });
        app
    });
    let Ok(Value::Object(group)) =
        serde_json::from_value(json!({"id": "/g", "apps": apps.collect::<Vec<_>>()}))
    else {
        panic!("an object");
    };
    let change = GroupChange::Create(group);
    bench
        .command(Command::Group { group: "/".parse().expect("a path"), change, force: false })
        .expect("twenty apps");
    let updates = (0..20).map(|number| {
        let fields = json!({"cmd": "new", "instances": 1, "rollout": {"deadlineSeconds": 60}});
        let fields = fields.as_object().expect("an object").clone();
        Update { app: named(number).parse().expect("an id"), fields, partial: true, create: false }
    });
    bench.command(Command::Update { updates: updates.collect(), force: true }).expect("one deployment");
    let mut other = app("/other");
    other["instances"] = json!(4);
    bench.create(other).expect("there is room");
    bench.wait(61 * SECOND);

    let undoing: Vec<_> = bench.services.deployments().filter(|one| one.progress.undoes.is_some()).collect();
    assert_eq!(undoing.len(), 1, "all in one");
    let apps: Vec<String> = undoing[0].steps.iter().flatten().map(|action| action.app.to_string()).collect();
    let expected: Vec<String> = (0..20).filter(|number| ![3, 12].contains(number)).map(named).collect();
    assert_eq!((apps, undoing[0].steps.len()), (expected, 18), "what others depend on comes first");
    let command = |number: usize| {
        let app = bench.services.app(&named(number).parse().expect("an id")).expect("it is there");
        app.app.definition.cmd.clone().unwrap_or_default()
    };
    assert_eq!((command(2).as_str(), command(3).as_str(), command(12).as_str()), ("serve", "new", "new"));
    let refused = bench.published.iter().filter_map(|event| match event {
        Published::GroupFailed { reason, .. } => Some(reason.as_str()),
        _ => None,
    });
    let refused: Vec<&str> = refused.collect();
    assert!(refused.len() == 2 && refused.iter().all(|why| why.contains("--max-instances")), "{refused:?}");
}

#[test]
fn a_failed_update_is_taken_back_though_there_are_more_deployments_than_there_may_be() {
    let mut bench = Bench::new(Settings::default());
    bench.create(app("/a")).expect("an app");
    bench.offer(None);
    bench.apply(Event::Update(TaskStatus::new(bench.launched[0].task.clone(), TaskState::Running)));
    bench.create(app("/b")).expect("another");
    let fields = json!({"cmd": "new", "rollout": {"deadlineSeconds": 60}});
    let fields = fields.as_object().expect("an object").clone();
    let update = Update { app: "/a".parse().expect("an id"), fields, partial: true, create: false };
    bench.command(Command::Update { updates: vec![update], force: false }).expect("one deployment");
    bench.restart(Settings { max_deployments: 1, ..Settings::default() });
    bench.wait(61 * SECOND);
    assert_eq!(bench.services.deployments().filter(|one| one.progress.undoes.is_some()).count(), 1);
}

#[test]
fn the_version_before_a_deployment_is_kept_for_as_long_as_it_may_be_taken_back() {
    let settings = Settings { max_versions: 1, ..Settings::default() };
    let mut bench = Bench::new(settings.clone());
    bench.create(app("/a")).expect("an app");
    let fields = json!({"cmd": "new", "rollout": {"deadlineSeconds": 60}});
    let fields = fields.as_object().expect("an object").clone();
    let update = Update { app: "/a".parse().expect("an id"), fields, partial: true, create: false };
    bench.command(Command::Update { updates: vec![update], force: true }).expect("no task has it");
    bench.restart(settings);
    bench.wait(61 * SECOND);
    let app = bench.services.app(&"/a".parse().expect("an id")).expect("it is there");
    assert_eq!(app.app.definition.cmd.as_deref(), Some("serve"));
}
