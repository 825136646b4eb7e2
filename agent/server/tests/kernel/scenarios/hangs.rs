//! 23: whatever hangs, a kill ends its task, and others go on.

use chapada_wire::Media;
use chapada_wire::v1::command_info::Uri;
use chapada_wire::v1::{self, TaskState, health_check};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use super::{grace, kill_all};
use crate::images::{image_task, mesos_image};
use crate::support::*;
use crate::tasks::sleepers;

const STUBBORN: &str = "trap '' TERM; while :; do sleep 0.05; done";

/// Takes connections and says nothing.
struct Silent(TcpListener);

impl Silent {
    async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn host(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    /// Somebody waits for an answer.
    async fn asked(&self) -> TcpStream {
        tokio::time::timeout(PATIENCE, self.0.accept()).await.expect("nobody asked").unwrap().0
    }
}

fn uri_task(id: &str, uri: String) -> v1::TaskInfo {
    let mut task = command_task(id, "true");
    task.command.as_mut().unwrap().uris = vec![Uri { value: Some(uri), ..Uri::default() }];
    task
}

/// A task that does not end, with a check that does not either.
fn checked_task(id: &str, check: v1::HealthCheck) -> v1::TaskInfo {
    let mut task = command_task(id, STUBBORN);
    let soon = v1::HealthCheck { delay_seconds: Some(0.0), timeout_seconds: Some(0.0), ..check };
    task.health_check = Some(soon);
    task
}

/// By HTTP or TCP at a port that takes connections only, and by a command that says that it runs.
fn http_check(port: u16) -> v1::HealthCheck {
    let http = health_check::HttpCheckInfo { port: Some(port.into()), ..Default::default() };
    let r#type = Some(health_check::Type::Http as i32);
    v1::HealthCheck { r#type, http: Some(http), ..v1::HealthCheck::default() }
}

fn command_check(line: String) -> v1::HealthCheck {
    let command = v1::CommandInfo { value: Some(line), ..v1::CommandInfo::default() };
    let r#type = Some(health_check::Type::Command as i32);
    v1::HealthCheck { r#type, command: Some(command), ..v1::HealthCheck::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_23_a_kill_ends_a_task_whatever_hangs_and_others_go_on() {
    let (pulls, artifacts, fetches, checks) =
        (Silent::start().await, Silent::start().await, Silent::start().await, Silent::start().await);
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    agent.config.insecure_registries = vec![pulls.host(), artifacts.host()];
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let address = link.hello.address.clone();
    // Nobody else sleeps for so long.
    let seconds = format!("{}.23", 1_000_000 + std::process::id());
    let sleep = format!("trap '' TERM; sleep {seconds}");

    let tasks = [
        image_task("pull", mesos_image(&format!("{}/a:v1", pulls.host())), Some("true")),
        uri_task("artifact", format!("oci://{}/a:v1", artifacts.host())),
        uri_task("fetch", format!("http://{}/a", fetches.host())),
        checked_task("http-check", http_check(checks.0.local_addr().unwrap().port())),
        checked_task("command-check", command_check(sleep.clone())),
        command_task("session", STUBBORN),
    ];
    let ids: Vec<String> = tasks.iter().map(|task| task.name.clone().unwrap()).collect();
    for mut task in tasks {
        task.kill_policy = Some(grace(100));
        link.launch(task).await;
    }
    let mut container = None;
    while container.is_none() {
        let status = link.update().await;
        let is_it = id_of(&status) == "session" && state_of(&status) == TaskState::TaskRunning;
        container = status.container_status.and_then(|status| status.container_id).filter(|_| is_it);
    }
    let parent = container.unwrap().value.unwrap();
    let launch = json!({ "container_id": { "value": "hangs", "parent": { "value": parent } },
        "command": { "value": sleep }, "container": { "type": "MESOS" } });
    let call =
        json!({ "type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session": launch });
    let session = Output::open(&address, Media::Json, &call).await;
    assert_eq!(session.status, 200);
    let waiting = [pulls.asked().await, artifacts.asked().await, fetches.asked().await, checks.asked().await];
    eventually("the command of a check, and one in a session, run", || sleepers(&seconds) == 2).await;

    link.launch(command_task("other", "true")).await;
    link.until("other", TaskState::TaskFinished).await;
    kill_all(&mut link, &ids).await;
    eventually("what hung is gone", || sleepers(&seconds) == 0).await;
    eventually("and so are the containers", || agent.containers().is_empty()).await;
    drop(waiting);
    running.stop().await;
}
