//! Tasks on a real kernel, told by a scripted master.

mod support;

use chapada_wire::v1::TaskState;
use support::*;

async fn registered() -> (ScriptedMaster, TestAgent, InProcess, Link) {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let running = InProcess::start(&agent);
    let link = master.welcome(1).await;
    (master, agent, running, link)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_and_ends_with_its_status() {
    let (_master, agent, running, mut link) = registered().await;
    assert_eq!(link.hello.protocol_version, 1);
    link.launch(command_task("good", "echo out; echo err >&2; env")).await;
    let states: Vec<_> =
        [link.update().await, link.update().await, link.update().await].iter().map(state_of).collect();
    assert_eq!(states, [TaskState::TaskStarting, TaskState::TaskRunning, TaskState::TaskFinished]);
    let stdout = std::fs::read_to_string(agent.sandbox("good").join("stdout")).unwrap();
    assert!(stdout.starts_with("out\n") && stdout.contains("MESOS_TASK_ID=good\n"), "{stdout}");
    assert_eq!(std::fs::read_to_string(agent.sandbox("good").join("stderr")).unwrap(), "err\n");

    link.launch(command_task("bad", "exit 3")).await;
    let status = link.until("bad", TaskState::TaskFailed).await;
    assert_eq!(status.message.as_deref(), Some("Command exited with status 3"));
    eventually("the containers are removed", || agent.containers().is_empty()).await;
    running.stop().await;
}
