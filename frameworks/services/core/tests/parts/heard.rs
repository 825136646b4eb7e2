//! A leader that is new, or was cut off, stops nobody because of what was good before.

use std::time::Duration;

use chapada_model::{TaskId, TaskState};
use chapada_services_core::{Command, Event, Update};
use serde_json::json;

use crate::bench::{Bench, says};

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
