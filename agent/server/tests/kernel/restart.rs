//! kill -9 the agent, start it again: it finds its tasks and misses no exit code. Needs root.

use crate::support::*;
use chapada_wire::v1::TaskState;

/// Not a test: the agent that the tests here start as a process of its own. Does nothing unless asked.
#[test]
fn agent_process() {
    run_if_asked();
}

fn lines(path: &std::path::Path) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_finds_its_tasks_and_misses_no_exit_code() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    link.launch(command_task("long", "while :; do echo tick; sleep 0.05; done")).await;
    link.launch(command_task("short", "while [ ! -e stop ]; do sleep 0.02; done; exit 7")).await;
    for _ in 0..4 {
        link.update().await;
    }
    let containers = agent.containers();
    assert_eq!(containers.len(), 2);

    first.kill();
    // One task ends while nobody looks, the other goes on.
    std::fs::write(agent.sandbox("short").join("stop"), "").unwrap();
    let ticks = lines(&agent.sandbox("long").join("stdout"));
    eventually("the long task goes on", || lines(&agent.sandbox("long").join("stdout")) > ticks + 2).await;

    let second = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    assert_eq!(
        link.hello.agent_info.as_ref().unwrap().id.as_ref().unwrap().value.as_deref(),
        Some("agent-1")
    );
    assert_eq!(link.held.keys().collect::<Vec<_>>(), ["long", "short"]);
    let status = link.until("short", TaskState::TaskFailed).await;
    assert_eq!(status.message.as_deref(), Some("Command exited with status 7"));
    link.kill("long").await;
    link.until("long", TaskState::TaskKilled).await;
    eventually("the containers are removed", || agent.containers().is_empty()).await;
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_are_repeated_over_restarts_until_they_are_acknowledged() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    link.launch(command_task("t", "exit 0")).await;
    let mut uuids = Vec::new();
    for _ in 0..3 {
        uuids.push(link.update_unacknowledged().await.uuid);
    }
    first.kill();
    let second = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    for uuid in &uuids {
        assert_eq!(link.update().await.uuid, *uuid, "the same updates, in order");
    }
    // Its first update shows that everything logged before it is on disk.
    link.launch(command_task("later", "exec sleep 1000")).await;
    link.update_unacknowledged().await;
    drop(second);
    let third = AgentProcess::start(&agent);
    let link = master.welcome(1).await;
    assert_eq!(link.held.keys().collect::<Vec<_>>(), ["later"], "acknowledged to the end, and forgotten");
    drop(third);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_in_the_middle_of_launches_reports_every_task_it_admitted() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    for n in 0..40 {
        link.launch(command_task(&format!("t{n:02}"), "exec sleep 1000")).await;
    }
    for _ in 0..20 {
        link.update_unacknowledged().await;
    }
    first.kill();
    let second = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let mut waiting: std::collections::BTreeSet<String> = link.held.keys().cloned().collect();
    assert!(waiting.len() >= 5, "some were admitted");
    while !waiting.is_empty() {
        let status = link.update().await;
        if state_of(&status) != TaskState::TaskStarting {
            waiting.remove(&id_of(&status));
        }
    }
    let running = agent.containers().len();
    assert!(running <= link.held.len(), "{running} containers, {} tasks held", link.held.len());
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_agent_in_the_same_directory_is_refused() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let running = InProcess::start(&agent);
    let _link = master.welcome(1).await;
    let error = chapada_agent::run(agent.config.clone(), Default::default()).await.unwrap_err();
    assert!(error.to_string().contains("another agent works in"), "{error}");
    running.stop().await;
}
