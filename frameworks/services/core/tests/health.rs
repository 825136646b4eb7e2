//! Health checks: they gate deployments, end tasks that are not well for too long, and are asked on time.

use std::collections::BTreeMap;
use std::time::Duration;

use chapada_model::{
    Milli, Mono, Now, Range, Ranges, Resource, Resources, Role, TaskId, TaskState, TaskStatus, Wall,
};
use chapada_services_core::{
    Command, Effect, Event, Offer, Probe, Published, Seed, Services, Settings, Write,
};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

/// The core with a store that is always quick and a master that starts everything.
struct Bench {
    services: Services,
    now: Now,
    offers: u32,
    probes: Vec<Probe>,
    killed: Vec<TaskId>,
    running: Vec<TaskId>,
    causes: Vec<String>,
    records: BTreeMap<String, Vec<u8>>,
}

impl Bench {
    fn with_app(more: serde_json::Value) -> Self {
        let mut bench = Self {
            services: Services::new(Role::star(), Seed::new(1, 1)),
            now: Now { mono: Mono(1), wall: Wall(1_000_000_000_000_000_000) },
            offers: 0,
            probes: Vec::new(),
            killed: Vec::new(),
            running: Vec::new(),
            causes: Vec::new(),
            records: BTreeMap::new(),
        };
        bench.apply(Event::Subscribed);
        let check = json!({"intervalSeconds": 10, "gracePeriodSeconds": 30, "maxConsecutiveFailures": 2});
        let mut app = json!({"id": "/a", "cmd": "serve", "healthChecks": [check], "backoffSeconds": 0});
        app.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let definition = app.as_object().expect("an object").clone();
        bench.apply(Event::Command { request: 1, command: Command::Create { definition, force: false } });
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
                Effect::Publish(published) => {
                    if let Published::UnhealthyKill { cause, .. } = *published {
                        self.causes.push(cause);
                    }
                }
                Effect::Revive => self.offer(),
                Effect::Launch { tasks, .. } => {
                    for launch in tasks {
                        self.running.push(launch.task.clone());
                        self.apply(Event::Update(TaskStatus::new(launch.task, TaskState::Running)));
                    }
                }
                Effect::Kill { task, .. } => {
                    self.killed.push(task.clone());
                    self.apply(Event::Update(TaskStatus::new(task, TaskState::Killed)));
                }
                Effect::Probe(probe) => self.probes.push(*probe),
                _ => {}
            }
        }
    }

    fn offer(&mut self) {
        self.offers += 1;
        let resources = Resources::from_list([
            Resource::scalar("cpus", Milli::whole(8)),
            Resource::scalar("mem", Milli::whole(8_192)),
            Resource::ranges("ports", Ranges::new([Range { begin: 31_000, end: 31_099 }])),
        ]);
        let id = format!("o{}", self.offers).parse().expect("an id");
        let agent = "agent".parse().expect("an id");
        let resources = resources.expect("whole amounts");
        self.apply(Event::Offers(vec![Offer::new(id, agent, "host", resources)]));
    }

    fn wait(&mut self, time: Duration) {
        self.now.mono = self.now.mono + time;
        self.now.wall = self.now.wall + time;
        self.apply(Event::Tick);
    }

    /// Another process takes over. Its own clock begins at no time in particular.
    fn restart(&mut self) {
        self.probes.clear();
        self.now.mono = Mono(7);
        let records = self.records.clone();
        self.services =
            Services::restore(Role::star(), Seed::new(2, 2), self.now, records).expect("own records");
        self.apply(Event::Subscribed);
        for task in self.running.clone() {
            self.apply(Event::Update(TaskStatus::new(task, TaskState::Running)));
        }
        self.wait(SECOND);
    }

    /// Answers the one question that is open.
    fn answer(&mut self, result: Result<(), &str>) {
        let probe = self.probes.pop().expect("a question");
        assert!(self.probes.is_empty(), "one question at a time");
        let (task, check) = (probe.task, probe.check);
        self.apply(Event::Probed { task, check, result: result.map_err(str::to_owned) });
    }

    fn deploying(&self) -> bool {
        self.services.deployments().next().is_some()
    }
}

#[test]
fn a_deployment_waits_until_its_tasks_are_well() {
    let mut bench = Bench::with_app(json!({}));
    assert_eq!((bench.running.len(), bench.probes.len()), (1, 1));
    assert_eq!((bench.probes[0].host.as_str(), bench.probes[0].how.path.as_deref()), ("host", Some("/")));
    assert!((31_000..31_100).contains(&bench.probes[0].port));
    bench.answer(Err("refused"));
    assert!(bench.deploying());
    bench.wait(9 * SECOND);
    assert!(bench.probes.is_empty(), "asked before its time");
    bench.wait(SECOND);
    bench.answer(Ok(()));
    assert!(!bench.deploying());
    let counts = bench.services.apps().next().expect("the app").counts_by_state();
    assert_eq!((counts.healthy, counts.unhealthy), (1, 0));
}

#[test]
fn failures_count_after_grace_or_a_success_and_then_end_the_task() {
    let mut bench = Bench::with_app(json!({}));
    for _ in 0..3 {
        bench.answer(Err("refused"));
        assert!(bench.killed.is_empty(), "within its grace period");
        bench.wait(10 * SECOND);
    }
    bench.answer(Err("refused"));
    bench.wait(10 * SECOND);
    bench.answer(Err("refused"));
    assert_eq!(bench.killed, bench.running[..1]);
    assert_eq!(bench.running.len(), 2, "another takes its place");

    bench.probes.clear();
    let mut bench = Bench::with_app(json!({}));
    bench.answer(Ok(()));
    bench.wait(15 * SECOND);
    bench.answer(Err("refused"));
    bench.wait(10 * SECOND);
    bench.answer(Err("refused"));
    assert_eq!(bench.killed, bench.running[..1], "it was well before");
}

#[test]
fn why_a_task_was_killed_is_kept() {
    let mut bench = Bench::with_app(json!({}));
    bench.answer(Ok(()));
    for _ in 0..2 {
        bench.wait(15 * SECOND);
        bench.answer(Err("status 500"));
    }
    assert_eq!(bench.killed, bench.running[..1]);
    assert_eq!(bench.causes, ["status 500"]);
    let app = bench.services.apps().next().expect("the app");
    let failure = app.last_failure.as_ref().expect("it is said");
    assert_eq!((&failure.task, failure.state), (&bench.killed[0], TaskState::Killed));
    assert_eq!(failure.message, "Task was killed since health check failed. Reason: status 500");
}

#[test]
fn a_grace_period_is_not_given_again_by_a_process_that_takes_over() {
    for (ran, killed) in [(31, 1), (20, 0)] {
        let mut bench = Bench::with_app(json!({}));
        bench.answer(Err("refused"));
        bench.wait(Duration::from_secs(ran));
        bench.restart();
        for _ in 0..2 {
            bench.answer(Err("refused"));
            bench.wait(5 * SECOND);
            bench.wait(5 * SECOND);
        }
        assert_eq!(bench.killed.len(), killed, "it ran for {ran} s");
    }
}

#[test]
fn tasks_that_began_together_are_not_asked_together_for_ever() {
    let mut bench = Bench::with_app(json!({"instances": 50, "cpus": 0.1, "mem": 1}));
    assert_eq!(bench.probes.len(), 50, "each is asked as soon as it runs");
    let mut rounds = Vec::new();
    for _ in 0..40 {
        rounds.push(bench.probes.len());
        for probe in std::mem::take(&mut bench.probes) {
            let (task, check) = (probe.task, probe.check);
            bench.apply(Event::Probed { task, check, result: Ok(()) });
        }
        bench.wait(SECOND);
    }
    assert!(rounds[1..].iter().all(|asked| *asked < 20), "{rounds:?}");
    let of_one_interval: usize = rounds[25..35].iter().sum();
    assert_eq!(of_one_interval, 50, "each once in ten seconds: {rounds:?}");
}

#[test]
fn a_lost_answer_is_asked_for_again() {
    let mut bench = Bench::with_app(json!({}));
    let lost = bench.probes.pop();
    bench.wait(49 * SECOND);
    assert!(bench.probes.is_empty());
    bench.wait(SECOND);
    assert_eq!(bench.probes.pop(), lost);
}

#[test]
fn an_update_replaces_only_as_fast_as_new_tasks_get_well() {
    let strategy = json!({"minimumHealthCapacity": 1, "maximumOverCapacity": 0});
    let mut bench = Bench::with_app(json!({"upgradeStrategy": strategy}));
    bench.answer(Ok(()));
    bench.probes.clear();
    let fields = json!({"cmd": "serve more"}).as_object().expect("an object").clone();
    let app = "/a".parse().expect("a path");
    let update = chapada_services_core::Update { app, fields, partial: true, create: false };
    bench.apply(Event::Command {
        request: 2,
        command: Command::Update { updates: vec![update], force: false },
    });
    bench.wait(SECOND);
    assert_eq!(
        (bench.running.len(), bench.killed.len()),
        (2, 0),
        "the old one stays until the new one is well"
    );
    bench.answer(Ok(()));
    assert_eq!(bench.killed, bench.running[..1]);
    assert!(!bench.deploying());
}

#[test]
fn what_agents_say_of_health_counts_and_is_not_asked_from_here() {
    let check = json!({"protocol": "COMMAND", "command": {"value": "true"}});
    let mut bench = Bench::with_app(json!({"healthChecks": [check]}));
    bench.wait(3_600 * SECOND);
    assert!(bench.probes.is_empty(), "its agent asks");
    assert!(bench.deploying(), "nothing was said yet");
    let says = |bench: &Bench, healthy| TaskStatus {
        healthy: Some(healthy),
        ..TaskStatus::new(bench.running[0].clone(), TaskState::Running)
    };
    let status = says(&bench, true);
    bench.apply(Event::Update(status));
    assert!(!bench.deploying());
    let counts = |bench: &Bench| bench.services.apps().next().expect("the app").counts_by_state();
    assert_eq!((counts(&bench).healthy, counts(&bench).unhealthy), (1, 0));
    let status = says(&bench, false);
    bench.apply(Event::Update(status));
    assert_eq!((counts(&bench).healthy, counts(&bench).unhealthy), (0, 1));
    assert!(bench.killed.is_empty(), "that is its agent's to do");
}

#[test]
fn a_task_with_addresses_of_its_own_is_asked_there() {
    let mut bench = Bench::with_app(json!({
        "networks": [{"mode": "container", "name": "dev"}],
        "container": {"type": "MESOS", "portMappings": [{"containerPort": 8080}]},
    }));
    assert!(bench.probes.is_empty(), "it is not known where");
    let addresses = vec!["10.1.2.3".parse().expect("an address")];
    let task = bench.running[0].clone();
    bench.apply(Event::Observed { task, addresses, check: None });
    bench.wait(SECOND);
    assert_eq!((bench.probes[0].host.as_str(), bench.probes[0].port), ("10.1.2.3", 8_080));
    bench.answer(Ok(()));
    assert!(!bench.deploying());

    let bench = Bench::with_app(json!({
        "networks": [{"mode": "container/bridge"}],
        "container": {"type": "MESOS", "portMappings": [{"containerPort": 8080}]},
    }));
    assert_eq!(bench.probes[0].host, "host", "a port of the machine leads there");
    assert!((31_000..31_100).contains(&bench.probes[0].port));
}

fn well(bench: &mut Bench) {
    for probe in std::mem::take(&mut bench.probes) {
        bench.apply(Event::Probed { task: probe.task, check: probe.check, result: Ok(()) });
    }
}

fn update(fields: serde_json::Value) -> Event {
    let fields = fields.as_object().expect("an object").clone();
    let app = "/a".parse().expect("a path");
    let update = chapada_services_core::Update { app, fields, partial: true, create: false };
    Event::Command { request: 2, command: Command::Update { updates: vec![update], force: false } }
}

/// Two that are well and asked once in an hour, read back by another process.
fn seldom_asked() -> Bench {
    let check = json!({"intervalSeconds": 3600, "gracePeriodSeconds": 3600, "maxConsecutiveFailures": 2});
    let mut bench = Bench::with_app(json!({"instances": 2, "healthChecks": [check]}));
    well(&mut bench);
    assert!(!bench.deploying());
    bench.restart();
    assert!(bench.probes.is_empty(), "their turn is much later, and nobody waits for it");
    bench
}

#[test]
fn an_app_that_changes_asks_at_once_those_whose_turn_would_be_much_later() {
    let mut bench = seldom_asked();
    bench.apply(update(json!({"instances": 1})));
    assert_eq!((bench.probes.len(), bench.killed.len()), (2, 0), "nobody goes before both have answered");
    well(&mut bench);
    assert_eq!((bench.killed.len(), bench.deploying()), (1, false));
    bench.wait(10 * SECOND);
    assert!(bench.probes.is_empty(), "asked once more than it should");
}

#[test]
fn a_process_that_takes_over_in_the_middle_of_a_change_asks_at_once() {
    let mut bench = seldom_asked();
    bench.apply(update(json!({"instances": 1})));
    bench.restart();
    assert_eq!(bench.probes.len(), 2);
    well(&mut bench);
    assert_eq!((bench.killed.len(), bench.deploying()), (1, false));
}

#[test]
fn who_was_well_and_answers_another_process_that_it_is_not_goes_first() {
    let mut bench = seldom_asked();
    bench.apply(update(json!({"instances": 1})));
    let ill = bench.probes.pop().expect("two");
    let task = ill.task.clone();
    bench.apply(Event::Probed { task: ill.task, check: ill.check, result: Err("refused".to_owned()) });
    assert_eq!(bench.killed, [task], "nobody else has to be heard of for that");
}

#[test]
fn very_many_whose_answers_are_waited_for_are_not_asked_all_at_once() {
    const MANY: usize = 2_000;
    let check = json!({"intervalSeconds": 3600, "port": 80});
    let app =
        json!({"instances": MANY, "healthChecks": [check], "cpus": 0.001, "mem": 1, "portDefinitions": []});
    let mut bench = Bench::with_app(app);
    while bench.running.len() < MANY {
        bench.offer();
        bench.apply(Event::Tick);
    }
    well(&mut bench);
    bench.restart();
    bench.probes.clear();
    bench.apply(update(json!({"instances": MANY - 1})));
    let mut rounds = vec![bench.probes.len()];
    for _ in 0..10 {
        bench.wait(Duration::from_millis(100));
        rounds.push(bench.probes.len() - rounds.iter().sum::<usize>());
    }
    assert!(rounds.iter().all(|asked| *asked < MANY / 5), "{rounds:?}");
    assert!(
        rounds.iter().sum::<usize>() > MANY - 10,
        "each within a second, but whose turn was before: {rounds:?}"
    );
    well(&mut bench);
    assert_eq!(bench.killed.len(), 1);
}

/// In the middle of an update from a check that is made from here to `check`: two old ones that are well, and a new one that runs.
fn another_check(check: serde_json::Value, settings: Settings) -> Bench {
    let strategy = json!({"minimumHealthCapacity": 1, "maximumOverCapacity": 0.5});
    let mut bench = Bench::with_app(json!({"instances": 2, "upgradeStrategy": strategy}));
    let services = std::mem::replace(&mut bench.services, Services::new(Role::star(), Seed::new(3, 3)));
    bench.services = services.with_settings(settings);
    well(&mut bench);
    assert!(!bench.deploying());
    bench.apply(update(json!({"healthChecks": [check]})));
    bench.wait(SECOND);
    bench.offer();
    assert_eq!((bench.running.len(), bench.killed.len()), (3, 0));
    bench
}

/// Agents say that their tasks are well, and offers come.
fn goes_on(bench: &mut Bench, old: &[TaskId]) {
    let new: Vec<TaskId> = bench.running.iter().filter(|task| !old.contains(task)).cloned().collect();
    for task in new.into_iter().filter(|task| !bench.killed.contains(task)).collect::<Vec<_>>() {
        let status = TaskStatus::new(task, TaskState::Running);
        bench.apply(Event::Update(TaskStatus { healthy: Some(true), ..status }));
    }
    bench.wait(SECOND);
    bench.offer();
}

#[test]
fn tasks_are_asked_as_when_they_were_launched_however_few_versions_are_kept() {
    let check = json!({"protocol": "COMMAND", "command": {"value": "true"}});
    let mut bench = another_check(check, Settings { max_versions: 1, ..Settings::default() });
    let old = bench.running[..2].to_vec();
    bench.restart();
    assert_eq!(
        bench.probes.iter().filter(|probe| old.contains(&probe.task)).count(),
        2,
        "{:?}",
        bench.probes
    );
    well(&mut bench);
    for _ in 0..20 {
        goes_on(&mut bench, &old);
    }
    assert!(!bench.deploying(), "it never ends");
    assert_eq!(bench.killed.len(), 2);
}

#[test]
fn versions_that_nobody_has_are_forgotten() {
    let mut bench = Bench::with_app(json!({}));
    let services = std::mem::replace(&mut bench.services, Services::new(Role::star(), Seed::new(3, 3)));
    bench.services = services.with_settings(Settings { max_versions: 2, ..Settings::default() });
    well(&mut bench);
    let versions = |bench: &Bench| -> Vec<_> {
        bench.services.apps().next().expect("the app").versions.keys().copied().collect()
    };
    let first = versions(&bench)[0];
    for instances in [2, 1, 2, 1] {
        bench.wait(SECOND);
        bench.apply(update(json!({"instances": instances})));
        bench.offer();
        well(&mut bench);
        assert!(!bench.deploying());
    }
    let has_first = bench.services.apps().next().expect("the app").tasks().any(|task| task.version == first);
    assert_eq!(has_first, versions(&bench).contains(&first));
    assert!(versions(&bench).len() <= 3, "{:?}", versions(&bench));
    let stored = bench.records.keys().filter(|key| key.starts_with("version.")).count();
    assert_eq!(stored, versions(&bench).len());
}

#[test]
fn a_task_whose_definition_is_lost_holds_up_nobody() {
    let mut bench = another_check(json!({"protocol": "TCP", "portIndex": 0}), Settings::default());
    let old = bench.running[..2].to_vec();
    // As processes did before this one that kept fewer versions.
    let first = bench.records.keys().find(|key| key.starts_with("version.")).expect("the first").clone();
    bench.records.remove(&first);
    bench.restart();
    for _ in 0..20 {
        let (of_old, of_new) =
            std::mem::take(&mut bench.probes).into_iter().partition(|probe| old.contains(&probe.task));
        bench.probes = of_new;
        // Those are never answered.
        drop::<Vec<Probe>>(of_old);
        well(&mut bench);
        goes_on(&mut bench, &old);
    }
    assert!(!bench.deploying(), "it never ends");
    assert_eq!(bench.killed.len(), 2);
}

#[test]
fn who_is_asked_when_its_turn_comes_is_not_asked_again_because_the_app_changes() {
    let mut bench = seldom_asked();
    bench.wait(3_600 * SECOND);
    assert_eq!(bench.probes.len(), 2);
    bench.apply(update(json!({"instances": 1})));
    bench.wait(SECOND);
    assert_eq!(bench.probes.len(), 2);
}

#[test]
fn what_agents_ask_is_not_waited_for_by_another_process() {
    let check = json!({"protocol": "COMMAND", "command": {"value": "true"}});
    let mut bench = Bench::with_app(json!({"healthChecks": [check], "instances": 2}));
    goes_on(&mut bench, &[]);
    assert!(!bench.deploying());
    bench.restart();
    bench.apply(update(json!({"instances": 1})));
    assert_eq!((bench.killed.len(), bench.deploying()), (1, false), "the master says what it knows of them");
}
