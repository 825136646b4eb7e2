//! The link: epochs, masters that go and come, commands that make no sense. Needs root.

use chapada_wire::link::{self, from_agent, to_agent};
use chapada_wire::v1::TaskState;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_older_master_is_not_obeyed_even_after_a_restart() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(5).await;
    link.launch(command_task("t", "exec sleep 1000")).await;
    link.until("t", TaskState::TaskRunning).await;
    drop(link);
    let mut older = master.welcome(4).await;
    older.kill("t").await;
    assert!(older.next().await.is_none(), "the agent hangs up");
    first.kill();
    // The first may have dialled once more before it was killed; nobody dials this one but the second.
    let mut master = ScriptedMaster::start().await;
    agent.config.master = master.address.to_string();
    let second = AgentProcess::start(&agent);
    let mut older = master.welcome(4).await;
    older.kill("t").await;
    assert!(older.next().await.is_none(), "and remembers");
    let mut newer = master.welcome(6).await;
    newer.kill("t").await;
    newer.until("t", TaskState::TaskKilled).await;
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_link_states_what_is_held_and_repeats_what_is_unacknowledged() {
    let (mut master, _agent, running, mut link) = registered().await;
    link.launch(command_task("t", "exec sleep 1000")).await;
    let starting = link.update().await;
    let unacknowledged = link.update_unacknowledged().await;
    assert_eq!(
        (state_of(&starting), state_of(&unacknowledged)),
        (TaskState::TaskStarting, TaskState::TaskRunning)
    );
    drop(link);
    let mut link = master.welcome(2).await;
    let held = &link.held["t"];
    assert_eq!(held.acknowledged_state, Some(TaskState::TaskStarting as i32));
    assert_eq!(held.latest.as_ref().map(state_of), Some(TaskState::TaskRunning));
    assert_eq!(link.update().await.uuid, unacknowledged.uuid);
    link.kill("t").await;
    link.until("t", TaskState::TaskKilled).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_and_the_link_lives_on() {
    let (_master, _agent, running, mut link) = registered().await;
    for (message, reason) in [
        (to_agent::Message::Launch(link::Launch::default()), "launch.framework is missing"),
        (
            to_agent::Message::Kill(link::Kill { task_id: "..".to_owned(), ..link::Kill::default() }),
            "framework_id: ID must not be empty",
        ),
        (
            to_agent::Message::Acknowledge(link::Acknowledge {
                framework_id: "f".to_owned(),
                task_id: "t".to_owned(),
                uuid: vec![1],
            }),
            "acknowledge.uuid must have 16 bytes",
        ),
        (
            to_agent::Message::ExecutorMessage(link::ExecutorMessage {
                framework_id: "f".to_owned(),
                executor_id: "e".to_owned(),
                data: Vec::new(),
            }),
            "framework f has no executor e here that takes messages",
        ),
    ] {
        link.say(message).await;
        match link.next().await {
            Some(from_agent::Message::CommandRefused(refused)) => assert_eq!(refused.reason, reason),
            other => panic!("expected a refusal, not {other:?}"),
        }
    }
    link.launch(command_task("t", "true")).await;
    link.until("t", TaskState::TaskFinished).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_gone_ends_its_tasks_and_comes_back_as_a_new_one() {
    let (mut master, agent, running, link) = running_task().await;
    drop(link);
    assert!(master.give_up(2).await.held.is_empty());
    eventually("the container is removed", || agent.containers().is_empty()).await;
    running.stop().await;
}

/// It may be that the master has not noticed yet that its former link is broken.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_id_is_in_use_asks_again_as_what_it_is() {
    let (mut master, _agent, running, link) = running_task().await;
    drop(link);
    let id = |link: &Link| link.hello.agent_info.as_ref().and_then(|info| info.id.clone());
    let mut ids = Vec::new();
    for _ in 0..3 {
        let mut link = master.accept(1).await;
        ids.push((id(&link), link.held.contains_key("t")));
        let message = "it is connected from elsewhere".to_owned();
        let refused = link::Refused { reason: link::refused::Reason::IdInUse as i32, message };
        link.say(to_agent::Message::Refused(refused)).await;
    }
    assert!(ids.iter().all(|(id, holds)| id.is_some() && *id == ids[0].0 && *holds), "{ids:?}");
    let mut link = master.welcome(1).await;
    assert_eq!(id(&link), ids[0].0);
    link.kill("t").await;
    link.until("t", TaskState::TaskKilled).await;
    running.stop().await;
}
