//! Apps with persistent volumes, against agents that keep books of what is reserved and of the volumes on them.

mod bench;
mod disks;
mod plans;
mod pods;

use std::time::Duration;

use chapada_model::{Role, TaskId, TaskState, TaskStatus};
use chapada_services_core::{Command, Event, GroupChange, InstanceId, Refusal, Reply, Seed, Services, Which};
use serde_json::json;

use bench::{Bench, ROLE, app, machine, object, role, sum};

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

/// The master counts what it asks of an agent at once, and offers it. The agent may lose it before it is on its disk.
#[test]
fn a_home_that_was_offered_and_never_lived_in_is_not_waited_for() {
    let mut bench = Bench::new(&["a"]);
    bench.command(Command::Create { definition: object(app()), force: false }).expect("valid");
    bench.offer();
    bench.end(&bench.task(), TaskState::Dropped);
    bench.update(json!({"instances": 0})).expect("taken");
    bench.offer();
    assert_eq!(bench.volumes().len(), 1, "it is kept, and was offered");
    *bench.free.get_mut("a").expect("an agent") = machine();
    bench.wait(Duration::from_secs(30));
    bench.update(json!({"instances": 1})).expect("taken");
    bench.run();
    assert_eq!((bench.tasks.len(), bench.volumes().len()), (1, 1));
}

#[test]
fn a_home_that_was_asked_for_is_given_up_by_a_clock_that_does_not_jump() {
    let mut bench = Bench::new(&["a"]);
    bench.deaf = true;
    bench.command(Command::Create { definition: object(app()), force: false }).expect("valid");
    bench.run();
    let home = |bench: &Bench| {
        let state = bench.services.app(&"/db".parse().expect("an id")).expect("there");
        state.homes.values().next().map(|home| home.uuid)
    };
    let first = home(&bench).expect("it was asked for");
    let day = 86_400_000_000_000;
    bench.now.wall.0 += day;
    bench.round();
    assert_eq!(home(&bench), Some(first), "13 s have passed");
    bench.now.wall.0 -= 2 * day;
    bench.wait(Duration::from_secs(8));
    bench.round();
    bench.round();
    assert_ne!(home(&bench), Some(first), "21 s had passed");
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
