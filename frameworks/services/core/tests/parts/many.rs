//! No command holds up the others for long, however many instances it is about.

use std::collections::BTreeSet;

use chapada_model::TaskId;
use chapada_services_core::{AppId, Command, Event, Reply, Update, Which};
use serde_json::json;

use crate::bench::{AGENTS, Bench};

const MANY: usize = 3_000;
/// What one go may write: the instances that it stops, and a few more records.
const AT_ONCE: usize = 1_100;

fn id() -> AppId {
    "/many".parse().expect("an id")
}

fn many(instances: usize) -> Bench {
    let mut bench = Bench::new();
    bench.create(&json!({
        "id": "/many", "cmd": "x", "cpus": 0.01, "mem": 1, "instances": instances, "portDefinitions": [],
    }));
    bench.run();
    assert_eq!((bench.running.len(), bench.services.deployments().count()), (instances, 0));
    bench.answers.clear();
    bench.most_written = 0;
    bench
}

fn all(host: Option<&str>) -> Which {
    Which::Of { app: id(), host: host.map(str::to_owned) }
}

#[test]
fn very_many_tasks_are_killed_in_parts_and_the_answer_comes_when_all_are() {
    let mut bench = many(MANY);
    let before: BTreeSet<TaskId> = bench.running.keys().cloned().collect();
    bench.command(Command::Kill { which: all(None), scale: false, force: false });
    assert_eq!(bench.answers, []);
    assert!(!bench.running.is_empty() && bench.most_written <= AT_ONCE, "{}", bench.most_written);
    bench.settle();
    let Some(Ok(Reply::Killed(killed))) = bench.answers.pop() else { panic!("{:?}", bench.answers) };
    let killed: BTreeSet<TaskId> = killed.into_iter().map(|(_, task)| task.id).collect();
    assert_eq!(killed, before);
    assert_eq!(bench.killed.iter().cloned().collect::<BTreeSet<_>>(), before);
    assert!(bench.most_written <= AT_ONCE, "{}", bench.most_written);
    bench.run();
    assert_eq!(bench.running.len(), MANY, "others take their places");
}

#[test]
fn those_that_are_killed_to_scale_down_are_those_that_were_meant() {
    let mut bench = many(3 * MANY);
    let of_host = |bench: &Bench| -> BTreeSet<TaskId> {
        bench
            .running
            .iter()
            .filter(|(_, agent)| agent.as_str() == "a0")
            .map(|(task, _)| task.clone())
            .collect()
    };
    let meant = of_host(&bench);
    assert!(meant.len() > 2 * 1_024, "more than two parts: {}", meant.len());
    bench.command(Command::Kill { which: all(Some("host-0")), scale: true, force: false });
    // What fails meanwhile is not replaced before all of them are on their way.
    let other = bench.running.iter().find(|(_, agent)| agent.as_str() != "a0").map(|(task, _)| task.clone());
    bench.ends(&other.expect("on another host"), "by itself");
    bench.settle();
    assert!(matches!(bench.answers.as_slice(), [Ok(Reply::Deployed { .. })]), "{:?}", bench.answers);
    assert_eq!((of_host(&bench).len(), bench.killed.iter().cloned().collect()), (0, meant.clone()));
    bench.wait(std::time::Duration::from_secs(10));
    bench.run();
    assert_eq!(bench.running.len(), 3 * MANY - meant.len());
    assert_eq!((bench.killed.len(), bench.services.deployments().count()), (meant.len(), 0));
    assert!(AGENTS > 1 && bench.most_written <= AT_ONCE, "{}", bench.most_written);
}

#[test]
fn an_app_shrinks_and_goes_in_parts_and_another_command_comes_between() {
    let mut bench = many(2 * MANY);
    let fields = json!({"instances": 10}).as_object().expect("an object").clone();
    let update = Update { app: id(), fields, partial: true, create: false };
    bench.command(Command::Update { updates: vec![update], force: false });
    assert!(bench.running.len() > 10, "not all at once");
    bench.create(&json!({"id": "/other", "cmd": "x", "cpus": 0.1, "mem": 1, "portDefinitions": []}));
    assert_eq!(bench.answers.len(), 2, "{:?}", bench.answers);
    bench.settle();
    bench.run();
    assert_eq!((bench.running.len(), bench.killed.len()), (11, 2 * MANY - 10));
    assert_eq!(bench.services.deployments().count(), 0);
    assert!(bench.most_written <= AT_ONCE, "{}", bench.most_written);

    let mut bench = many(2 * MANY);
    bench.command(Command::Delete { app: id(), force: false });
    bench.settle();
    assert_eq!((bench.running.len(), bench.services.all_apps().count()), (0, 0));
    assert!(bench.most_written <= AT_ONCE, "{}", bench.most_written);
}

#[test]
fn a_process_that_dies_between_has_answered_nobody_and_loses_no_place() {
    let mut bench = many(MANY);
    bench.command(Command::Kill { which: all(None), scale: false, force: false });
    bench.restart(std::time::Duration::ZERO);
    bench.run();
    assert_eq!((bench.answers.len(), bench.running.len()), (0, MANY));
    assert!(bench.killed.len() < MANY, "the others were not asked for by anybody who was told so");
}

#[test]
fn very_many_places_are_added_in_parts() {
    let mut bench = Bench::new();
    bench.create(&json!({
        "id": "/many", "cmd": "x", "cpus": 0.01, "mem": 1, "instances": 10_000, "portDefinitions": [],
    }));
    let waiting = |bench: &Bench| bench.app("/many").instances.waiting();
    assert!((1..10_000).contains(&waiting(&bench)), "{}", waiting(&bench));
    bench.apply(Event::Tick);
    bench.settle();
    assert_eq!(waiting(&bench), 10_000);
    assert!(
        bench.services.next_deadline().is_none_or(|at| at > bench.now.mono),
        "there is nothing left to do"
    );
}
