//! 40: many containers are made and destroyed at once, and the machine is afterwards as it was before.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use chapada_wire::v1::{self, TaskState};

use super::kill_all;
use crate::support::*;

const MANY: usize = 1000;

/// What the machine has because of an agent.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    /// Open in the agent's process.
    descriptors: usize,
    /// Beneath the agent's place, in all hierarchies.
    groups: usize,
    /// In the machine's own mount namespace that name the agent's directory.
    mounts: usize,
    /// Of all processes.
    networks: usize,
    /// Of the machine's own network.
    interfaces: BTreeSet<String>,
    /// Processes that are the agent's, its shims and their containers.
    processes: usize,
}

impl Traces {
    fn of(agent: &TestAgent, process: &AgentProcess) -> Self {
        let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
        let place = agent.config.cgroups_root.clone().unwrap();
        let hierarchies = entries(Path::new("/sys/fs/cgroup")).map(|entry| entry.path().join(&place));
        let groups = hierarchies.map(|root| entries(&root).filter(|entry| entry.path().is_dir()).count());
        let work = agent.config.work_dir.parent().unwrap().display().to_string();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let all: Vec<_> = entries(Path::new("/proc")).map(|entry| entry.path()).collect();
        let network = |path: &std::path::PathBuf| fs::read_link(path.join("ns/net")).ok();
        let is_ours = |path: &&std::path::PathBuf| {
            let groups = fs::read_to_string(path.join("cgroup")).unwrap_or_default();
            groups.contains(place.to_str().unwrap())
        };
        Self {
            descriptors: entries(Path::new(&format!("/proc/{}/fd", process.id()))).count(),
            groups: groups.sum(),
            mounts: mounts.lines().filter(|line| line.contains(&work)).count(),
            networks: all.iter().filter_map(network).collect::<BTreeSet<_>>().len(),
            interfaces: entries(Path::new("/sys/class/net"))
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect(),
            processes: all.iter().filter(is_ours).count(),
        }
    }
}

fn sleeper(id: &str, is_alone: bool) -> v1::TaskInfo {
    let mut task = command_task(id, "exec sleep 1000");
    let network = v1::NetworkInfo { name: Some("none".to_owned()), ..v1::NetworkInfo::default() };
    task.container = is_alone.then(|| v1::ContainerInfo {
        r#type: Some(v1::container_info::Type::Mesos as i32),
        network_infos: vec![network],
        ..v1::ContainerInfo::default()
    });
    task
}

async fn run(link: &mut Link, name: &str, count: usize) {
    let ids: Vec<String> = (0..count).map(|number| format!("{name}-{number}")).collect();
    for (number, id) in ids.iter().enumerate() {
        link.launch(sleeper(id, number % 2 == 0)).await;
    }
    let mut running = 0;
    while running < count {
        let status = link.update().await;
        match state_of(&status) {
            TaskState::TaskRunning => running += 1,
            TaskState::TaskStarting => {}
            _ => panic!("{status:?}"),
        }
    }
    kill_all(link, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_40_many_containers_at_once_leave_nothing() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let process = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    // What an agent makes once and keeps is there after the first few.
    run(&mut link, "first", 8).await;
    eventually("the first are removed", || agent.containers().is_empty()).await;
    let before = Traces::of(&agent, &process);
    let started = Instant::now();
    run(&mut link, "many", MANY).await;
    eventually("all are removed", || agent.containers().is_empty()).await;
    println!("{MANY} containers were there and gone after {:?}", started.elapsed());
    let mut after = Traces::of(&agent, &process);
    eventually("the machine is as it was", || {
        after = Traces::of(&agent, &process);
        after.networks = before.networks.min(after.networks);
        after == before
    })
    .await;
    drop(process);
}
