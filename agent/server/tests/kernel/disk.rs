//! Disk quota where the file system has none: measured, and ended. Needs root.

use std::time::{Duration, Instant};

use chapada_wire::v1::{self, TaskState, task_status::Reason};

use crate::images::{build, image_task, mesos_image};
use crate::operations::{disk, made};
use crate::statistics::get_json;
use crate::support::*;

/// Looks more often than operators do.
async fn watched() -> (ScriptedMaster, TestAgent) {
    let master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    agent.config.container_disk_watch_interval = Duration::from_millis(100);
    (master, agent)
}

/// A task that may take so many MiB.
fn with_disk(mib: f64, task: v1::TaskInfo) -> v1::TaskInfo {
    let mut task = task;
    task.resources.push(disk(mib, None, None));
    task
}

/// With processors enough.
fn swift(mut task: v1::TaskInfo) -> v1::TaskInfo {
    task.resources[0].scalar = Some(v1::value::Scalar { value: Some(2.0) });
    task
}

fn is_over_disk(status: &v1::TaskStatus, quota: f64) {
    assert_eq!(status.reason(), Reason::ContainerLimitationDisk, "{status:?}");
    assert_eq!(status.source(), v1::task_status::Source::Agent);
    let limitation = &status.limitation.as_ref().unwrap().resources[0];
    assert_eq!((limitation.name.as_deref(), limitation.scalar.unwrap().value), (Some("disk"), Some(quota)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_over_its_disk_fails_with_the_figure_and_its_sibling_lives() {
    let (mut master, agent) = watched().await;
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    link.launch(with_disk(4.0, command_task("modest", "head -c 2000000 /dev/zero > file; exec sleep 1000")))
        .await;
    link.until("modest", TaskState::TaskRunning).await;
    link.launch(with_disk(4.0, command_task("greedy", "head -c 8388608 /dev/zero > file; exec sleep 1000")))
        .await;
    let status = link.until("greedy", TaskState::TaskFailed).await;
    is_over_disk(&status, 4.0);
    let message = status.message();
    assert!(message.starts_with("Disk usage (") && message.ends_with(") exceeds quota (4MB)"), "{message}");
    let shown = async || {
        let containers = get_json(&link.hello.address, "/containers").await;
        containers[0]["statistics"]["disk_used_bytes"].as_u64().filter(|used| *used > 1_900_000)
    };
    let used = eventually_some("the other is measured, too", shown).await;
    assert!(used < 3_000_000, "{used}");
    link.kill("modest").await;
    link.until("modest", TaskState::TaskKilled).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_over_an_image_counts() {
    let (mut master, mut agent) = watched().await;
    let shelf = agent.config.work_dir.parent().unwrap().join("shelf");
    build(&shelf.join("box"));
    agent.config.docker_registry = Some(shelf.to_str().unwrap().to_owned());
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let line = "busybox head -c 8388608 /dev/zero > /file; exec sleep 1000";
    let mut task = with_disk(4.0, image_task("greedy", mesos_image("box:v1"), Some(line)));
    task.command.as_mut().unwrap().user = Some("root".to_owned());
    link.launch(task).await;
    is_over_disk(&link.until("greedy", TaskState::TaskFailed).await, 4.0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_measured_apart_from_the_sandbox() {
    let (mut master, agent) = watched().await;
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    made(&mut link, "p1", disk(4.0, None, None), disk(4.0, Some("ops"), None)).await;
    made(&mut link, "p2", disk(4.0, Some("ops"), None), disk(4.0, Some("ops"), Some("v"))).await;
    let mut task = with_disk(
        4.0,
        command_task(
            "writer",
            "head -c 3000000 /dev/zero > file; \
        head -c 3000000 /dev/zero > data/file; while [ ! -e go ]; do sleep 0.02; done; \
        head -c 3000000 /dev/zero >> data/file; exec sleep 1000",
        ),
    );
    task.resources.push(disk(4.0, Some("ops"), Some("v")));
    link.launch(task).await;
    link.until("writer", TaskState::TaskRunning).await;
    let both = async || {
        let shown = get_json(&link.hello.address, "/containers").await;
        let statistics = &shown[0]["statistics"];
        let volume = statistics["disk_statistics"][0].clone();
        let is_full = |used: &serde_json::Value| used.as_u64().is_some_and(|used| used >= 3_000_000);
        (is_full(&statistics["disk_used_bytes"]) && is_full(&volume["used_bytes"])).then_some(volume)
    };
    let volume = eventually_some("both are measured", both).await;
    assert_eq!((&volume["limit_bytes"], &volume["persistence"]["id"]), (&(4 << 20).into(), &"v".into()));
    std::fs::write(agent.sandbox("writer").join("go"), "").unwrap();
    let status = link.until("writer", TaskState::TaskFailed).await;
    is_over_disk(&status, 4.0);
    assert!(status.message().ends_with("of the persistent volume 'v'"), "{}", status.message());
    let limited = &status.limitation.unwrap().resources[0];
    assert_eq!(limited.disk.as_ref().unwrap().persistence.as_ref().unwrap().id.as_deref(), Some("v"));
    running.stop().await;
}

/// Ten thousand files and a deep tree, with links all over it, and renamed all the time.
const HOSTILE: &str = "i=0; while [ $i -lt 40 ]; do mkdir d$i; ( cd d$i; j=0; while [ $j -lt 250 ]; do : > f$j; j=$((j+1)); done ); \
    ln -s /proc/self/root l$i; ln d$i/f1 h$i; i=$((i+1)); done; i=0; while [ $i -lt 400 ]; do mkdir deep; cd deep; i=$((i+1)); done; \
    cd $MESOS_SANDBOX; mkfifo pipe; touch ready; while :; do mv d0 x0; mv x0 d0; done";

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_is_hard_to_measure_holds_up_neither_others_nor_its_end() {
    let (mut master, agent) = watched().await;
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    link.launch(swift(with_disk(500.0, command_task("hostile", HOSTILE)))).await;
    link.until("hostile", TaskState::TaskRunning).await;
    eventually("it is in place", || agent.sandbox("hostile").join("ready").exists()).await;
    link.launch(with_disk(1.0, command_task("greedy", "head -c 4000000 /dev/zero > file; exec sleep 1000")))
        .await;
    is_over_disk(&link.until("greedy", TaskState::TaskFailed).await, 1.0);
    let asked = Instant::now();
    link.kill("hostile").await;
    link.until("hostile", TaskState::TaskKilled).await;
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    running.stop().await;
    // What removes the test's directory knows no such depth.
    assert!(
        std::process::Command::new("rm")
            .arg("-rf")
            .arg(agent.sandbox("hostile").join("deep"))
            .status()
            .unwrap()
            .success()
    );
}

/// On a file system with project quota, where somebody has mounted one.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_kernel_has_project_quota_it_refuses_more_or_has_it_ended() {
    let Some(place) = std::env::var_os("CHAPADA_TEST_PROJECT_QUOTA") else { return };
    let place = tempfile::tempdir_in(place).unwrap();
    let (mut master, mut agent) = watched().await;
    agent.config.work_dir = place.path().join("work");
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let line = "head -c 8388608 /dev/zero > file && echo all; touch done; exec sleep 1000";
    link.launch(swift(with_disk(4.0, command_task("refused", line)))).await;
    link.until("refused", TaskState::TaskRunning).await;
    let sandbox = agent.sandbox("refused");
    eventually("it has tried", || sandbox.join("done").exists()).await;
    let written = std::fs::metadata(sandbox.join("file")).unwrap().len();
    assert!((3 << 20..=4 << 20).contains(&written), "{written}");
    first.kill();

    agent.config.xfs_kill_containers = true;
    let second = AgentProcess::start(&agent);
    let mut link = master.welcome(2).await;
    let shown = async || {
        let containers = get_json(&link.hello.address, "/containers").await;
        containers[0]["statistics"]["disk_used_bytes"].as_u64()
    };
    let used = eventually_some("the kernel's count is shown", shown).await;
    assert!((3 << 20..=4 << 20).contains(&used), "{used}");
    link.launch(swift(with_disk(4.0, command_task("ended", line)))).await;
    is_over_disk(&link.until("ended", TaskState::TaskFailed).await, 4.0);
    link.kill("refused").await;
    link.until("refused", TaskState::TaskKilled).await;
    drop(second);
}
