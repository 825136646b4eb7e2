//! Executors of frameworks' own on a real kernel; the tests speak for them. Needs root.

use chapada_wire::Media;
use chapada_wire::link::{from_agent, to_agent};
use chapada_wire::v1::{self, TaskState, task_status::Reason};

use crate::support::*;

/// A task of executor `e`, which runs this command.
pub(crate) fn task(id: &str, command: &str) -> v1::TaskInfo {
    let plain = command_task(id, command);
    let executor = v1::ExecutorInfo {
        r#type: Some(v1::executor_info::Type::Custom as i32),
        executor_id: Some(v1::ExecutorId { value: Some("e".to_owned()) }),
        framework_id: Some(v1::FrameworkId { value: Some("framework-1".to_owned()) }),
        command: plain.command.clone(),
        resources: plain.resources.clone(),
        ..v1::ExecutorInfo::default()
    };
    v1::TaskInfo { command: None, executor: Some(executor), ..plain }
}

async fn gone(link: &mut Link) -> (String, i32) {
    loop {
        match link.next().await {
            Some(from_agent::Message::ExecutorGone(gone)) => return (gone.executor_id, gone.status),
            Some(from_agent::Message::Update(_)) => {}
            other => panic!("expected the end of the executor, not {other:?}"),
        }
    }
}

fn memory_limit(agent: &TestAgent) -> Option<u64> {
    let container = agent.containers().pop()?;
    agent.cgroups().group(&container).statistics().ok()?.memory_limit_bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_is_started_told_heard_and_ended() {
    goes_through_its_life(Media::Json).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_speaks_protobuf_is_started_told_heard_and_ended() {
    goes_through_its_life(Media::Protobuf).await;
}

async fn goes_through_its_life(media: Media) {
    let (_master, agent, running, mut link) = registered().await;
    let speaker = Speaker { address: link.hello.address.clone(), token: None, media };
    assert_eq!(speaker.subscribe(&[]).err(), Some(400), "nobody knows that framework yet");
    link.launch_on(task("t", "env > env; mv env environment; exec sleep 1000"), true).await;
    let environment = agent.sandbox("e").join("environment");
    eventually("the program runs", || environment.exists()).await;
    assert_eq!(speaker.update("t", b'A', "TASK_RUNNING"), 403, "not before it has subscribed");

    let mut said = speaker.subscribe(&[]).unwrap();
    let subscribed = said.expect("SUBSCRIBED");
    assert_eq!(subscribed["subscribed"]["executor_info"]["executor_id"]["value"], "e");
    assert_eq!(subscribed["subscribed"]["agent_info"]["id"]["value"], "agent-1");
    assert_eq!(said.expect("LAUNCH")["launch"]["task"]["task_id"]["value"], "t");
    const MIB: u64 = 1024 * 1024;
    eventually("there is room for one task", || memory_limit(&agent) == Some(128 * MIB)).await;
    link.launch_on(task("u", "env > env; mv env environment; exec sleep 1000"), false).await;
    assert_eq!(said.expect("LAUNCH")["launch"]["task"]["task_id"]["value"], "u");
    eventually("there is room for two", || memory_limit(&agent) == Some(192 * MIB)).await;

    assert_eq!(speaker.update("t", b'B', "TASK_RUNNING"), 202);
    let status = link.until("t", TaskState::TaskRunning).await;
    let container = status.container_status.unwrap();
    assert_eq!(agent.containers(), [container.container_id.unwrap().value.unwrap()]);
    assert!(container.executor_pid.is_some() && status.executor_id.unwrap().value.as_deref() == Some("e"));
    assert_eq!(said.expect("ACKNOWLEDGED")["acknowledged"]["task_id"]["value"], "t");
    link.kill("t").await;
    assert_eq!(said.expect("KILL")["kill"]["task_id"]["value"], "t");
    assert_eq!(speaker.update("t", b'C', "TASK_KILLED"), 202);
    said.expect("ACKNOWLEDGED");
    link.until("t", TaskState::TaskKilled).await;
    eventually("an ended task has no room", || memory_limit(&agent) == Some(128 * MIB)).await;

    link.say(to_agent::Message::ShutdownExecutor(chapada_wire::link::ShutdownExecutor {
        framework_id: "framework-1".to_owned(),
        executor_id: "e".to_owned(),
    }))
    .await;
    said.expect("SHUTDOWN");
    let status = link.until("u", TaskState::TaskGone).await;
    assert_eq!(status.reason, Some(Reason::ExecutorTerminated as i32));
    assert_eq!(gone(&mut link).await, ("e".to_owned(), 9), "it did not end by itself");
    eventually("nothing is left of it", || agent.containers().is_empty()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_has_the_token_speaks_where_one_is_wanted() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    agent.config.authenticate_http_executors = true;
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    link.launch_on(task("t", "env > env; mv env environment; exec sleep 1000"), true).await;
    let environment = agent.sandbox("e").join("environment");
    eventually("the program runs", || environment.exists()).await;
    let environment = std::fs::read_to_string(environment).unwrap();
    let value = |name: &str| {
        let line = environment.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("{name} is not in the environment")).to_owned()
    };
    let address = link.hello.address.clone();
    // The names that Mesos gives, as recorded.
    assert_eq!(value("MESOS_AGENT_ENDPOINT"), address);
    assert_eq!(value("MESOS_SLAVE_PID"), format!("slave(1)@{address}"));
    assert_eq!((value("MESOS_FRAMEWORK_ID"), value("MESOS_EXECUTOR_ID")), ("framework-1".into(), "e".into()));
    assert_eq!((value("MESOS_SLAVE_ID"), value("MESOS_CHECKPOINT")), ("agent-1".into(), "1".into()));
    assert_eq!(value("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD"), "5secs");
    assert_eq!((value("MESOS_DIRECTORY"), value("LIBPROCESS_PORT")), (value("MESOS_SANDBOX"), "0".into()));
    assert_eq!(
        (value("MESOS_HTTP_COMMAND_EXECUTOR"), value("LIBPROCESS_IP")),
        ("0".into(), "127.0.0.1".into())
    );

    let of = |token: Option<String>| Speaker { address: address.clone(), token, media: Media::Json };
    assert_eq!(of(None).subscribe(&[]).err(), Some(401));
    assert_eq!(of(Some("guess".into())).subscribe(&[]).err(), Some(401));
    let token = value("MESOS_EXECUTOR_AUTHENTICATION_TOKEN");
    let mut said = of(Some(token.clone())).subscribe(&[]).unwrap();
    said.expect("SUBSCRIBED");
    assert_eq!(of(None).update("t", b'A', "TASK_FINISHED"), 401);
    assert_eq!(of(Some(token.clone())).update("t", b'A', "TASK_FINISHED"), 202);
    link.until("t", TaskState::TaskFinished).await;
    let log = std::fs::read(agent.config.work_dir.join("agent.log")).unwrap();
    assert!(!log.windows(token.len()).any(|part| part == token.as_bytes()), "a secret is in no log");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_runs_on_when_its_agent_is_killed_and_comes_back_with_what_it_knows() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    let usual = std::mem::replace(&mut agent.config.executor_reregistration_timeout, PATIENCE);
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let speaker = Speaker { address: link.hello.address.clone(), token: None, media: Media::Json };
    link.launch_on(task("t", "touch here; exec sleep 1000"), true).await;
    let here = agent.sandbox("e").join("here");
    eventually("the program runs", || here.exists()).await;
    let mut said = speaker.subscribe(&[]).unwrap();
    said.expect("SUBSCRIBED");
    said.expect("LAUNCH");
    assert_eq!(speaker.update("t", b'A', "TASK_RUNNING"), 202);
    let before = link.until("t", TaskState::TaskRunning).await;
    first.kill();
    assert!(said.next().is_none_or(|event| event["type"] == "ACKNOWLEDGED"));

    let second = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    assert_eq!(link.held.keys().collect::<Vec<_>>(), ["t"]);
    let speaker = Speaker { address: link.hello.address.clone(), token: None, media: Media::Json };
    let mut said = speaker.subscribe(&["t"]).unwrap();
    said.expect("SUBSCRIBED");
    assert_eq!(speaker.update("t", b'A', "TASK_RUNNING"), 202, "it had not heard that this is on disk");
    said.expect("ACKNOWLEDGED");
    assert_eq!(speaker.update("t", b'B', "TASK_FINISHED"), 202);
    let after = link.until("t", TaskState::TaskFinished).await;
    let pid = |status: &v1::TaskStatus| status.container_status.as_ref().unwrap().executor_pid;
    assert_eq!(pid(&before), pid(&after), "it is the same process");
    drop(second);

    // Nobody speaks for it after the next restart: it is given up after two seconds.
    agent.config.executor_reregistration_timeout = usual;
    let third = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    assert_eq!(gone(&mut link).await, ("e".to_owned(), 9));
    eventually("nothing is left of it", || agent.containers().is_empty()).await;
    drop(third);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_ends_fails_its_tasks_and_its_status_is_told() {
    let (_master, agent, running, mut link) = registered().await;
    link.launch_on(task("t", "exit 3"), true).await;
    let status = link.until("t", TaskState::TaskFailed).await;
    assert_eq!(status.reason, Some(Reason::ExecutorTerminated as i32));
    assert_eq!(status.message.as_deref(), Some("Executor exited with status 3"));
    assert_eq!(gone(&mut link).await, ("e".to_owned(), 3 << 8));
    let mut wrong = task("u", "true");
    wrong.executor.as_mut().unwrap().container =
        Some(v1::ContainerInfo { volumes: vec![v1::Volume::default()], ..v1::ContainerInfo::default() });
    link.launch_on(wrong, true).await;
    let status = link.until("u", TaskState::TaskError).await;
    assert!(status.message.unwrap().starts_with("executor.container.volumes[0].container_path"));
    assert_eq!(gone(&mut link).await, ("e".to_owned(), -1), "the master is not to count it");
    eventually("nothing is left", || agent.containers().is_empty()).await;
    running.stop().await;
}
