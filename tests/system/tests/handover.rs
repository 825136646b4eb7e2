//! Masters, agents and the services framework are killed in turn; the same twenty instances run on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chapada_harness::{Cluster, eventually};
use serde_json::{Value, json};

const INSTANCES: u64 = 20;
const WITHIN: Duration = Duration::from_secs(60);

/// What a task is recognised by: its process on the host, when it started, and its name.
type Processes = BTreeMap<String, (u32, u64)>;

#[test]
fn killing_leader_agent_and_services_disturbs_no_task() {
    let mut cluster = Cluster::builder().masters(3).agents(2).services().separate_machines().start();
    let app = json!({
        "id": "/steady", "cmd": "exec sleep 100000", "cpus": 0.1, "mem": 32, "instances": INSTANCES,
    });
    cluster.services_http().send("POST", "/v2/apps", &app).expect("the app is accepted");
    let before = eventually("all instances run and everyone agrees", WITHIN, || agreed(&cluster));
    assert_eq!(before.len() as u64, INSTANCES);
    let sent_before = launches_and_kills(&cluster);
    assert_eq!(sent_before as u64, INSTANCES, "one launch an instance, and no kill");

    let leader = cluster.leader().expect("a master leads");
    cluster.masters[leader].kill();
    eventually("another master leads", WITHIN, || match cluster.leader() {
        Ok(now) if now != leader => Ok(()),
        other => Err(format!("{other:?}")),
    });
    unchanged(&cluster, &before, "the leading master was killed");
    cluster.masters[leader].restart();
    standby_redirects(&cluster, leader);

    cluster.agents[0].kill_and_restart();
    unchanged(&cluster, &before, "an agent was killed");

    cluster.services.as_mut().expect("services were started").kill_and_restart();
    unchanged(&cluster, &before, "the services framework was killed");

    assert_eq!(
        launches_and_kills(&cluster),
        sent_before,
        "nothing was launched and nothing killed meanwhile"
    );
}

/// Everybody names the same tasks again, and they are the same processes as before.
fn unchanged(cluster: &Cluster, before: &Processes, after_what: &str) {
    let after = eventually(&format!("everyone agrees after {after_what}"), WITHIN, || agreed(cluster));
    assert_eq!(&after, before, "after {after_what}");
}

/// The kernel, the agents, the master and the services framework name the same set.
fn agreed(cluster: &Cluster) -> Result<Processes, String> {
    let processes = processes(cluster);
    let kernel: BTreeSet<String> = processes.keys().cloned().collect();
    if kernel.len() as u64 != INSTANCES {
        return Err(format!("{} tasks have a process", kernel.len()));
    }
    let master = master_tasks(cluster)?;
    let services = services_tasks(cluster)?;
    let agents = agent_containers(cluster)?;
    for (who, names) in [("the master", master), ("the services framework", services), ("the agents", agents)]
    {
        if names != kernel {
            return Err(format!("{who} names {names:?}, the kernel {kernel:?}"));
        }
    }
    Ok(processes)
}

/// The `sleep` of each task, by the task id in its environment.
fn processes(cluster: &Cluster) -> Processes {
    let mut found = Processes::new();
    for (pid, command) in cluster.processes() {
        if !command.starts_with("sleep 100000") {
            continue;
        }
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment);
        let task = environment.split('\0').find_map(|variable| variable.strip_prefix("MESOS_TASK_ID="));
        if let (Some(task), Some(started)) = (task, started(pid)) {
            found.insert(task.to_owned(), (pid, started));
        }
    }
    found
}

/// Clock ticks after boot, so that a pid used again is not taken for the same process.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

fn master_tasks(cluster: &Cluster) -> Result<BTreeSet<String>, String> {
    let answer = cluster.leader_http()?.get("/tasks?limit=-1")?;
    let tasks = answer["tasks"].as_array().into_iter().flatten();
    Ok(tasks.filter(|task| task["state"] == "TASK_RUNNING").map(|task| text(&task["id"])).collect())
}

fn services_tasks(cluster: &Cluster) -> Result<BTreeSet<String>, String> {
    let answer = cluster.services_http().get("/v2/tasks")?;
    let tasks = answer["tasks"].as_array().into_iter().flatten();
    Ok(tasks.filter(|task| task["state"] == "TASK_RUNNING").map(|task| text(&task["id"])).collect())
}

/// The executor of a command task has the task's id.
fn agent_containers(cluster: &Cluster) -> Result<BTreeSet<String>, String> {
    let mut names = BTreeSet::new();
    for number in 0..cluster.agents.len() {
        let containers = cluster.agent_http(number).get("/containers")?;
        names.extend(containers.as_array().into_iter().flatten().map(|one| text(&one["executor_id"])));
    }
    Ok(names)
}

/// Launches and kills that agents were sent, over all masters of the test, from their logs.
fn launches_and_kills(cluster: &Cluster) -> usize {
    let logs = cluster.agents.iter().map(|agent| agent.log());
    logs.map(|log| {
        log.lines().filter(|line| line.contains(": launch ") || line.contains(": signal ")).count()
    })
    .sum()
}

fn standby_redirects(cluster: &Cluster, standby: usize) {
    eventually("the old leader stands by and redirects", WITHIN, || {
        match cluster.master_http(standby).call("GET", "/state", None)? {
            (307, _) => Ok(()),
            (status, body) => Err(format!("{status}: {body}")),
        }
    });
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
