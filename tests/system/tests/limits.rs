//! What the kernel enforces for a task that asked for so much and no more.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use chapada_harness::{Cluster, container_cgroups, eventually};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(60);

/// Grows until it is stopped: 8 MiB a step, in the shell itself.
const GROW: &str = "x=$(head -c 8000000 /dev/zero | tr '\\0' a); y=; while true; do y=$y$x; sleep 0.05; done";

#[test]
fn a_task_over_its_memory_fails_with_the_reason_and_its_sibling_lives() {
    let cluster = Cluster::builder().services().start();
    let deploy = |id: &str, cmd: &str| {
        let app =
            json!({ "id": id, "cmd": cmd, "cpus": 0.5, "mem": 64, "instances": 1, "backoffSeconds": 60 });
        cluster.services_http().send("POST", "/v2/apps", &app).expect("the app is accepted");
    };
    deploy("/sibling", "sleep 1000");
    eventually("the sibling runs", WITHIN, || task_of(&cluster, "sibling", "TASK_RUNNING"));
    deploy("/greedy", GROW);
    let failed = eventually("the greedy task failed", WITHIN, || task_of(&cluster, "greedy", "TASK_FAILED"));
    assert_eq!(failed["reason"], "REASON_CONTAINER_LIMITATION_MEMORY", "{failed}");
    let message = failed["message"].as_str().unwrap_or_default();
    assert!(message.contains("emory"), "the message gives the figure: {message}");
    task_of(&cluster, "sibling", "TASK_RUNNING").expect("the sibling still runs");
}

#[test]
fn a_task_that_spins_gets_its_quota_and_no_more() {
    let cluster = Cluster::builder().services().start();
    let app =
        json!({ "id": "/spin", "cmd": "while true; do :; done", "cpus": 0.2, "mem": 64, "instances": 1 });
    cluster.services_http().send("POST", "/v2/apps", &app).expect("the app is accepted");
    eventually("it runs", WITHIN, || task_of(&cluster, "spin", "TASK_RUNNING"));
    let cgroup = eventually("its cgroup counts", WITHIN, || busiest(&cluster));
    // A busy machine may give less for a while, and never more.
    eventually("it gets its quota", WITHIN, || {
        let (since, before) = (Instant::now(), usage(&cgroup).ok_or("no count")?);
        while since.elapsed() < Duration::from_secs(3) {
            std::thread::park_timeout(Duration::from_millis(100));
        }
        let used = usage(&cgroup).ok_or("no count")? - before;
        let share = used.as_secs_f64() / since.elapsed().as_secs_f64();
        assert!(share <= 0.23, "a quota of 0.2 cpus gave {share:.3}");
        if share >= 0.17 { Ok(()) } else { Err(format!("{share:.3}")) }
    });
}

fn task_of(cluster: &Cluster, app: &str, state: &str) -> Result<Value, String> {
    let tasks = cluster.leader_http()?.get(&format!("/query/v1/tasks?search={app}"))?;
    let found = tasks["items"].as_array().into_iter().flatten().find(|task| task["state"] == state);
    found.cloned().ok_or_else(|| tasks.to_string())
}

/// The cgroup of this cluster whose counter is highest: the one task's.
fn busiest(cluster: &Cluster) -> Result<PathBuf, String> {
    let groups = container_cgroups(cluster.cgroups());
    let counted = groups.into_iter().filter_map(|group| Some((usage(&group)?, group)));
    let leaves = counted.filter(|(used, group)| *used > Duration::from_millis(50) && is_leaf(group));
    leaves
        .max_by_key(|(used, _)| *used)
        .map(|(_, group)| group)
        .ok_or_else(|| "no cgroup counts yet".to_owned())
}

fn is_leaf(group: &std::path::Path) -> bool {
    let mut entries = std::fs::read_dir(group).into_iter().flatten().flatten();
    !entries.any(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
}

/// By v1's cpuacct or v2's cpu.stat.
fn usage(group: &std::path::Path) -> Option<Duration> {
    if let Ok(nanoseconds) = std::fs::read_to_string(group.join("cpuacct.usage")) {
        return Some(Duration::from_nanos(nanoseconds.trim().parse().ok()?));
    }
    let stat = std::fs::read_to_string(group.join("cpu.stat")).ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    Some(Duration::from_micros(line.trim().parse().ok()?))
}
