//! 38: tasks that take all they can get. The agent answers meanwhile, and all of it is gone afterwards.

use std::time::{Duration, Instant};

use chapada_wire::v1::task_status::Reason;
use chapada_wire::v1::{self, TaskState};

use super::{grace, kill_all, roomy};
use crate::files::get;
use crate::operations::disk;
use crate::support::*;

/// Requests that are timed, of each kind.
const ASKED: usize = 60;
/// Source: fault scenario 38.
const LONGEST: Duration = Duration::from_secs(1);
const MOST_LOG_BYTES: u64 = 5 * (10 << 20);
/// Files without content that a sandbox may have.
const MOST_NAMES: u64 = 4000;

/// Name and command of each. All of them go on for ever, but for the one that is ended.
const BOMBS: [(&str, &str); 6] = [
    // A shell ends when it cannot fork; who starts it again does not.
    (
        "forks",
        "exec python3 -c 'import subprocess, time\nwhile True:\n try: subprocess.run([\"sh\", \"-c\", \"f() { f | f & f; }; f\"], stderr=subprocess.DEVNULL)\n except OSError: time.sleep(0.01)'",
    ),
    (
        "zombies",
        "exec python3 -c 'import os\nwhile True:\n try:\n  if os.fork() == 0: os._exit(0)\n except OSError: pass'",
    ),
    (
        "descriptors",
        "exec python3 -c 'import os\nwhile True:\n try: os.open(\"/dev/null\", 0)\n except OSError: os.path.isdir(\"full\") or os.mkdir(\"full\")'",
    ),
    ("inodes", "i=0; while :; do : > $i; i=$((i+1)); done"),
    ("lines", "exec yes"),
    ("zeros", "exec dd if=/dev/zero bs=1M 1>&2"),
];

/// The logs of a task, with what is in them.
fn logs(agent: &TestAgent, task: &str, name: &str) -> Vec<u64> {
    let found = std::fs::read_dir(agent.sandbox(task)).unwrap().flatten();
    let found = found.filter(|entry| entry.file_name().to_string_lossy().starts_with(name));
    found.filter_map(|entry| Some(entry.metadata().ok()?.len())).collect()
}

fn processes(agent: &TestAgent, container: &str) -> u64 {
    agent.cgroups().group(container).statistics().map_or(0, |statistics| statistics.threads)
}

/// How long each answer took, the longest last.
async fn times(address: &str) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..ASKED {
        for path in ["/health", "/state", "/containers", "/metrics/snapshot"] {
            let asked = Instant::now();
            let answer = tokio::time::timeout(PATIENCE, get(address, path)).await;
            assert_eq!(answer.unwrap_or_else(|_| panic!("{path} does not answer")).0, 200, "{path}");
            times.push(asked.elapsed());
        }
    }
    times.sort();
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_38_bombs_and_floods_leave_the_agent_answering() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    agent.config.container_disk_watch_interval = Duration::from_millis(200);
    agent.config.container_disk_least_names = MOST_NAMES;
    let running = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let address = link.hello.address.clone();
    for (id, command) in BOMBS {
        let mut task = roomy(command_task(id, command), 0.4);
        if id == "inodes" {
            task.resources.push(disk(1.0, None, None));
        }
        task.kill_policy = Some(grace(100));
        link.launch(task).await;
    }
    let mut containers = std::collections::BTreeMap::new();
    // One may be over before the last runs.
    let mut ended = None;
    while containers.len() < BOMBS.len() {
        let status = link.update().await;
        let id = id_of(&status);
        match state_of(&status) {
            TaskState::TaskStarting => {}
            TaskState::TaskRunning => {
                containers.insert(id, status.container_status.unwrap().container_id.unwrap().value.unwrap());
            }
            TaskState::TaskFailed if id == "inodes" => ended = Some(status),
            _ => panic!("it does not go on for ever: {status:?}"),
        }
    }
    // Each does what it is here for.
    for bomb in ["forks", "zombies"] {
        eventually("it has as many processes as it may", || processes(&agent, &containers[bomb]) > 1000)
            .await;
    }
    let sandbox = |task: &str| agent.sandbox(task);
    eventually("no descriptor is left", || sandbox("descriptors").join("full").exists()).await;
    eventually("there are files", || sandbox("inodes").join("2000").exists()).await;
    for (task, name) in [("lines", "stdout"), ("zeros", "stderr")] {
        eventually("its logs are full", || logs(&agent, task, name).len() == 5).await;
    }
    let ended = match ended {
        Some(ended) => ended,
        None => link.until("inodes", TaskState::TaskFailed).await,
    };
    assert_eq!(ended.reason(), Reason::ContainerLimitationDisk, "{ended:?}");
    let bound = format!("files and directories) exceeds quota ({MOST_NAMES})");
    assert!(ended.message().contains(&bound), "{ended:?}");
    let times = times(&address).await;
    let p99 = times[times.len() * 99 / 100];
    println!("answers under bombs: median {:?}, 99 of 100 {p99:?}", times[times.len() / 2]);
    assert!(p99 < LONGEST, "{p99:?}");
    for (task, name) in [("lines", "stdout"), ("zeros", "stderr")] {
        let kept = logs(&agent, task, name);
        assert!(kept.len() <= 5 && kept.iter().sum::<u64>() <= MOST_LOG_BYTES, "{kept:?}");
    }
    link.launch(command_task("other", "true")).await;
    link.until("other", TaskState::TaskFinished).await;

    let left = BOMBS.iter().map(|(id, _)| *id).filter(|id| *id != "inodes");
    let ids: Vec<String> = left.map(str::to_owned).collect();
    kill_all(&mut link, &ids).await;
    eventually("the containers are removed", || agent.containers().is_empty()).await;
    eventually("and their cgroups", || agent.cgroups().containers().unwrap().is_empty()).await;
    drop(running);
}

/// What is asked for of the machine's processes is bounded although nobody asked for a bound.
#[tokio::test(flavor = "multi_thread")]
async fn scenario_38_a_fork_bomb_ends_at_its_bound() {
    let (_master, agent, running, mut link) = registered().await;
    let count = "mkfifo hold; i=0; while read x < hold & [ $? = 0 ]; do i=$((i+1)); [ $i -lt 5000 ] || break; done 2>/dev/null";
    link.launch(roomy(command_task("t", count), 1.0)).await;
    let status: v1::TaskStatus = loop {
        let status = link.update().await;
        if !matches!(state_of(&status), TaskState::TaskStarting | TaskState::TaskRunning) {
            break status;
        }
    };
    assert_eq!(state_of(&status), TaskState::TaskFailed, "the shell gives up: {status:?}");
    eventually("the container is removed", || agent.containers().is_empty()).await;
    running.stop().await;
}
