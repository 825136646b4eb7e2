//! What may happen to an agent and its machine while tasks run: none is lost, and no exit code. By the numbers of the scenarios
//! in `tests/README.md`. Needs root.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chapada_agent::ReconfigurationPolicy;
use chapada_isolation::mountinfo;
use chapada_shim::runtime_dir::{Durability, EXIT, write_record};
use chapada_shim::{ExitReport, Outcome};
use chapada_wire::link::{self, to_agent};
use chapada_wire::v1::task_status::Reason;
use chapada_wire::v1::{self, TaskState};

use crate::images::{agent_with_image, image_task, mesos_image, roots, taken_ids};
use crate::operations::{disk, operate, outcome};
use crate::support::*;

/// The first process of each container that runs.
fn processes(agent: &TestAgent) -> BTreeSet<(String, i32)> {
    let pid = |found: chapada_shim::RecoveredContainer| match found.state {
        chapada_shim::RecoveredState::Running { pid: Some(pid) } => Some((found.id, pid)),
        _ => None,
    };
    chapada_shim::recover(&agent.runtime_dir()).unwrap().into_iter().filter_map(pid).collect()
}

/// A cgroup as a service manager makes for a service: in the v2 tree, and in v1's that is for such.
struct ServiceGroup(Vec<PathBuf>);

impl ServiceGroup {
    fn make(agent: &TestAgent) -> Self {
        let cgroups = agent.cgroups();
        let name = format!("{}-service", cgroups.parent().display()).replace('/', "-");
        let hierarchies = cgroups.hierarchies();
        let v1 = hierarchies.v1.get("name=systemd").or(hierarchies.v1.get("pids"));
        let trees = v1.into_iter().chain(hierarchies.v2.as_ref().map(|tree| &tree.mount_point));
        let groups: Vec<PathBuf> = trees.map(|tree| tree.join(&name)).collect();
        groups.iter().for_each(|group| fs::create_dir(group).unwrap());
        Self(groups)
    }

    fn processes(&self) -> BTreeSet<i32> {
        let read = |group: &PathBuf| fs::read_to_string(group.join("cgroup.procs")).unwrap();
        let texts: Vec<String> = self.0.iter().map(read).collect();
        texts.iter().flat_map(|text| text.lines()).map(|pid| pid.parse().unwrap()).collect()
    }
}

impl Drop for ServiceGroup {
    fn drop(&mut self) {
        for group in &self.0 {
            if let Err(error) = fs::remove_dir(group) {
                eprintln!("{}: {error}", group.display());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_all_of_the_agents_own_cgroup_loses_no_task_and_no_exit_code() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let service = ServiceGroup::make(&agent);
    let first = AgentProcess::start_within(&agent, &service.0);
    let mut link = master.welcome(1).await;
    link.launch(command_task("long", "exec sleep 1000")).await;
    link.launch(command_task("short", "while [ ! -e stop ]; do sleep 0.02; done; exit 7")).await;
    for _ in 0..4 {
        link.update().await;
    }
    let before = processes(&agent);
    assert_eq!(before.len(), 2);
    assert_eq!(
        service.processes(),
        BTreeSet::from([i32::try_from(first.id()).unwrap()]),
        "no shim, and nothing that shims come from"
    );
    kill_all("nothing is left of the service", || service.processes()).await;
    first.kill();
    fs::write(agent.sandbox("short").join("stop"), "").unwrap();
    eventually("the short one ends", || processes(&agent).len() == 1).await;
    let second = AgentProcess::start_within(&agent, &service.0);
    let mut link = master.welcome(1).await;
    assert_eq!(link.held.keys().collect::<Vec<_>>(), ["long", "short"]);
    let status = link.until("short", TaskState::TaskFailed).await;
    assert_eq!(status.message.as_deref(), Some("Command exited with status 7"));
    assert!(processes(&agent).is_subset(&before), "nothing was started again");
    link.kill("long").await;
    link.until("long", TaskState::TaskKilled).await;
    drop(second);
}

/// What may be said again after a restart, because its acknowledgement was on the way.
const ALIVE: [TaskState; 2] = [TaskState::TaskStarting, TaskState::TaskRunning];

/// Updates until so many tasks have been said to be in this state; no task may be in one that is not among `allowed`.
async fn until_all(
    link: &mut Link,
    count: usize,
    state: TaskState,
    allowed: &[TaskState],
) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    while seen.len() < count {
        let status = link.update().await;
        let now = state_of(&status);
        assert!(now == state || allowed.contains(&now), "{status:?}");
        seen.extend((now == state).then(|| id_of(&status)));
    }
    seen
}

/// Tasks that run, and those of them that end while the agent is away.
const ALL: usize = 500;
const ENDING: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn scenario_11_restart_with_five_hundred_running_tasks() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    for n in 0..ALL {
        let script =
            if n < ENDING { "while [ ! -e stop ]; do sleep 0.2; done; exit 7" } else { "exec sleep 1000" };
        link.launch(command_task(&format!("t{n:03}"), script)).await;
    }
    until_all(&mut link, ALL, TaskState::TaskRunning, &[TaskState::TaskStarting]).await;
    let before = processes(&agent);
    assert_eq!(before.len(), ALL);
    first.kill();
    (0..ENDING).for_each(|n| fs::write(agent.sandbox(&format!("t{n:03}")).join("stop"), "").unwrap());
    eventually("some end while nobody looks", || processes(&agent).len() == ALL - ENDING).await;
    let second = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    assert_eq!(link.held.len(), ALL);
    let ended = until_all(&mut link, ENDING, TaskState::TaskFailed, &ALIVE).await;
    assert_eq!(ended, (0..ENDING).map(|n| format!("t{n:03}")).collect());
    let after = processes(&agent);
    assert_eq!(after.len(), ALL - ENDING);
    assert!(after.is_subset(&before), "none was started again");
    link.kill("t499").await;
    link.until("t499", TaskState::TaskKilled).await;
    drop(second);
}

/// What is mounted, here and in no container, below a directory.
fn mounts_below(directory: &Path) -> Vec<PathBuf> {
    let mounts = mountinfo::parse(&fs::read_to_string("/proc/self/mountinfo").unwrap());
    mounts.into_iter().map(|mount| mount.mount_point).filter(|point| point.starts_with(directory)).collect()
}

/// SIGKILLs these until none is left.
async fn kill_all(what: &str, mut processes: impl FnMut() -> BTreeSet<i32>) {
    eventually(what, || {
        let left = processes();
        for pid in &left {
            let pid = nix::unistd::Pid::from_raw(*pid);
            let _ended_meanwhile = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
        left.is_empty()
    })
    .await;
}

/// Kills shims and containers as a power cut would: no one of them writes anything down. Their cgroups stay. `cgroup.kill` is not
/// for that: of a group that had it, the kernel also kills what is born from there into another.
async fn cut_power(agent: &TestAgent) {
    let cgroups = agent.cgroups();
    // Shims first: one that lives writes down how its container ended.
    for name in ["shims".to_owned()].into_iter().chain(cgroups.containers().unwrap()) {
        let group = cgroups.group(&name);
        kill_all("nothing runs any more", || group.processes().unwrap().into_iter().collect()).await;
    }
}

/// A process that is no agent's business, and ends with the test.
struct Stranger(std::process::Child);

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_12_reboot_of_the_machine() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    // The kernel's own boot id cannot be changed by a test.
    let boot = agent.config.work_dir.parent().unwrap().join("boot_id");
    fs::write(&boot, "the first\n").unwrap();
    agent.config.boot_id_file = Some(boot.clone());
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    for id in ["a", "b"] {
        link.launch(command_task(id, "exec sleep 1000")).await;
    }
    until_all(&mut link, 2, TaskState::TaskRunning, &[TaskState::TaskStarting]).await;
    let containers = agent.containers();
    first.kill();
    cut_power(&agent).await;
    // In the new boot another process has the number of one that was a task's.
    let mut stranger = Stranger(Command::new("sleep").arg("1000").spawn().unwrap());
    let state = agent.runtime_dir().join(&containers[0]).join(chapada_shim::runtime_dir::STATE);
    let mut said: serde_json::Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
    said["pid"] = stranger.0.id().into();
    fs::write(&state, said.to_string()).unwrap();
    fs::write(&boot, "the second\n").unwrap();

    let second = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    assert_eq!(link.hello.boot_id, "the second");
    let gone = until_all(&mut link, 2, TaskState::TaskGone, &ALIVE).await;
    assert_eq!(gone, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    eventually("nothing of the boot before is left", || {
        agent.containers().is_empty() && agent.cgroups().containers().unwrap().is_empty()
    })
    .await;
    assert_eq!(mounts_below(&agent.config.work_dir), Vec::<PathBuf>::new());
    assert_eq!(stranger.0.try_wait().unwrap(), None, "who has the number now is left alone");
    link.launch(command_task("c", "exit 0")).await;
    let status = link.until("c", TaskState::TaskFinished).await;
    assert_eq!(id_of(&status), "c", "and nothing more is said of those of before");
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_the_making_when_the_machine_lost_power_leaves_nothing() {
    let mut master = ScriptedMaster::start().await;
    let agent = agent_with_image(&master);
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    for n in 0..60 {
        let (id, line) = (format!("t{n:02}"), Some("exec sleep 1000"));
        let mut container = mesos_image("box:v1");
        container.network_infos =
            vec![v1::NetworkInfo { name: Some("none".to_owned()), ..Default::default() }];
        link.launch(image_task(&id, container, line)).await;
    }
    // Some run, some are half made, some have not begun.
    while state_of(&link.update().await) != TaskState::TaskRunning {}
    first.kill();
    cut_power(&agent).await;
    let second = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let mut open: BTreeSet<String> = link.held.keys().cloned().collect();
    while !open.is_empty() {
        let status = link.update().await;
        if state_of(&status) != TaskState::TaskStarting && state_of(&status) != TaskState::TaskRunning {
            open.remove(&id_of(&status));
        }
    }
    eventually("nothing is left", || {
        let groups = agent.cgroups().containers().unwrap();
        agent.containers().is_empty() && groups.is_empty() && roots(&agent) + taken_ids(&agent) == 0
    })
    .await;
    assert_eq!(mounts_below(&agent.config.work_dir), Vec::<PathBuf>::new());
    drop(second);
}

/// A file system of its own for an agent.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Self {
        fs::create_dir_all(at).unwrap();
        let options = format!("size={size},mode=755");
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some(options.as_str())).unwrap();
        Self(at.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_33_disk_of_sandboxes_and_state_is_full() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let disk = SmallDisk::mount(&agent.config.work_dir, "24m");
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    link.launch(command_task("by", "while [ ! -e stop ]; do sleep 0.05; done; exit 3")).await;
    link.until("by", TaskState::TaskRunning).await;
    fs::write(agent.sandbox("by").join("stop.later"), "").unwrap();
    link.launch(command_task("offender", "head -c 100m /dev/zero > big; exit 5")).await;
    let status = link.until("offender", TaskState::TaskFailed).await;
    assert_eq!(status.message.as_deref(), Some("Command exited with status 5"));
    let more = fs::write(agent.config.work_dir.join("more"), vec![0; 1 << 20]).unwrap_err();
    assert_eq!(more.kind(), std::io::ErrorKind::StorageFull, "the disk is full all the time");
    let _ = fs::remove_file(agent.config.work_dir.join("more"));
    // A file that is there already is renamed: that takes no room.
    let sandbox = agent.sandbox("by");
    fs::rename(sandbox.join("stop.later"), sandbox.join("stop")).unwrap();
    let status = link.until("by", TaskState::TaskFailed).await;
    assert_eq!(status.message.as_deref(), Some("Command exited with status 3"), "it and its end are as ever");
    fs::remove_file(agent.sandbox("offender").join("big")).unwrap();
    link.launch(command_task("later", "exit 0")).await;
    link.until("later", TaskState::TaskFinished).await;
    running.stop().await;
    eventually("its containers are gone", || agent.containers().is_empty()).await;
    drop(disk);
}

/// Whether there is no room for anything more.
fn is_full(directory: &Path) -> bool {
    nix::sys::statvfs::statvfs(directory).unwrap().blocks_available() == 0
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_33_an_agent_that_dies_while_its_disk_is_full_comes_back_and_misses_no_exit_code() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let disk = SmallDisk::mount(&agent.config.work_dir, "24m");
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    link.launch(command_task("by", "while [ ! -e stop ]; do sleep 0.05; done; exit 3")).await;
    link.until("by", TaskState::TaskRunning).await;
    let sandbox = agent.sandbox("by");
    fs::write(sandbox.join("stop.later"), "").unwrap();
    // It takes what anybody lets go of.
    let takes = "while :; do head -c 100m /dev/zero >> big; sleep 0.02; done";
    link.launch(command_task("offender", takes)).await;
    link.until("offender", TaskState::TaskRunning).await;
    eventually("the disk is full", || is_full(&agent.config.work_dir)).await;
    first.kill();
    eventually("the disk is full again", || is_full(&agent.config.work_dir)).await;
    let second = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    assert_eq!(link.held.keys().collect::<Vec<_>>(), ["by", "offender"]);
    eventually("the disk is full still", || is_full(&agent.config.work_dir)).await;
    // A file that is there already is renamed: that takes no room.
    fs::rename(sandbox.join("stop.later"), sandbox.join("stop")).unwrap();
    let status = link.until("by", TaskState::TaskFailed).await;
    assert_eq!(status.message.as_deref(), Some("Command exited with status 3"));
    link.kill("offender").await;
    link.until("offender", TaskState::TaskKilled).await;
    eventually("its containers are gone", || agent.containers().is_empty()).await;
    drop((second, disk));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_of_one_container_does_not_hide_how_another_ended() {
    let (_master, agent, running, mut link) = running_task().await;
    let (container, pid) = processes(&agent).pop_first().unwrap();
    let bad = agent.runtime_dir().join("bad");
    fs::create_dir(&bad).unwrap();
    fs::write(bad.join(EXIT), "{").unwrap();
    // Its shim has written down how it ended, and is killed before it has told anybody.
    let report = ExitReport {
        version: chapada_shim::PROTOCOL_VERSION,
        outcome: Outcome::Exited { code: 7 },
        oom: None,
        ended_ms: 0,
        usage: Default::default(),
    };
    let own = agent.runtime_dir().join(container);
    write_record(&own, EXIT, &report, Durability::Process).unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let shim = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(shim), nix::sys::signal::Signal::SIGKILL).unwrap();
    let status = link.until("t", TaskState::TaskFailed).await;
    assert_eq!(status.message.as_deref(), Some("Command exited with status 7"));
    fs::remove_dir_all(bad).unwrap();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cgroups_that_no_record_knows_are_removed_with_what_is_in_them() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    link.launch(command_task("kept", "exec sleep 1000")).await;
    link.until("kept", TaskState::TaskRunning).await;
    let before = processes(&agent);
    first.kill();
    let cgroups = agent.cgroups();
    let orphan = cgroups.group("orphan");
    orphan.create(&Default::default()).unwrap();
    let mut stranger = Stranger(Command::new("sleep").arg("1000").spawn().unwrap());
    let hierarchies = cgroups.hierarchies();
    let points = hierarchies.v1.values().chain(hierarchies.v2.as_ref().map(|tree| &tree.mount_point));
    for point in points {
        let processes = point.join(cgroups.parent()).join("orphan/cgroup.procs");
        // Some have no groups of one that asks for nothing of theirs.
        if processes.exists() {
            fs::write(processes, stranger.0.id().to_string()).unwrap();
        }
    }
    let second = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    // What has ended is in its group until it is waited for.
    let gone = || stranger.0.try_wait().unwrap().is_some() && !orphan.exists();
    eventually("it is gone, with what was in it", gone).await;
    assert_eq!(processes(&agent), before, "what a record knows stays");
    link.kill("kept").await;
    link.until("kept", TaskState::TaskKilled).await;
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_33_disk_of_images_is_full() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = agent_with_image(&master);
    let store = agent.config.work_dir.parent().unwrap().join("store");
    let disk = SmallDisk::mount(&store, "256k");
    agent.config.docker_store_dir = Some(store.clone());
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let imaged = |id: &str| image_task(id, mesos_image("box:v1"), Some("cat /etc/motd"));
    link.launch(imaged("wants")).await;
    link.launch(command_task("other", "exit 0")).await;
    let (mut failed, mut finished) = (None, false);
    while failed.is_none() || !finished {
        let status = link.update().await;
        finished |= state_of(&status) == TaskState::TaskFinished && id_of(&status) == "other";
        failed = failed.or((state_of(&status) == TaskState::TaskFailed).then_some(status));
    }
    let failed = failed.unwrap();
    assert_eq!((id_of(&failed).as_str(), failed.reason()), ("wants", Reason::ContainerLaunchFailed));
    assert!(failed.message().contains("No space left"), "{}", failed.message());
    let flags = nix::mount::MsFlags::MS_REMOUNT;
    nix::mount::mount(None::<&str>, &store, None::<&str>, flags, Some("size=64m")).unwrap();
    link.launch(imaged("later")).await;
    link.until("later", TaskState::TaskFinished).await;
    assert_eq!(fs::read_to_string(agent.sandbox("later").join("stdout")).unwrap(), "from the image\n");
    eventually("its containers are gone", || agent.containers().is_empty()).await;
    running.stop().await;
    drop(disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_resources_attributes_and_domain_keep_what_runs() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    let domain = |zone: &str| {
        Some(format!(r#"{{"fault_domain":{{"region":{{"name":"r"}},"zone":{{"name":"{zone}"}}}}}}"#))
    };
    (agent.config.attributes, agent.config.domain) = (Some("rack:a".to_owned()), domain("one"));
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    operate(&mut link, "k1", disk(16.0, None, None), disk(16.0, Some("eng"), None)).await;
    operate(&mut link, "k2", disk(16.0, Some("eng"), None), disk(16.0, Some("eng"), Some("v"))).await;
    let mut task = command_task("t", "echo kept > data/file; exec sleep 1000");
    task.resources.push(disk(16.0, Some("eng"), Some("v")));
    for _ in 0..2 {
        let update = outcome(&mut link).await;
        let uuid = update.status.unwrap().uuid.unwrap().value.unwrap();
        let acknowledge = link::AcknowledgeOperation { key: update.key, uuid };
        link.say(to_agent::Message::AcknowledgeOperation(acknowledge)).await;
    }
    link.launch(task).await;
    link.until("t", TaskState::TaskRunning).await;
    let file = agent.config.work_dir.join("volumes/roles/eng/v/file");
    let kept = || fs::read_to_string(&file).unwrap_or_default();
    eventually("it has written", || kept() == "kept\n").await;
    let before = processes(&agent);
    first.kill();

    for (policy, part) in [
        (ReconfigurationPolicy::Equal, "does not allow this agent's change of resources"),
        (ReconfigurationPolicy::Additive, "does not allow this agent's change of resources"),
    ] {
        agent.config.resources = Some("cpus:2;mem:1024;disk:8;ports:[31000-31010]".to_owned());
        agent.config.reconfiguration_policy = policy;
        let error = chapada_agent::run(agent.config.clone(), Default::default()).await.unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    agent.config.reconfiguration_policy = ReconfigurationPolicy::Any;
    (agent.config.attributes, agent.config.domain) = (Some("rack:b;new:1".to_owned()), domain("two"));
    let second = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let info = link.hello.agent_info.clone().unwrap();
    let stated = chapada_wire::convert::resources_from_wire("resources", &info.resources).unwrap();
    assert_eq!(stated.to_string(), "cpus:2; disk:8; mem:1024; ports:[31000-31010]", "no more than there is");
    let zone = info.domain.unwrap().fault_domain.unwrap().zone;
    assert_eq!(format!("{zone:?}").matches("two").count(), 1);
    assert_eq!((link.held.len(), processes(&agent)), (1, before), "what runs runs on");
    assert_eq!(kept(), "kept\n");
    link.kill("t").await;
    link.until("t", TaskState::TaskKilled).await;
    drop(second);

    agent.config.resources = Some("cpus:2;mem:1024;disk:100;ports:[31000-31010]".to_owned());
    agent.config.reconfiguration_policy = ReconfigurationPolicy::Additive;
    (agent.config.attributes, agent.config.domain) = (Some("rack:b;new:1;newer:2".to_owned()), domain("two"));
    let third = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let mut task = command_task("again", "cat data/file");
    task.resources.push(disk(16.0, Some("eng"), Some("v")));
    link.launch(task).await;
    link.until("again", TaskState::TaskFinished).await;
    assert_eq!(fs::read_to_string(agent.sandbox("again").join("stdout")).unwrap(), "kept\n");
    drop(third);
}
