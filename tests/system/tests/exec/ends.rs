//! Whoever goes in the middle of a command, nothing of it is left, and who is left hears of it.

use std::io::Read;
use std::process::{Child, Stdio};

use chapada_harness::{Cluster, eventually, processes_of};

use crate::{WITHIN, chapada, cluster_with, text};

/// A command that ends by nothing of its own, once its client has heard of it.
fn endless(cluster: &Cluster, id: &str, mark: &str) -> Child {
    let script = format!("echo here; exec sleep {mark}");
    let mut client = chapada(cluster, &["exec", "-i", id, "--", "sh", "-c", &script]);
    let client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = client.spawn().expect("chapada is built");
    let mut heard = [0; 5];
    client.stdout.as_mut().expect("a pipe").read_exact(&mut heard).expect("the command runs");
    assert_eq!(&heard, b"here\n");
    eventually("it runs", WITHIN, || sleeping(mark).pop().ok_or_else(|| "no process".to_owned()));
    client
}

fn sleeping(mark: &str) -> Vec<u32> {
    let command = format!("sleep {mark} ");
    processes_of(mark).into_iter().filter(|(_, line)| *line == command).map(|(pid, _)| pid).collect()
}

fn ends(mark: &str) {
    eventually("no process is left of the command", WITHIN, || match sleeping(mark) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    });
}

#[test]
fn a_client_that_is_killed_leaves_no_process_in_the_container() {
    let (cluster, id) = cluster_with("sleep 1000");
    let mut client = endless(&cluster, &id, "7654321.1");
    client.kill().expect("it runs");
    client.wait().expect("it is ours");
    ends("7654321.1");
    assert_eq!(cluster.live_tasks().expect("tasks").len(), 1, "the task itself goes on");
}

#[test]
fn a_master_that_dies_ends_the_command_and_its_client() {
    let (mut cluster, id) = cluster_with("sleep 1000");
    let client = endless(&cluster, &id, "7654321.2");
    cluster.masters[0].kill();
    let out = client.wait_with_output().expect("it ends");
    let said = text(&out.stderr);
    assert!(out.status.code() == Some(1) && said.contains("the connection broke"), "{out:?} {said}");
    ends("7654321.2");
}

#[test]
fn an_agent_that_dies_ends_the_client() {
    let (mut cluster, id) = cluster_with("sleep 1000");
    let client = endless(&cluster, &id, "7654321.3");
    cluster.agents[0].kill();
    let out = client.wait_with_output().expect("it ends");
    let said = text(&out.stderr);
    assert!(out.status.code() == Some(1) && said.contains("the connection broke"), "{out:?} {said}");
    ends("7654321.3");
}
