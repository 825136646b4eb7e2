//! Scenario 37: memory runs out, for a task, for an executor, for the agent. Needs root.

use chapada_wire::Media;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use chapada_wire::v1::{self, TaskState, task_status::Reason};

use serde_json::{Value, json};

use crate::operator::ask;
use crate::support::*;

/// Grows until it is stopped: what has no end of lines is kept whole. It takes little of a processor, since it may have but a tenth.
const GROW: &str = "exec tail /dev/zero";

fn is_over_memory(status: &v1::TaskStatus, mib: u64) {
    assert_eq!(status.reason(), Reason::ContainerLimitationMemory, "{status:?}");
    let begin = format!("Memory limit exceeded: Requested: {mib}MB Maximum Used: ");
    let used = status.message().strip_prefix(&begin).and_then(|rest| rest.strip_suffix("MB")?.parse().ok());
    let used: u64 = used.unwrap_or_else(|| panic!("{}", status.message()));
    assert!((mib - 4..=mib).contains(&used), "{used}");
    let limitation = &status.limitation.as_ref().unwrap().resources[0];
    let exceeded = limitation.scalar.unwrap().value.unwrap();
    assert_eq!((limitation.name.as_deref(), exceeded.ceil() as u64), (Some("mem"), used));
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_37_a_task_that_takes_too_much_memory_fails_with_the_figure_and_its_sibling_lives() {
    let (_master, _agent, running, mut link) = registered().await;
    link.launch(command_task("sibling", "exec sleep 1000")).await;
    link.until("sibling", TaskState::TaskRunning).await;
    link.launch(command_task("greedy", GROW)).await;
    is_over_memory(&link.until("greedy", TaskState::TaskFailed).await, 64);
    // Twice what it asked for, because its limit says so.
    let mut bursting = command_task("bursting", GROW);
    bursting.limits.insert("mem".to_owned(), v1::value::Scalar { value: Some(128.0) });
    link.launch(bursting).await;
    is_over_memory(&link.until("bursting", TaskState::TaskFailed).await, 128);
    link.kill("sibling").await;
    link.until("sibling", TaskState::TaskKilled).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_task_that_takes_too_much_memory_hears_the_figure() {
    let (_master, agent, running, mut link) = registered().await;
    let address = link.hello.address.clone();
    for attempt in 0..5 {
        let id = format!("greedy{attempt}");
        link.launch(command_task(&id, &format!("until test -e go; do sleep 0.02; done; {GROW}"))).await;
        let container = link.until(&id, TaskState::TaskRunning).await.container_status.unwrap();
        let container = container.container_id.unwrap().value.unwrap();
        let call =
            json!({"type": "WAIT_CONTAINER", "wait_container": {"container_id": {"value": container}}});
        let waiting = tokio::spawn({
            let address = address.clone();
            async move { ask(&address, call).await }
        });
        std::fs::write(agent.sandbox(&id).join("go"), "").unwrap();
        is_over_memory(&link.until(&id, TaskState::TaskFailed).await, 64);
        let (status, said) = waiting.await.unwrap();
        if status == 404 {
            continue; // asked when all of it was over
        }
        let said: Value = serde_json::from_str(&said).unwrap();
        let waited = &said["wait_container"];
        assert_eq!(
            (&waited["state"], &waited["reason"]),
            (&json!("TASK_FAILED"), &json!("REASON_CONTAINER_LIMITATION_MEMORY"))
        );
        assert!(waited["message"].as_str().unwrap().starts_with("Memory limit exceeded: Requested: 64MB"));
        assert_eq!(waited["limitation"]["resources"][0]["name"], "mem");
        return running.stop().await;
    }
    panic!("nobody was heard in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_37_an_executor_that_takes_too_much_memory_fails_its_tasks_with_the_figure() {
    let (_master, agent, running, mut link) = registered().await;
    let plain = command_task("t", "");
    let line = format!("while [ ! -e go ]; do sleep 0.02; done; {GROW}");
    let executor = v1::ExecutorInfo {
        r#type: Some(v1::executor_info::Type::Custom as i32),
        executor_id: Some(v1::ExecutorId { value: Some("e".to_owned()) }),
        framework_id: Some(v1::FrameworkId { value: Some("framework-1".to_owned()) }),
        command: Some(v1::CommandInfo { value: Some(line), ..v1::CommandInfo::default() }),
        resources: plain.resources.clone(),
        ..v1::ExecutorInfo::default()
    };
    link.launch_on(v1::TaskInfo { command: None, executor: Some(executor), ..plain }, true).await;
    eventually("the program runs", || agent.sandbox("e").join("stdout").exists()).await;
    let speaker = Speaker { address: link.hello.address.clone(), token: None, media: Media::Json };
    let mut subscribed = None;
    eventually("it subscribes", || {
        subscribed = speaker.subscribe(&[]).ok();
        subscribed.is_some()
    })
    .await;
    std::fs::write(agent.sandbox("e").join("go"), "").unwrap();
    is_over_memory(&link.until("t", TaskState::TaskFailed).await, 128);
    running.stop().await;
}

/// A memory group for the agent, whose memory somebody else takes.
struct Starved {
    group: PathBuf,
    thief: Option<Child>,
}

impl Starved {
    /// Takes all that the group may use.
    fn starve(agent: &AgentProcess) -> Self {
        let name = format!("chapada-test-starved-{}", std::process::id());
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let (group, limit) = match v1.is_dir() {
            true => (v1.join(name), "memory.limit_in_bytes"),
            false => (Path::new("/sys/fs/cgroup").join(name), "memory.max"),
        };
        std::fs::create_dir(&group).unwrap();
        std::fs::write(group.join("cgroup.procs"), agent.id().to_string()).unwrap();
        std::fs::write(group.join(limit), (256u64 << 20).to_string()).unwrap();
        // Of the two the kernel is to take the agent.
        std::fs::write(format!("/proc/{}/oom_score_adj", agent.id()), "1000").unwrap();
        let line = "echo $$ > $GROUP/cgroup.procs; head -c 1000000000 /dev/zero | tail";
        let mut thief = Command::new("sh");
        thief.args(["-c", line]).env("GROUP", &group).stdout(Stdio::null()).stderr(Stdio::null());
        Self { thief: Some(thief.spawn().unwrap()), group }
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        let processes = std::fs::read_to_string(self.group.join("cgroup.procs")).unwrap_or_default();
        for pid in processes.lines().filter_map(|line| line.parse().ok()) {
            let _gone =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        if let Some(mut thief) = self.thief.take() {
            let _gone = thief.kill();
            thief.wait().unwrap();
        }
        let deadline = std::time::Instant::now() + PATIENCE;
        while let Err(error) = std::fs::remove_dir(&self.group) {
            assert!(std::time::Instant::now() < deadline, "{error}");
            std::thread::yield_now();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_37_tasks_outlive_an_agent_that_the_kernel_kills_for_memory() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let mut first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    link.launch(command_task("t", "exec sleep 1000")).await;
    let before = link.until("t", TaskState::TaskRunning).await;
    let starved = Starved::starve(&first);
    eventually("the kernel kills the agent", || first.has_ended()).await;
    drop(starved);
    let second = AgentProcess::start(&agent);
    let mut link = master.welcome(2).await;
    let held = &link.held["t"];
    assert_eq!(held.latest.as_ref().unwrap().state, Some(TaskState::TaskRunning as i32));
    let pid = before.container_status.unwrap().executor_pid.unwrap();
    assert!(Path::new(&format!("/proc/{pid}")).exists(), "the same process runs on");
    link.kill("t").await;
    link.until("t", TaskState::TaskKilled).await;
    drop(second);
}
