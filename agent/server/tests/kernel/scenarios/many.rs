//! 40: many containers are made and destroyed at once, and the machine is afterwards as it was before. What plugins make for
//! networks is looked at in `networks::many_at_once_leak_nothing`.

use std::fs;
use std::path::Path;
use std::time::Instant;

use chapada_agent::Bytes;
use chapada_wire::v1::{self, TaskState};

use super::kill_all;
use crate::support::*;

const MANY: usize = 1000;
/// For their shims, whatever memory the machine has. As measured a thousand are charged 455 MiB, most of it the kernel's, and of
/// that most for networks of their own.
const ROOM: Bytes = Bytes(1 << 30);

/// What the machine has because of an agent.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    /// Open in the agent's process; what keeps a network without a process is among them, or among the mounts.
    descriptors: usize,
    /// Beneath the agent's place, in all hierarchies.
    groups: usize,
    /// In the machine's own mount namespace that name the agent's directory.
    mounts: usize,
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
        let is_ours = |path: &&std::path::PathBuf| {
            let groups = fs::read_to_string(path.join("cgroup")).unwrap_or_default();
            groups.contains(place.to_str().unwrap())
        };
        Self {
            descriptors: entries(Path::new(&format!("/proc/{}/fd", process.id()))).count(),
            groups: groups.sum(),
            mounts: mounts.lines().filter(|line| line.contains(&work)).count(),
            processes: all.iter().filter(is_ours).count(),
        }
    }
}

impl Traces {
    /// When nothing more is being made or removed: many looks show the same.
    fn at_rest(agent: &TestAgent, process: &AgentProcess) -> Self {
        let mut last = Self::of(agent, process);
        let mut same = 0;
        while same < 50 {
            let found = Self::of(agent, process);
            same = if found == last { same + 1 } else { 0 };
            last = found;
        }
        last
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
    let mut agent = TestAgent::new(master.address);
    agent.config.shims_memory = Some(ROOM);
    let process = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    // What an agent makes once and keeps is there after the first few, and what it makes ahead is made anew after each.
    let mut before = None;
    for round in 0.. {
        run(&mut link, &format!("first-{round}"), 8).await;
        eventually("the first are removed", || agent.containers().is_empty()).await;
        let found = Some(Traces::at_rest(&agent, &process));
        if found == before {
            break;
        }
        before = found;
    }
    let before = before.unwrap();
    let started = Instant::now();
    run(&mut link, "many", MANY).await;
    eventually("all are removed", || agent.containers().is_empty()).await;
    println!("{MANY} containers were there and gone after {:?}", started.elapsed());
    let mut last = None;
    let is_as_before = || {
        let found = Traces::of(&agent, &process);
        if last.as_ref() != Some(&found) {
            println!("{found:?}");
        }
        let is_same = found == before;
        last = Some(found);
        is_same
    };
    eventually("the machine is as it was", is_as_before).await;
    drop(process);
}
