//! How instances ended is known to the next process, the last ten of each pod, and goes with the pod.

use chapada_model::TaskState;
use chapada_services_core::{Command, FORMAT, PodTermination};
use serde_json::{Value, json};

use crate::support::{Bench, id};

const RECORD: &str = "ended.shop_web";

fn terminations(bench: &Bench) -> Vec<PodTermination> {
    bench.services.pod(&id()).map(|state| state.terminations.clone()).unwrap_or_default()
}

/// The instance ends, by a failure of its second container.
fn fail(bench: &mut Bench) {
    let tasks = bench.live();
    bench.update(&tasks[1], TaskState::Failed);
    bench.all_killed();
    bench.wait(400);
    bench.offer();
    bench.all_run();
}

#[test]
fn the_last_ten_outlive_the_process_and_go_with_the_pod() {
    let mut bench = Bench::with_pod(json!({}));
    assert!(!bench.store.contains_key(RECORD), "there is nothing to be kept");
    for _ in 0..12 {
        fail(&mut bench);
    }
    let before = terminations(&bench);
    assert_eq!(before.len(), 10);
    assert!(before[0].at > before[9].at, "the latest first");
    bench.restart();
    assert_eq!(terminations(&bench), before);
    fail(&mut bench);
    assert_eq!(terminations(&bench)[1..], before[..9]);

    bench.command(Command::DeletePod { pod: id(), force: true }).expect("accepted");
    bench.settle();
    assert_eq!(bench.instances(), []);
    assert!(!bench.store.contains_key(RECORD), "{:?}", bench.store.keys());
}

#[test]
fn each_record_is_of_the_oldest_format_that_has_it() {
    let mut bench = Bench::with_pod(json!({}));
    fail(&mut bench);
    for (key, record) in &bench.store {
        let record: Value = serde_json::from_slice(record).expect("JSON");
        let format = match key.as_str() {
            RECORD => 2,
            "failed.shop_web" => FORMAT,
            _ => 1,
        };
        assert_eq!(record["format"], json!(format), "{key}");
    }
}

#[test]
fn what_is_said_at_great_length_does_not_grow_without_end() {
    let mut bench = Bench::with_pod(json!({}));
    for _ in 0..10 {
        let tasks = bench.live();
        bench.says(&tasks[1], TaskState::Failed, &"because ".repeat(4_000));
        bench.all_killed();
        bench.wait(400);
        bench.offer();
        bench.all_run();
    }
    assert_eq!(terminations(&bench).len(), 10);
    let size = bench.store[RECORD].len();
    assert!((32_000..=128 * 1024).contains(&size), "{size}");
    bench.restart();
    let kept = terminations(&bench).len();
    assert!((1..10).contains(&kept), "{kept}");
}
