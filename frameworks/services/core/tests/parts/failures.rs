//! How an app last failed, and how long it waits for that, is known to the next process.

use std::time::Duration;

use chapada_services_core::{Command, Update};
use serde_json::{Value, json};

use crate::bench::Bench;

const RECORD: &str = "failed.web";

/// An app that has failed so often in a row.
fn failed(times: usize) -> Bench {
    let mut bench = Bench::new();
    bench.create(&json!({
        "id": "/web", "cmd": "x", "cpus": 0.1, "mem": 1, "portDefinitions": [], "backoffSeconds": 10,
        "backoffFactor": 2, "maxLaunchDelaySeconds": 100,
    }));
    for time in 0..times {
        bench.wait(Duration::from_secs(if time == 0 { 0 } else { 100 }));
        bench.run();
        let task = bench.running.keys().next().expect("it runs").clone();
        bench.ends(&task, &format!("the {time}th"));
    }
    bench
}

fn left(bench: &Bench) -> Option<Duration> {
    bench.app("/web").delay.map(|delay| delay.left(bench.now.mono))
}

#[test]
fn the_last_failure_and_the_delay_outlive_the_process() {
    let mut bench = failed(3);
    let before = bench.app("/web").last_failure.clone().expect("it failed");
    assert_eq!((before.message.as_str(), left(&bench)), ("the 2th", Some(Duration::from_secs(40))));
    bench.restart(Duration::from_secs(15));
    assert_eq!(bench.app("/web").last_failure.as_ref(), Some(&before));
    assert_eq!(left(&bench), Some(Duration::from_secs(25)));
    bench.run();
    assert_eq!(bench.running.len(), 0, "it waits");
    bench.wait(Duration::from_secs(25));
    bench.run();
    assert_eq!(bench.running.len(), 1);
    let task = bench.running.keys().next().expect("it runs").clone();
    bench.ends(&task, "again");
    assert_eq!(left(&bench), Some(Duration::from_secs(80)), "it grows from where it was");
}

#[test]
fn a_clock_that_jumps_between_makes_no_wait_longer_than_it_is() {
    for (jump, expected) in
        [(86_400_000_000_000_i64, None), (-86_400_000_000_000, Some(Duration::from_secs(10)))]
    {
        let mut bench = failed(1);
        bench.now.wall.0 = bench.now.wall.0.saturating_add_signed(jump);
        bench.restart(Duration::ZERO);
        assert_eq!(left(&bench), expected, "{jump}");
    }
}

#[test]
fn a_delay_that_was_taken_away_does_not_come_back_and_an_app_takes_its_failures_along() {
    let mut bench = failed(1);
    bench.command(Command::ResetDelay { app: "/web".parse().expect("an id") });
    bench.restart(Duration::ZERO);
    assert_eq!(left(&bench), None);
    assert!(bench.app("/web").last_failure.is_some());

    let mut bench = failed(1);
    let fields = json!({"cmd": "better"}).as_object().expect("an object").clone();
    let app = "/web".parse().expect("an id");
    bench.command(Command::Update {
        updates: vec![Update { app, fields, partial: true, create: false }],
        force: true,
    });
    bench.restart(Duration::ZERO);
    assert_eq!(left(&bench), None);

    assert!(bench.records.contains_key(RECORD));
    bench.command(Command::Delete { app: "/web".parse().expect("an id"), force: true });
    bench.settle();
    assert!(!bench.records.contains_key(RECORD), "{:?}", bench.records.keys());
}

#[test]
fn what_is_said_at_great_length_does_not_grow_without_end() {
    let mut bench = Bench::new();
    bench.create(&json!({"id": "/web", "cmd": "x", "cpus": 0.1, "mem": 1, "portDefinitions": []}));
    bench.run();
    let task = bench.running.keys().next().expect("it runs").clone();
    bench.ends(&task, &"ü".repeat(40_000));
    assert!((16_000..20_000).contains(&bench.records[RECORD].len()), "{}", bench.records[RECORD].len());
    let record: Value = serde_json::from_slice(&bench.records[RECORD]).expect("JSON");
    assert_eq!((&record["format"], &record["failed"]["last"]["state"]), (&json!(3), &json!("TASK_FAILED")));
}
