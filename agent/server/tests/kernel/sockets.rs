//! Executors of frameworks' own that reach their agent over a socket in the file system. Needs root and busybox.

use chapada_wire::Media;
use chapada_wire::v1::{self, TaskState, task_status::Reason};

use crate::executors::task;
use crate::images::{agent_with_image, mesos_image};
use crate::support::*;

/// This very test program, where containers see it too: they have a `/tmp` of their own.
struct Program(tempfile::TempDir);

impl Program {
    fn new() -> Self {
        let place = tempfile::tempdir_in("/var/tmp").unwrap();
        let (own, there) = (std::env::current_exe().unwrap(), place.path().join("executor"));
        // Another name is enough, but on another file system.
        std::fs::hard_link(&own, &there).or_else(|_| std::fs::copy(&own, &there).map(drop)).unwrap();
        Self(place)
    }

    /// Keeps what it was given to see, and becomes the program, whose test `executor_process` then is the executor.
    fn speaking(&self) -> String {
        let program = self.0.path().join("executor");
        let program = program.display();
        format!("env > env; mv env environment; exec {program} --exact sockets::executor_process --nocapture")
    }
}

#[test]
fn executor_process() {
    let value = |name: &str| std::env::var(name).ok();
    let Some(address) = value("MESOS_DOMAIN_SOCKET") else { return };
    let speaker =
        Speaker { address, token: value("MESOS_EXECUTOR_AUTHENTICATION_TOKEN"), media: Media::Json };
    let parent = std::os::unix::process::parent_id();
    while std::os::unix::process::parent_id() == parent {
        let mut said = speaker.subscribe_when_there();
        while let Some(event) = said.next() {
            let status = match event["type"].as_str() {
                Some("LAUNCH") => speaker.update("t", b'A', "TASK_RUNNING"),
                Some("KILL") => speaker.update("t", b'B', "TASK_KILLED"),
                Some("ACKNOWLEDGED") => {
                    std::fs::write("acknowledged", "").unwrap();
                    continue;
                }
                _ => continue,
            };
            assert_eq!(status, 202);
        }
    }
}

fn in_network(mut task: v1::TaskInfo, name: &str) -> v1::TaskInfo {
    let network = v1::NetworkInfo { name: Some(name.to_owned()), ..v1::NetworkInfo::default() };
    let container = task.executor.as_mut().unwrap().container.get_or_insert_default();
    container.r#type.get_or_insert(v1::container_info::Type::Mesos as i32);
    container.network_infos = vec![network];
    task
}

async fn environment_of(agent: &TestAgent) -> String {
    let environment = agent.sandbox("e").join("environment");
    eventually("the program runs", || environment.exists()).await;
    std::fs::read_to_string(environment).unwrap()
}

fn value(environment: &str, name: &str) -> Option<String> {
    environment.lines().find_map(|line| line.strip_prefix(&format!("{name}=")).map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_without_a_network_is_heard_over_the_socket_also_by_the_next_agent() {
    let program = Program::new();
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    agent.config.http_executor_domain_sockets = true;
    agent.config.authenticate_http_executors = true;
    agent.config.executor_reregistration_timeout = PATIENCE;
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    link.launch_on(in_network(task("t", &program.speaking()), "none"), true).await;
    let before = link.until("t", TaskState::TaskRunning).await;
    let acknowledged = agent.sandbox("e").join("acknowledged");
    eventually("the executor waits for nothing", || acknowledged.exists()).await;
    first.kill();
    let second = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    link.kill("t").await;
    let after = link.until("t", TaskState::TaskKilled).await;
    let pid = |status: &v1::TaskStatus| status.container_status.as_ref().unwrap().executor_pid;
    assert_eq!(pid(&before), pid(&after), "it is the same process");

    let environment = environment_of(&agent).await;
    let socket = value(&environment, "MESOS_DOMAIN_SOCKET").unwrap();
    let of = |token: Option<&str>| Speaker {
        address: socket.clone(),
        token: token.map(str::to_owned),
        media: Media::Json,
    };
    assert_eq!(of(None).subscribe(&[]).err(), Some(401));
    assert_eq!(of(Some("guess")).subscribe(&[]).err(), Some(401));
    let token = value(&environment, "MESOS_EXECUTOR_AUTHENTICATION_TOKEN").unwrap();
    for path in ["/api/v1", "/state", "/files/read", "/logging/toggle"] {
        assert_eq!(of(Some(&token)).call_at(path), 404, "{path} is not for executors");
    }
    let lacks = format!("test -d /run && test ! -e {socket}");
    link.launch(command_task("plain", &lacks)).await;
    link.until("plain", TaskState::TaskFinished).await;
    for group in agent.containers() {
        agent.cgroups().group(&group).kill().unwrap();
    }
    eventually("nothing is left of it", || agent.containers().is_empty()).await;
    second.stop().await;
    assert!(
        !std::path::Path::new(&socket).parent().unwrap().exists(),
        "an agent without executors leaves nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_with_an_image_sees_the_socket_and_cannot_change_it() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = agent_with_image(&master);
    agent.config.http_executor_domain_sockets = true;
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let line = "test -S \"$MESOS_DOMAIN_SOCKET\" || exit 3; rm -f \"$MESOS_DOMAIN_SOCKET\"; test -S \"$MESOS_DOMAIN_SOCKET\" || exit 4; exit 7";
    let mut wanted = task("t", line);
    wanted.executor.as_mut().unwrap().container = Some(mesos_image("box:v1"));
    link.launch_on(wanted, true).await;
    let status = link.until("t", TaskState::TaskFailed).await;
    assert_eq!(status.message.as_deref(), Some("Executor exited with status 7"));
    eventually("nothing is left of it", || agent.containers().is_empty()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_socket_a_network_of_its_own_is_refused() {
    let (_master, _agent, running, mut link) = registered().await;
    link.launch_on(in_network(task("t", "true"), "none"), true).await;
    let status = link.until("t", TaskState::TaskError).await;
    assert_eq!(status.reason, Some(Reason::TaskInvalid as i32));
    let said = status.message.unwrap();
    assert!(said.starts_with("executor.container.network_infos[0].name is not"), "{said}");
    assert!(said.contains("--http-executor-domain-sockets"), "{said}");
    running.stop().await;
}
