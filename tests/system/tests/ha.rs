//! The example `ha` and the leading master are killed in the middle of launches, again and again: no task is lost, none runs twice.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chapada_harness::{Cluster, binary, eventually};

const WITHIN: Duration = Duration::from_secs(90);
const TASKS: usize = 6;
/// How long the ensemble waits for who was killed: most of what a round takes. A session that ends early on a slow machine is one
/// more change of leader, of which the same holds.
const SESSION: &str = "--zk-session-timeout=2s";
/// What one round kills, and at which moment after the first launch of the round, in milliseconds. Between the end of six tasks and
/// their next run lie the intents, the offer, the launch and its updates: some tens of milliseconds each.
const ROUNDS: &[(Victims, u64)] = &[
    (Victims::Both, 0),
    (Victims::Framework, 0),
    (Victims::Master, 2),
    (Victims::Framework, 5),
    (Victims::Both, 20),
    (Victims::Master, 60),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Victims {
    Framework,
    Master,
    Both,
}

#[test]
fn no_task_is_lost_and_none_runs_twice_whoever_dies_in_mid_launch() {
    let mut cluster = Cluster::builder().masters(2).master_flag(SESSION).start();
    let store = cluster.master_address().replace("/chapada", "/ha");
    let mut copies = [Copy::start(&cluster, &store), Copy::start(&cluster, &store)];
    eventually("all tasks run", WITHIN, || all_run(&cluster));
    for (round, (victims, after)) in ROUNDS.iter().enumerate() {
        let before = launches(&cluster);
        for (pid, _) in tasks(&cluster).into_values().flatten() {
            // One that ended between the look and the kill is as good.
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
        eventually("a launch has begun", WITHIN, || match launches(&cluster) {
            now if now.len() > before.len() => Ok(()),
            now => Err(format!("{now:?}")),
        });
        let moment = Instant::now() + Duration::from_millis(*after);
        while Instant::now() < moment {
            no_task_runs_twice(&cluster);
        }
        if *victims != Victims::Master {
            copies.iter_mut().for_each(|copy| copy.kill_and_restart(&cluster, &store));
        }
        if *victims != Victims::Framework {
            let leader = eventually("a master leads", WITHIN, || cluster.leader());
            cluster.masters[leader].kill();
            eventually("the other master leads", WITHIN, || cluster.leader().map(drop));
            cluster.masters[leader].restart();
        }
        let what = format!("all tasks run after round {round}: {victims:?} {after} ms into the launch");
        eventually(&what, WITHIN, || {
            no_task_runs_twice(&cluster);
            all_run(&cluster)
        });
    }
    let launched = launches(&cluster);
    let distinct: BTreeSet<&String> = launched.iter().collect();
    assert_eq!(distinct.len(), launched.len(), "no task id was launched twice: {launched:?}");
}

/// The processes of each of the things that are to run, by name, with the ids of their tasks: the kernel's word.
fn tasks(cluster: &Cluster) -> BTreeMap<String, Vec<(nix::unistd::Pid, String)>> {
    let mut found: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (pid, command) in cluster.processes() {
        if !command.starts_with("sleep 4242") {
            continue;
        }
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment);
        let task = environment.split('\0').find_map(|variable| variable.strip_prefix("MESOS_TASK_ID="));
        let name = task.and_then(|task| task.rsplit_once('.')).map(|(name, _)| name.to_owned());
        if let (Some(task), Some(name), Ok(pid)) = (task, name, i32::try_from(pid)) {
            found.entry(name).or_default().push((nix::unistd::Pid::from_raw(pid), task.to_owned()));
        }
    }
    found
}

fn no_task_runs_twice(cluster: &Cluster) {
    let tasks = tasks(cluster);
    assert!(tasks.values().all(|processes| processes.len() == 1), "{tasks:?}");
}

/// The kernel, the agent and the master name the same tasks, one of each kind.
fn all_run(cluster: &Cluster) -> Result<(), String> {
    let tasks = tasks(cluster);
    let kernel: BTreeSet<String> = tasks.values().flatten().map(|(_, task)| task.clone()).collect();
    let containers = cluster.agent_http(0).get("/containers")?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let agent: BTreeSet<String> =
        containers.as_array().into_iter().flatten().map(|one| text(&one["executor_id"])).collect();
    let master: BTreeSet<String> = cluster.live_tasks()?.iter().map(|task| text(&task["id"])).collect();
    match tasks.len() == TASKS && kernel.len() == TASKS && agent == kernel && master == kernel {
        true => Ok(()),
        false => Err(format!("the kernel has {kernel:?}, the agent {agent:?}, the master {master:?}")),
    }
}

/// The ids of all launches that the agent was sent.
fn launches(cluster: &Cluster) -> Vec<String> {
    let log = cluster.agents[0].log();
    let of_line = |line: &str| {
        let (_, rest) = line.split_once(": launch ")?;
        let id = rest.split("task_id=").nth(1)?;
        Some(id.split([' ', '"']).find(|part| !part.is_empty())?.to_owned())
    };
    log.lines().filter_map(of_line).collect()
}

/// One process of the example. Killed with SIGKILL when dropped.
struct Copy(Child);

impl Copy {
    fn start(cluster: &Cluster, store: &str) -> Self {
        let child = Command::new(binary("chapada-example-ha"))
            .args(["--master", &cluster.master_address(), "--store", store, "-n", &TASKS.to_string()])
            .args([SESSION, "exec sleep 4242"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("the example is built"))
    }

    fn kill_and_restart(&mut self, cluster: &Cluster, store: &str) {
        self.0.kill().and_then(|()| self.0.wait()).expect("it is ours to kill");
        *self = Self::start(cluster, store);
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
