//! The example frameworks do what they say, on a real cluster.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chapada_harness::{Cluster, binary, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const WITHIN: Duration = Duration::from_secs(60);

#[test]
fn a_sweep_runs_every_point_and_prints_each_result() {
    let cluster = Cluster::builder().start();
    let out = Command::new(binary("chapada-example-sweep"))
        .args(["--master", cluster.master_host_port(0), "--output", "json"])
        .args(["--param", "A=1,2,3", "--param", "B=10,20", "echo noise; echo $((A * B))"])
        .output()
        .expect("the example is built");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    for product in [10, 20, 30, 40, 60] {
        assert!(text.contains(&format!("\"{product}\"")), "the result {product} is missing: {text}");
    }
    let frameworks = cluster.leader_http().and_then(|http| http.get("/query/v1/frameworks")).expect("a list");
    assert_eq!(frameworks["items"][0]["state"], "completed", "{frameworks}");
}

#[test]
fn a_sweep_with_a_point_that_fails_says_which_and_exits_with_1() {
    let cluster = Cluster::builder().start();
    let out = Command::new(binary("chapada-example-sweep"))
        .args(["--master", cluster.master_host_port(0), "--attempts", "2"])
        .args(["--param", "A=1,2", "[ $A = 1 ] && echo fine"])
        .output()
        .expect("the example is built");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(out.status.code(), Some(1), "{text}");
    assert!(text.contains("fine"), "the good point has its result: {text}");
}

#[test]
fn a_keeper_brings_copies_back_and_finds_them_after_its_own_death() {
    let cluster = Cluster::builder().start();
    let store = cluster.folder().join("keeper.redb");
    let start = || Keeper::start(&cluster, &store.to_string_lossy(), &["--instances", "2", "exec sleep 777"]);
    let keeper = start();
    let first = eventually("two copies run", WITHIN, || copies(&cluster, 2));
    let pid = i32::try_from(first[0]).expect("a pid");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it is there to be killed");
    let second = eventually("another copy runs", WITHIN, || {
        copies(&cluster, 2)
            .and_then(|now| if now.contains(&first[0]) { Err(format!("{now:?}")) } else { Ok(now) })
    });

    drop(keeper);
    let keeper = start();
    let subscribed = eventually("the keeper is back under its id", WITHIN, || {
        let frameworks = cluster.leader_http()?.get("/query/v1/frameworks")?;
        match &frameworks["items"] {
            Value::Array(all) if all.len() == 1 && all[0]["state"] == "active" => Ok(all[0].clone()),
            _ => Err(frameworks.to_string()),
        }
    });
    assert_eq!(subscribed["tasks"], 2, "{subscribed}");
    assert_eq!(copies(&cluster, 2).expect("both copies run"), second, "the same processes as before");

    drop(keeper);
    let out = Command::new(binary("chapada-example-keeper"))
        .args(["--master", cluster.master_host_port(0), "--remove", "--store"])
        .arg(&store)
        .output()
        .expect("the example is built");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    eventually("no copy is left", WITHIN, || copies(&cluster, 0));
}

/// Pids of the copies, in order.
fn copies(cluster: &Cluster, wanted: usize) -> Result<Vec<u32>, String> {
    let all = cluster.processes();
    let mut pids: Vec<u32> =
        all.iter().filter(|(_, line)| line.starts_with("sleep 777")).map(|(pid, _)| *pid).collect();
    pids.sort_unstable();
    if pids.len() == wanted { Ok(pids) } else { Err(format!("{all:?}")) }
}

/// Killed with SIGKILL when dropped.
struct Keeper(Child);

impl Keeper {
    fn start(cluster: &Cluster, store: &str, arguments: &[&str]) -> Self {
        let child = Command::new(binary("chapada-example-keeper"))
            .args(["--master", &cluster.master_address(), "--backoff", "100ms", "--store", store])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("the example is built"))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn of_several_keepers_on_one_zookeeper_the_next_takes_over_with_the_copies_as_they_are() {
    let cluster = Cluster::builder().masters(2).start();
    let store = cluster.master_address().replace("/chapada", "/keeper");
    let start = || Keeper::start(&cluster, &store, &["--instances", "2", "exec sleep 777"]);
    let leader = start();
    let before = eventually("two copies run", WITHIN, || copies(&cluster, 2));
    let _next = start();

    drop(leader);
    let pid = i32::try_from(before[0]).expect("a pid");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it is there to be killed");
    let after = eventually("the next keeper starts the copy again", WITHIN, || {
        let now = copies(&cluster, 2)?;
        if now.contains(&before[0]) { Err(format!("{now:?}")) } else { Ok(now) }
    });
    assert!(after.contains(&before[1]), "the other copy was left alone: {before:?}, {after:?}");
    let frameworks = cluster.leader_http().and_then(|http| http.get("/query/v1/frameworks")).expect("a list");
    assert_eq!(frameworks["items"].as_array().map(Vec::len), Some(1), "under the same id: {frameworks}");
}
