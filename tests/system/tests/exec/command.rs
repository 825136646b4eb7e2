//! Commands without a terminal.

use std::io::Write;
use std::process::Stdio;

use crate::{chapada, cluster_with, run, text};

#[test]
fn a_command_prints_and_its_exit_code_is_ours() {
    let (cluster, id) = cluster_with("sleep 1000");
    let script = "echo out; echo err >&2; exit 7";
    let out = run(&cluster, &["exec", &id, "--", "sh", "-c", script]);
    let seen = (text(&out.stdout), text(&out.stderr), out.status.code());
    assert_eq!(seen, ("out\n".to_owned(), "err\n".to_owned(), Some(7)));
    // By a part of its id, and as the task sees the world.
    let out = run(&cluster, &["exec", "box", "sh", "-c", "echo $MESOS_TASK_ID; kill -9 $$"]);
    assert_eq!((text(&out.stdout).trim(), out.status.code()), (id.as_str(), Some(137)), "{out:?}");
    let out = run(&cluster, &["exec", &id, "--", "tty"]);
    assert_eq!((text(&out.stdout).trim(), out.status.code()), ("not a tty", Some(1)));
}

#[test]
fn input_is_passed_on_with_its_end_and_without_i_there_is_none() {
    let (cluster, id) = cluster_with("sleep 1000");
    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let mut cat = chapada(&cluster, &["exec", "-i", &id, "--", "cat"]);
    let mut cat = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("chapada is built");
    let (mut stdin, bytes) = (cat.stdin.take().expect("a pipe"), sent.clone());
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let out = cat.wait_with_output().expect("it ends with its input");
    writer.join().expect("no panic").expect("all is read");
    assert!(out.stdout == sent, "{} bytes of {}", out.stdout.len(), sent.len());
    assert_eq!(out.status.code(), Some(0));

    let out = run(&cluster, &["exec", &id, "--", "cat"]);
    assert_eq!((text(&out.stdout), out.status.code()), (String::new(), Some(0)));
}

#[test]
fn what_cannot_be_run_is_said_why() {
    let (cluster, id) = cluster_with("sleep 1000");
    for (arguments, code, words) in [
        (&["exec", "nothing", "--", "true"][..], 3, "chapada tasks"),
        (&["exec", &id, "--", "no-such-program"], 1, "no-such-program"),
        (&["exec", "-i", "-t", &id, "--", "sh"], 1, "leave -t out"),
        (&["exec", &id], 2, "COMMAND"),
    ] {
        let out = run(&cluster, arguments);
        let said = text(&out.stderr);
        assert!(out.status.code() == Some(code) && said.contains(words), "{arguments:?}: {out:?} {said}");
    }
}
