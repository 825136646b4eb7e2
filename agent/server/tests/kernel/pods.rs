//! Task groups on a real kernel. Needs root.

use chapada_wire::link::from_agent;
use chapada_wire::v1::{self, TaskState};

use crate::support::*;

pub(crate) fn pod() -> v1::ExecutorInfo {
    v1::ExecutorInfo {
        r#type: Some(v1::executor_info::Type::Default as i32),
        executor_id: Some(v1::ExecutorId { value: Some("pod".to_owned()) }),
        resources: command_task("x", "true").resources,
        ..v1::ExecutorInfo::default()
    }
}

/// A task that shares directory `common` of the pod, as `shared` in its own sandbox.
fn sharing(id: &str, command: &str) -> v1::TaskInfo {
    let path = v1::volume::source::SandboxPath {
        r#type: Some(v1::volume::source::sandbox_path::Type::Parent as i32),
        path: Some("common".to_owned()),
    };
    let source = v1::volume::Source {
        r#type: Some(v1::volume::source::Type::SandboxPath as i32),
        sandbox_path: Some(path),
        ..v1::volume::Source::default()
    };
    let volume = v1::Volume {
        mode: Some(v1::volume::Mode::Rw as i32),
        container_path: Some("shared".to_owned()),
        source: Some(source),
        ..v1::Volume::default()
    };
    let container = v1::ContainerInfo {
        r#type: Some(v1::container_info::Type::Mesos as i32),
        volumes: vec![volume],
        ..v1::ContainerInfo::default()
    };
    v1::TaskInfo { container: Some(container), ..command_task(id, command) }
}

/// The last state of each of these tasks, once both have ended, and that the pod is over.
async fn ends(link: &mut Link, tasks: [&str; 2]) -> [TaskState; 2] {
    let mut last = [TaskState::TaskStaging; 2];
    loop {
        match link.next().await {
            Some(from_agent::Message::Update(update)) => {
                let status = update.status.unwrap();
                link.acknowledge(&status).await;
                let index = tasks.iter().position(|task| *task == id_of(&status)).unwrap();
                last[index] = state_of(&status);
            }
            Some(from_agent::Message::ExecutorGone(gone)) => {
                assert_eq!((gone.executor_id.as_str(), gone.status), ("pod", 0));
                return last;
            }
            other => panic!("expected updates and the end of the pod, not {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tasks_of_a_group_share_a_directory_and_end_the_pod_with_them() {
    let (_master, agent, running, mut link) = registered().await;
    let wait = "until test -e shared/word; do sleep 0.02; done; cat shared/word";
    let tasks =
        vec![sharing("listens", wait), sharing("speaks", "echo hello > shared/w; mv shared/w shared/word")];
    link.launch_group(pod(), tasks, true).await;
    let first = link.update().await;
    let container = first.container_status.unwrap().container_id.unwrap();
    assert!(container.parent.is_some(), "each is in a container beneath the pod's");
    assert_eq!(ends(&mut link, ["listens", "speaks"]).await, [TaskState::TaskFinished; 2]);
    let above = agent.sandbox("pod");
    let heard = std::fs::read_to_string(above.join("tasks/listens/stdout")).unwrap();
    assert_eq!(heard, "hello\n");
    assert_eq!(std::fs::read_to_string(above.join("common/word")).unwrap(), "hello\n");
    eventually("nothing is left of it", || agent.containers().is_empty()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_ends_the_group() {
    let (_master, agent, running, mut link) = registered().await;
    let tasks = vec![command_task("fails", "exit 1"), command_task("waits", "exec sleep 1000")];
    link.launch_group(pod(), tasks, true).await;
    let seen = ends(&mut link, ["fails", "waits"]).await;
    assert_eq!(seen, [TaskState::TaskFailed, TaskState::TaskKilled]);
    let mut tasks = vec![command_task("good", "true"), command_task("bad", "true")];
    tasks[1].command.as_mut().unwrap().uris = vec![v1::command_info::Uri::default()];
    link.launch_group(pod(), tasks, true).await;
    for _ in 0..2 {
        let status = link.update().await;
        assert_eq!(state_of(&status), TaskState::TaskError);
        assert!(status.message.unwrap().starts_with("command.uris[0].value names no file"));
    }
    eventually("nothing is left of either", || agent.containers().is_empty()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_runs_on_when_its_agent_is_killed_and_is_still_one() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let tasks = vec![command_task("a", "exec sleep 1000"), command_task("b", "exec sleep 1000")];
    link.launch_group(pod(), tasks, true).await;
    link.until_all_run(["a", "b"]).await;
    assert_eq!(agent.containers().len(), 2);
    first.kill();
    let second = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    assert_eq!(link.held.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert!(link.held.values().all(|held| held.executor_id == "pod"));
    link.kill("a").await;
    assert_eq!(ends(&mut link, ["a", "b"]).await, [TaskState::TaskKilled; 2]);
    eventually("nothing is left of it", || agent.containers().is_empty()).await;
    drop(second);
}
