//! Tasks on a real kernel, told by a scripted master. Needs root.

use crate::support::*;
use chapada_wire::v1::{self, TaskState};

fn reason_of(status: &v1::TaskStatus) -> v1::task_status::Reason {
    v1::task_status::Reason::try_from(status.reason.unwrap()).unwrap()
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

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_ends_a_task_gently_and_then_not() {
    let (_master, agent, running, mut link) = registered().await;
    link.launch(command_task("gentle", "exec sleep 1000")).await;
    link.until("gentle", TaskState::TaskRunning).await;
    link.kill("gentle").await;
    let status = link.until("gentle", TaskState::TaskKilled).await;
    assert_eq!(status.message.as_deref(), Some("Command terminated with signal Terminated"));

    let mut task = command_task("stubborn", "trap '' TERM; touch deaf; while :; do sleep 1; done");
    let grace = v1::DurationInfo { nanoseconds: Some(200_000_000) };
    task.kill_policy = Some(v1::KillPolicy { grace_period: Some(grace) });
    link.launch(task).await;
    link.until("stubborn", TaskState::TaskRunning).await;
    let deaf = agent.sandbox("stubborn").join("deaf");
    eventually("it does not listen", || deaf.exists()).await;
    link.kill("stubborn").await;
    let status = link.until("stubborn", TaskState::TaskKilled).await;
    assert_eq!(status.message.as_deref(), Some("Command terminated with signal Killed"));
    running.stop().await;
}

/// Processes that sleep for exactly so long: what a test's task has left behind.
pub(crate) fn sleepers(seconds: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let wanted = format!("sleep\0{seconds}\0");
    lines.filter(|line| String::from_utf8_lossy(line).ends_with(&wanted)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_over_its_memory_fails_with_the_figure_and_its_sibling_lives() {
    let (_master, agent, running, mut link) = registered().await;
    link.launch(command_task("sibling", "exec sleep 1000")).await;
    link.until("sibling", TaskState::TaskRunning).await;
    link.launch(command_task("greedy", "exec tail /dev/zero")).await;
    let status = link.until("greedy", TaskState::TaskFailed).await;
    assert_eq!(reason_of(&status), v1::task_status::Reason::ContainerLimitationMemory);
    let message = status.message.unwrap();
    assert!(message.starts_with("Memory limit exceeded: Requested: 64MB"), "{message}");
    assert!(status.limitation.is_some());
    eventually("only the sibling is left", || agent.containers().len() == 1).await;
    link.kill("sibling").await;
    link.until("sibling", TaskState::TaskKilled).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_supported_is_refused_by_its_field() {
    let (_master, agent, running, mut link) = registered().await;
    let mut task = command_task("image", "true");
    task.container = Some(v1::ContainerInfo {
        r#type: Some(v1::container_info::Type::Docker as i32),
        ..v1::ContainerInfo::default()
    });
    link.launch(task).await;
    let status = link.until("image", TaskState::TaskError).await;
    assert!(status.message.unwrap().starts_with("container.docker is required"));
    let mut task = command_task("fetch", "true");
    let uri = v1::command_info::Uri { value: Some("hdfs://x/y".to_owned()), ..Default::default() };
    task.command.as_mut().unwrap().uris = vec![uri];
    link.launch(task).await;
    let status = link.until("fetch", TaskState::TaskError).await;
    assert!(status.message.unwrap().starts_with("command.uris[0].value has the scheme hdfs"));
    assert!(agent.containers().is_empty());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_not_there_fails_the_launch() {
    let (_master, _agent, running, mut link) = registered().await;
    let mut task = command_task("missing", "/no/such/program");
    task.command.as_mut().unwrap().shell = Some(false);
    link.launch(task).await;
    let status = link.until("missing", TaskState::TaskFailed).await;
    assert_eq!(reason_of(&status), v1::task_status::Reason::ContainerLaunchFailed);
    assert!(status.message.unwrap().contains("/no/such/program"));
    let mut task = command_task("nobody", "true");
    task.command.as_mut().unwrap().user = Some("no-such-user-here".to_owned());
    link.launch(task).await;
    let status = link.until("nobody", TaskState::TaskFailed).await;
    assert!(status.message.unwrap().contains("no-such-user-here"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_of_ones_own_has_only_a_loopback() {
    let (_master, agent, running, mut link) = registered().await;
    let mut task = command_task("alone", "cat /proc/net/dev; hostname");
    task.container = Some(v1::ContainerInfo {
        r#type: Some(v1::container_info::Type::Mesos as i32),
        hostname: Some("island".to_owned()),
        network_infos: vec![v1::NetworkInfo { name: Some("none".to_owned()), ..v1::NetworkInfo::default() }],
        ..v1::ContainerInfo::default()
    });
    link.launch(task).await;
    link.until("alone", TaskState::TaskFinished).await;
    let stdout = std::fs::read_to_string(agent.sandbox("alone").join("stdout")).unwrap();
    let devices = stdout.lines().filter(|line| line.contains(':')).count();
    assert_eq!((devices, stdout.lines().last()), (1, Some("island")), "{stdout}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_run_side_by_side() {
    let (_master, agent, running, mut link) = registered().await;
    for n in 0..100 {
        link.launch(command_task(&format!("t{n}"), "true")).await;
    }
    let mut finished = 0;
    while finished < 100 {
        finished += usize::from(state_of(&link.update().await) == TaskState::TaskFinished);
    }
    eventually("the containers are removed", || agent.containers().is_empty()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_runs_as_the_user_it_names_and_owns_its_sandbox() {
    let (_master, agent, running, mut link) = registered().await;
    let mut task = command_task(
        "user",
        "id -un; echo x > file; ls -ld . | cut -d' ' -f3; echo ~root/*; cat ../../../../../../../../../../agent.log",
    );
    task.command.as_mut().unwrap().user = Some("nobody".to_owned());
    link.launch(task).await;
    link.until("user", TaskState::TaskFailed).await;
    let stdout = std::fs::read_to_string(agent.sandbox("user").join("stdout")).unwrap();
    assert_eq!(stdout, "nobody\nnobody\n/root/*\n");
    assert_eq!(std::fs::read_to_string(agent.sandbox("user").join("file")).unwrap(), "x\n");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_right_behind_a_launch_ends_it() {
    let (_master, agent, running, mut link) = registered().await;
    for n in 0..20 {
        link.launch(command_task(&format!("t{n}"), "trap '' TERM; while :; do sleep 1; done")).await;
        link.kill(&format!("t{n}")).await;
    }
    let mut killed = 0;
    while killed < 20 {
        killed += usize::from(state_of(&link.update().await) == TaskState::TaskKilled);
    }
    eventually("the containers are removed", || agent.containers().is_empty()).await;
    running.stop().await;
}
