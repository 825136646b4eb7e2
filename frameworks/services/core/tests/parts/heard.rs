//! A leader that is new, or was cut off, stops nobody because of what was good before.

use std::collections::BTreeMap;
use std::time::Duration;

use chapada_model::{TaskId, TaskState};
use chapada_services_core::{Command, Event, Update};
use serde_json::{Value, json};

use crate::bench::{AGENTS, Bench, says};

/// Four instances in the middle of an update, at least four of which serve: two are new, one of them has only been launched.
/// The new one that runs, and the one that begins.
fn in_the_middle() -> (Bench, TaskId, TaskId) {
    let mut bench = Bench::new();
    bench.create(&json!({
        "id": "/web", "cmd": "old", "cpus": 0.1, "mem": 1, "instances": 4, "portDefinitions": [],
        "upgradeStrategy": {"minimumHealthCapacity": 1, "maximumOverCapacity": 0.25},
    }));
    bench.run();
    let old: Vec<TaskId> = bench.running.keys().cloned().collect();
    assert_eq!(old.len(), 4);
    let fields = json!({"cmd": "new"}).as_object().expect("an object").clone();
    let update = Update { app: "/web".parse().expect("an id"), fields, partial: true, create: false };
    bench.launched_are_told = false;
    bench.command(Command::Update { updates: vec![update], force: false });
    let mut new = Vec::new();
    for _ in 0..2 {
        bench.offer_all();
        let begins = bench.running.keys().find(|task| !old.contains(task) && !new.contains(*task));
        new.push(begins.expect("one more than four").clone());
        if new.len() == 1 {
            bench.hears(&new[0].clone());
        }
    }
    assert_eq!((bench.killed.len(), bench.running.len()), (1, 5));
    (bench, new.remove(0), new.remove(0))
}

/// Of those that were good one is no more; that the other one serves now is heard first.
fn goes_on_as_if(mut bench: Bench, ended: &TaskId, begun: &TaskId) {
    let killed = bench.killed.len();
    bench.hears(begun);
    assert_eq!(bench.killed.len(), killed, "who of the others serves was not heard yet");
    bench.hears(ended);
    let rest: Vec<TaskId> = bench.running.keys().cloned().collect();
    for task in &rest {
        bench.hears(task);
    }
    assert_eq!((bench.killed.len(), bench.running.len()), (killed, 4), "four serve, as they must");
    bench.launched_are_told = true;
    bench.master_is_slow = false;
    for _ in 0..5 {
        bench.run();
        bench.wait(Duration::from_secs(60));
    }
    assert_eq!((bench.services.deployments().count(), bench.running.len()), (0, 4));
}

#[test]
fn a_new_leader_counts_nobody_whom_it_has_not_heard_of() {
    let (mut bench, good, begins) = in_the_middle();
    bench.master_is_slow = true;
    bench.running.remove(&good);
    bench.restart(Duration::from_secs(1));
    goes_on_as_if(bench, &good, &begins);
}

#[test]
fn what_was_good_before_the_master_was_away_counts_when_it_is_heard_of() {
    let (mut bench, good, begins) = in_the_middle();
    bench.master_is_slow = true;
    bench.apply(Event::Disconnected);
    bench.running.remove(&good);
    bench.apply(Event::Subscribed);
    goes_on_as_if(bench, &good, &begins);
}

#[test]
fn nobody_goes_while_the_master_cannot_be_heard() {
    let (mut bench, good, begins) = in_the_middle();
    bench.apply(Event::Disconnected);
    let agent = bench.running.remove(&good).expect("it ran");
    // What was on its way when the subscription ended is still read.
    bench.apply(says(&begins, &agent, TaskState::Running, ""));
    bench.master_is_slow = true;
    bench.apply(Event::Subscribed);
    goes_on_as_if(bench, &good, &begins);
}

/// Four instances of which one is no more, and an app that is to have three.
fn made_smaller(group_by: bool) -> (Bench, TaskId) {
    let mut bench = Bench::new();
    let constraints = if group_by { json!([["hostname", "GROUP_BY"]]) } else { json!([]) };
    bench.create(&json!({
        "id": "/web", "cmd": "true", "cpus": 0.1, "mem": 1, "instances": 4, "portDefinitions": [], "constraints": constraints,
    }));
    bench.run();
    let gone = bench.running.keys().next().expect("four").clone();
    bench.master_is_slow = true;
    bench.running.remove(&gone);
    bench.restart(Duration::from_secs(1));
    let fields = json!({"instances": 3}).as_object().expect("an object").clone();
    let update = Update { app: "/web".parse().expect("an id"), fields, partial: true, create: false };
    bench.command(Command::Update { updates: vec![update], force: false });
    (bench, gone)
}

#[test]
fn an_app_is_made_smaller_by_those_that_are_heard_of() {
    for group_by in [false, true] {
        let (mut bench, gone) = made_smaller(group_by);
        let rest: Vec<TaskId> = bench.running.keys().cloned().collect();
        for task in &rest {
            bench.hears(task);
            assert!(bench.killed.is_empty(), "who of the others is there was not heard yet");
        }
        bench.hears(&gone);
        assert_eq!(
            (bench.killed.len(), bench.services.deployments().count()),
            (0, 0),
            "it was the one too many"
        );
        assert_eq!(bench.running.len(), 3);
    }
}

#[test]
fn who_is_one_too_many_goes_once_all_others_are_heard_of() {
    let mut bench = made_smaller(false).0;
    bench.master_is_slow = false;
    let fields = json!({"instances": 2}).as_object().expect("an object").clone();
    let update = Update { app: "/web".parse().expect("an id"), fields, partial: true, create: false };
    bench.command(Command::Update { updates: vec![update], force: true });
    let all: Vec<TaskId> = bench.app("/web").tasks().map(|task| task.id.clone()).collect();
    assert!(bench.killed.is_empty(), "nobody was heard of");
    for task in &all {
        bench.hears(task);
    }
    bench.run();
    assert_eq!((bench.services.deployments().count(), bench.running.len()), (0, 2));
}

#[test]
fn who_gives_up_all_instances_waits_for_nobody() {
    let (mut bench, _) = made_smaller(false);
    let fields = json!({"instances": 0}).as_object().expect("an object").clone();
    let update = Update { app: "/web".parse().expect("an id"), fields, partial: true, create: false };
    bench.command(Command::Update { updates: vec![update], force: true });
    assert_eq!(bench.killed.len(), 4);
}

#[test]
fn an_app_that_is_spread_looks_for_whom_to_stop_a_few_times_and_not_whenever_one_is_heard_of() {
    let mut bench = Bench::new();
    bench.create(&json!({
        "id": "/web", "cmd": "true", "cpus": 0.1, "mem": 1, "instances": 64, "portDefinitions": [],
        "constraints": [["hostname", "GROUP_BY"]],
    }));
    bench.run();
    bench.master_is_slow = true;
    bench.restart(Duration::from_secs(1));
    bench.command(changed("/web", &json!({"instances": 32})));
    let all: Vec<TaskId> = bench.running.keys().cloned().collect();
    let mut looks = 0;
    for task in &all {
        let killed = bench.killed.len();
        bench.hears(task);
        looks += usize::from(bench.killed.len() > killed);
    }
    assert!((1..=6).contains(&looks), "{looks}");
    let mut there = BTreeMap::new();
    bench.running.values().for_each(|agent| *there.entry(agent.clone()).or_insert(0) += 1);
    assert_eq!(there.into_values().collect::<Vec<_>>(), [8; AGENTS]);
    assert_eq!(bench.services.deployments().count(), 0);
}

fn changed(app: &str, fields: &Value) -> Command {
    let fields = fields.as_object().expect("an object").clone();
    let update = Update { app: app.parse().expect("an id"), fields, partial: true, create: false };
    Command::Update { updates: vec![update], force: false }
}

/// What waits for `/db` to have three instances, of which two are there and the third has only been launched: the two, and the third.
fn a_step_that_is_nearly_done() -> (Bench, Vec<TaskId>, TaskId) {
    let mut bench = Bench::new();
    let app = |id: &str, more: Value| {
        let mut app = json!({"id": id, "cmd": "true", "cpus": 0.1, "mem": 1, "portDefinitions": []});
        app.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        app
    };
    bench.create(&app("/db", json!({"instances": 2})));
    bench.run();
    bench.create(&app("/web", json!({"dependencies": ["/db"]})));
    bench.run();
    let two: Vec<TaskId> = bench.app("/db").tasks().map(|task| task.id.clone()).collect();
    let Command::Update { mut updates, .. } = changed("/db", &json!({"instances": 3})) else { panic!() };
    let Command::Update { updates: web, .. } = changed("/web", &json!({"cmd": "false"})) else { panic!() };
    updates.extend(web);
    bench.launched_are_told = false;
    bench.command(Command::Update { updates, force: false });
    bench.offer_all();
    let third = bench.app("/db").tasks().map(|task| task.id.clone()).find(|task| !two.contains(task));
    bench.master_is_slow = true;
    bench.restart(Duration::from_secs(1));
    (bench, two, third.expect("it was launched"))
}

fn step(bench: &Bench) -> usize {
    bench.services.deployments().next().expect("it goes on").current
}

#[test]
fn a_step_is_not_done_while_one_that_it_counts_may_be_no_more() {
    let (mut bench, two, third) = a_step_that_is_nearly_done();
    bench.running.remove(&two[0]);
    bench.hears(&third);
    bench.hears(&two[1]);
    assert_eq!(step(&bench), 0, "one of the three was not heard of");
    bench.hears(&two[0]);
    assert_eq!(step(&bench), 0, "it is no more");
    bench.launched_are_told = true;
    bench.master_is_slow = false;
    for _ in 0..5 {
        bench.run();
        bench.wait(Duration::from_secs(60));
    }
    assert_eq!((bench.services.deployments().count(), bench.running.len()), (0, 4));
}

#[test]
fn a_step_is_done_as_soon_as_the_last_one_is_heard_of() {
    let (mut bench, two, third) = a_step_that_is_nearly_done();
    for task in two.iter().chain([&third]) {
        assert_eq!(step(&bench), 0);
        bench.hears(task);
    }
    assert_eq!(step(&bench), 1);
}

#[test]
fn a_canary_that_is_only_believed_to_be_well_is_not_promoted() {
    for is_there in [false, true] {
        let mut bench = Bench::new();
        let canary = json!([{"instances": 1, "promoteAfterSeconds": 30}, {"instances": 2}]);
        bench.create(&json!({
            "id": "/web", "cmd": "old", "cpus": 0.1, "mem": 1, "instances": 4, "portDefinitions": [], "backoffSeconds": 0,
            "rollout": {"canary": canary},
        }));
        bench.run();
        let old: Vec<TaskId> = bench.running.keys().cloned().collect();
        bench.command(changed("/web", &json!({"cmd": "new"})));
        bench.run();
        let canary = bench.running.keys().find(|task| !old.contains(task)).expect("it runs").clone();
        let stage = |bench: &Bench| {
            let deployment = bench.services.deployments().next().expect("it goes on");
            deployment.progress.apps.values().map(|known| known.stage).max().unwrap_or_default()
        };
        bench.wait(Duration::from_secs(10));
        bench.master_is_slow = true;
        bench.apply(Event::Disconnected);
        bench.apply(Event::Subscribed);
        if !is_there {
            bench.running.remove(&canary);
        }
        bench.wait(Duration::from_secs(25));
        assert_eq!(stage(&bench), 0, "nothing was heard of it");
        bench.hears(&canary);
        assert_eq!(stage(&bench), usize::from(is_there), "35 s have passed");
    }
}
