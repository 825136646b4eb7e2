//! Logs of tasks through the master, over their turns.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use chapada_harness::eventually;

use crate::{WITHIN, chapada, cluster_with, run, text};

/// So many numbers, a line each, are a log that turns once: 10 MiB is a file.
const LINES: u32 = 1_700_000;

#[test]
fn a_log_is_followed_over_its_turn_to_its_end() {
    let script = format!("echo begun; until [ -e go ]; do sleep 0.05; done; seq 1 {LINES}");
    let (cluster, id) = cluster_with(&script);
    let mut follower = chapada(&cluster, &["logs", "--follow", &id]);
    let mut follower = follower.stdout(Stdio::piped()).spawn().expect("chapada is built");
    let mut lines = BufReader::new(follower.stdout.take().expect("a pipe")).lines();
    let mut next = || lines.next().map(|line| line.expect("text"));
    assert_eq!(next().as_deref(), Some("begun"));
    std::fs::write(cluster.sandbox().join("go"), "").expect("the sandbox is there");
    for number in 1..=LINES {
        assert_eq!(next(), Some(number.to_string()));
    }
    assert_eq!(next(), None);
    assert!(follower.wait().expect("it ends with the task").success());

    let last = run(&cluster, &["logs", "-n", "2", &id]);
    assert_eq!(text(&last.stdout), format!("{}\n{LINES}\n", LINES - 1));
    let all = run(&cluster, &["logs", &id]);
    assert_eq!(
        all.stdout.iter().filter(|byte| **byte == b'\n').count() as u32,
        LINES + 1,
        "{:?}",
        all.status
    );
}

#[test]
fn the_last_lines_of_either_stream_and_what_comes_after_them() {
    let (cluster, id) = cluster_with("echo one; echo two; echo three; echo wrong >&2; sleep 1000");
    eventually("all is written", WITHIN, || {
        let out = run(&cluster, &["logs", "-n", "2", &id]);
        let seen = text(&out.stdout);
        if seen == "two\nthree\n" { Ok(()) } else { Err(format!("{out:?}")) }
    });
    assert_eq!(text(&run(&cluster, &["logs", "--stderr", &id]).stdout), "wrong\n");
    assert_eq!(text(&run(&cluster, &["logs", "-n", "0", &id]).stdout), "");
    let mut follower = chapada(&cluster, &["logs", "-f", "-n", "1", &id]);
    let mut follower = follower.stdout(Stdio::piped()).spawn().expect("chapada is built");
    let mut lines = BufReader::new(follower.stdout.take().expect("a pipe")).lines();
    assert_eq!(lines.next().map(|line| line.expect("text")).as_deref(), Some("three"));
    follower.kill().expect("it runs");
    follower.wait().expect("it is ours");
}
