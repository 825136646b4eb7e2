//! An agent that is killed and started again misses nothing.

use std::path::PathBuf;
use std::time::Duration;

use chapada_harness::{Cluster, container_cgroups, eventually};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(60);

#[test]
fn an_exit_code_while_the_agent_is_dead_is_not_missed() {
    let mut cluster = Cluster::builder().services().start();
    let cmd = "until [ -e $MESOS_SANDBOX/gate ]; do sleep 0.02; done; exit 42";
    let app =
        json!({ "id": "/ends", "cmd": cmd, "cpus": 0.1, "mem": 32, "instances": 1, "backoffSeconds": 600 });
    cluster.services_http().send("POST", "/v2/apps", &app).expect("the app is accepted");
    eventually("it runs", WITHIN, || task_in(&cluster, "TASK_RUNNING"));
    let sandbox = eventually("its shell loops", WITHIN, || sandbox_of(&cluster, "/gate ]"));
    cluster.agents[0].kill();
    std::fs::write(sandbox.join("gate"), "").expect("the gate opens");
    eventually("the task has ended", WITHIN, || {
        let left: Vec<_> =
            cluster.processes().into_iter().filter(|(_, line)| line.contains("/gate ]")).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    cluster.agents[0].restart();
    let failed = eventually("its end is reported", WITHIN, || task_in(&cluster, "TASK_FAILED"));
    assert!(failed["message"].as_str().unwrap_or_default().contains("42"), "{failed}");
    eventually("its cgroups are gone", WITHIN, || {
        let id = failed["container_id"].as_str().unwrap_or("no container").to_owned();
        let left: Vec<_> =
            container_cgroups(cluster.cgroups()).into_iter().filter(|path| path.ends_with(&id)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

#[test]
fn a_killed_instance_comes_back() {
    let cluster = Cluster::builder().services().start();
    let app = json!({ "id": "/back", "cmd": "exec sleep 4321", "cpus": 0.1, "mem": 32, "instances": 1, "backoffSeconds": 0.1 });
    cluster.services_http().send("POST", "/v2/apps", &app).expect("the app is accepted");
    let first = eventually("it runs", WITHIN, || task_in(&cluster, "TASK_RUNNING"));
    // A task runs a moment before its shell has become what it was told.
    let sleep = eventually("its one sleep runs", WITHIN, || {
        let processes = cluster.processes();
        let sleeps: Vec<_> = processes.iter().filter(|(_, line)| line.starts_with("sleep 4321")).collect();
        if let [one] = sleeps[..] { Ok(one.0) } else { Err(format!("{processes:?}")) }
    });
    let pid = nix::unistd::Pid::from_raw(i32::try_from(sleep).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it is there to be killed");
    eventually("another instance runs", WITHIN, || {
        let now = task_in(&cluster, "TASK_RUNNING")?;
        if now["id"] == first["id"] { Err(now.to_string()) } else { Ok(()) }
    });
}

/// The sandbox of the task whose command line has this in it, by its own environment.
fn sandbox_of(cluster: &Cluster, command: &str) -> Result<PathBuf, String> {
    let processes = cluster.processes();
    let found = processes.iter().find(|(_, line)| line.contains(command)).ok_or(format!("{processes:?}"))?;
    let environment =
        std::fs::read(format!("/proc/{}/environ", found.0)).map_err(|error| error.to_string())?;
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let sandbox = environment.split('\0').find_map(|variable| variable.strip_prefix("MESOS_SANDBOX="));
    sandbox.map(PathBuf::from).ok_or(environment.clone())
}

fn task_in(cluster: &Cluster, state: &str) -> Result<Value, String> {
    let tasks = cluster.leader_http()?.get("/query/v1/tasks")?;
    let found = tasks["items"].as_array().into_iter().flatten().find(|task| task["state"] == state);
    found.cloned().ok_or_else(|| tasks.to_string())
}
