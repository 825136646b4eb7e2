//! 39: whatever a task does to get out of its kill's way, nothing of it is left.

use chapada_wire::v1::{self, TaskState};

use super::{grace, kill_all};
use crate::support::*;
use crate::tasks::sleepers;

/// Says that it is there by a process that sleeps for so long.
fn hides(seconds: &str) -> String {
    // In sessions of their own, deaf to SIGTERM, and the inner one without the process that started it.
    format!("trap '' TERM; setsid sh -c \"trap '' TERM HUP; (setsid sleep {seconds} &) ; sleep {seconds}\" &")
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_39_nothing_is_left_of_a_task_that_hides() {
    let (_master, agent, running, mut link) = registered().await;
    let seconds = format!("{}.39", 1_000_000 + std::process::id());
    let hide = hides(&seconds);
    let deaf = "while :; do sleep 0.05; done";
    let mut stays = command_task("stays", &format!("{hide} {hide} {deaf}"));
    stays.kill_policy = Some(grace(3_600_000));
    link.launch(stays).await;
    // In a network of its own, and with a command that ends and leaves all of it behind.
    let network = v1::NetworkInfo { name: Some("none".to_owned()), ..v1::NetworkInfo::default() };
    let mut leaves = command_task("leaves", &format!("{hide} {hide} while [ ! -e go ]; do sleep 0.05; done"));
    leaves.container = Some(v1::ContainerInfo {
        r#type: Some(v1::container_info::Type::Mesos as i32),
        network_infos: vec![network],
        ..v1::ContainerInfo::default()
    });
    link.launch(leaves).await;
    eventually("all of it runs", || sleepers(&seconds) == 8).await;

    std::fs::write(agent.sandbox("leaves").join("go"), "").unwrap();
    link.until("leaves", TaskState::TaskFinished).await;
    eventually("what the first left is gone", || sleepers(&seconds) == 4).await;
    link.kill_with("stays", Some(grace(100))).await;
    link.until("stays", TaskState::TaskKilled).await;
    assert_eq!(sleepers(&seconds), 0, "it is dead when it is said to be");
    eventually("the containers are removed", || agent.containers().is_empty()).await;
    assert!(agent.cgroups().containers().unwrap().is_empty());

    // The same at once, with a second kill on the way.
    let ids: Vec<String> = (0..5).map(|n| format!("again-{n}")).collect();
    for id in &ids {
        let mut task = command_task(id, &format!("{hide} {deaf}"));
        task.kill_policy = Some(grace(100));
        link.launch(task).await;
    }
    eventually("all of it runs", || sleepers(&seconds) == 10).await;
    link.kill(&ids[0]).await;
    kill_all(&mut link, &ids).await;
    assert_eq!(sleepers(&seconds), 0);
    eventually("the containers are removed", || agent.containers().is_empty()).await;
    running.stop().await;
}
