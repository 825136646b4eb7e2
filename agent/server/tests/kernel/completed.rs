//! What a new leader is told of tasks that were over before it led. Needs root.

use chapada_wire::link::{self, from_agent};
use chapada_wire::v1::{TaskInfo, TaskState};

use crate::support::*;

/// The next thing that the agent says is what was over before: ids and last states.
async fn told(link: &mut Link) -> Vec<(String, TaskState)> {
    let Some(from_agent::Message::CompletedTasks(told)) = link.next().await else {
        panic!("it tells of completed tasks first")
    };
    let read = |held: link::HeldTask| {
        let info: TaskInfo = chapada_wire::decode_binary(&held.task).unwrap();
        assert_eq!(held.framework_id, "framework-1");
        (info.task_id.unwrap().value.unwrap(), state_of(&held.latest.unwrap()))
    };
    told.tasks.into_iter().map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_is_told_what_was_over_before_it_if_it_asks() {
    let (mut master, _agent, running, mut link) = registered().await;
    for (id, command, end) in
        [("good", "true", TaskState::TaskFinished), ("bad", "exit 3", TaskState::TaskFailed)]
    {
        link.launch(command_task(id, command)).await;
        link.until(id, end).await;
    }
    link.launch(command_task("runs", "exec sleep 1000")).await;
    link.until("runs", TaskState::TaskRunning).await;
    drop(link);
    // What was acknowledged on a link's last moment is stated once more.
    let mut link = loop {
        let link = master.welcome_and_ask(2, 10).await;
        if link.held.keys().eq(["runs"]) {
            break link;
        }
    };
    let (good, bad) =
        (("good".to_owned(), TaskState::TaskFinished), ("bad".to_owned(), TaskState::TaskFailed));
    assert_eq!(told(&mut link).await, [bad.clone(), good], "the youngest first");
    drop(link);
    let mut link = master.welcome_and_ask(3, 1).await;
    assert_eq!(told(&mut link).await, [bad]);
    drop(link);
    let mut link = master.welcome(4).await;
    link.kill("runs").await;
    link.until("runs", TaskState::TaskKilled).await;
    drop(link);
    // As another agent, which has run nothing.
    drop(master.give_up(5).await);
    let mut link = master.welcome_and_ask(6, 10).await;
    assert_eq!(told(&mut link).await, []);
    running.stop().await;
}
