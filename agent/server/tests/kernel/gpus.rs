//! GPUs as whole devices; nodes of another driver stand for them. Needs root.

use std::path::Path;

use chapada_wire::v1::{self, TaskState};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::support::*;

/// What a driver with these GPUs shows below a directory.
fn install_driver(root: &Path, numbers: &[u32]) {
    let node = |name: &str, (major, minor): (u64, u64)| {
        let path = root.join("dev").join(name);
        mknod(&path, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(major, minor)).unwrap();
    };
    std::fs::create_dir_all(root.join("dev")).unwrap();
    node("nvidiactl", (1, 5));
    for number in numbers {
        let place = root.join(format!("proc/driver/nvidia/gpus/0000:0{number}:00.0"));
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("information"), format!("Model: Fake\nDevice Minor: {number}\n")).unwrap();
        // That of /dev/fuse, which no container may open otherwise.
        node(&format!("nvidia{number}"), (10, 229));
    }
}

fn with_gpus(count: f64, mut task: v1::TaskInfo) -> v1::TaskInfo {
    task.resources.push(v1::Resource {
        name: Some("gpus".to_owned()),
        r#type: Some(v1::value::Type::Scalar as i32),
        scalar: Some(v1::value::Scalar { value: Some(count) }),
        ..v1::Resource::default()
    });
    task
}

/// Which GPUs it sees and can open.
const LOOK: &str = "for node in /dev/nvidia*; do (exec 3< $node) && echo ${node#/dev/}; done";

async fn seen(link: &mut Link, agent: &TestAgent, id: &str) -> String {
    link.until(id, TaskState::TaskRunning).await;
    let stdout = agent.sandbox(id).join("stdout");
    let whole = || std::fs::read_to_string(&stdout).unwrap_or_default().contains("done\n");
    eventually("it has looked", whole).await;
    std::fs::read_to_string(stdout).unwrap().replace('\n', " ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gpu_is_one_tasks_until_its_end_also_over_a_restart() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    let root = agent.config.work_dir.parent().unwrap().join("driver");
    install_driver(&root, &[0, 1]);
    agent.config.nvidia_driver_root = root;
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let offered = &link.hello.agent_info.as_ref().unwrap().resources;
    let gpus = offered.iter().find(|resource| resource.name.as_deref() == Some("gpus")).unwrap();
    assert_eq!(gpus.scalar.unwrap().value, Some(2.0));

    let line = format!("{LOOK}; echo done; exec sleep 1000");
    link.launch(with_gpus(1.0, command_task("one", &line))).await;
    assert_eq!(seen(&mut link, &agent, "one").await, "nvidia0 nvidiactl done ");
    link.launch(command_task("none", &format!("{line} 2> /dev/null"))).await;
    assert_eq!(seen(&mut link, &agent, "none").await, "done ");
    first.kill();

    let second = AgentProcess::start(&agent);
    let mut link = master.welcome(2).await;
    link.launch(with_gpus(1.0, command_task("two", &line))).await;
    assert_eq!(seen(&mut link, &agent, "two").await, "nvidia1 nvidiactl done ", "the first is taken");
    link.launch(with_gpus(1.0, command_task("three", "true"))).await;
    let refused = link.until("three", TaskState::TaskFailed).await;
    assert_eq!(refused.message(), "cannot give it GPUs: 1 are wanted and 0 are free");
    link.launch(with_gpus(0.5, command_task("half", "true"))).await;
    let refused = link.until("half", TaskState::TaskError).await;
    assert!(refused.message().starts_with("resources[2].scalar.value is not supported"), "{refused:?}");
    link.kill("one").await;
    link.until("one", TaskState::TaskKilled).await;
    let free = || std::fs::read_dir(agent.config.work_dir.join("gpus")).unwrap().count() == 1;
    eventually("what it had is free", free).await;
    link.launch(with_gpus(1.0, command_task("four", &line))).await;
    assert_eq!(seen(&mut link, &agent, "four").await, "nvidia0 nvidiactl done ");
    drop(second);
}
