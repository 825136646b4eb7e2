//! Checks against real tasks, which are asked from inside their network. Needs root and python3.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::*;
use chapada_wire::v1::task_status::Reason;
use chapada_wire::v1::{self, TaskState, check_info, health_check};

/// Answers every request with a status that stands in the file `status`, if that is there.
const SERVER: &str = r#"exec python3 -c '
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = open("status").read() if os.path.exists("status") else "200"
        self.send_response(int(status))
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
'"#;

fn server(id: &str, port: u16) -> v1::TaskInfo {
    let mut task = command_task(id, &SERVER.replace("PORT", &port.to_string()));
    task.resources[0].scalar = Some(v1::value::Scalar { value: Some(1.0) });
    task
}

/// Free a moment ago, each time another, and none of those that the kernel hands out by itself (so that no connection of
/// another test takes it before its server does), that the harness does, or that agents offer.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + u16::try_from(number % 2_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Puts a file into a task's sandbox, of which who reads it meanwhile sees nothing or all.
fn put(agent: &TestAgent, task: &str, name: &str, content: &str) {
    let aside = agent.sandbox(task).join("aside");
    std::fs::write(&aside, content).unwrap();
    std::fs::rename(aside, agent.sandbox(task).join(name)).unwrap();
}

fn health(port: u16) -> v1::HealthCheck {
    v1::HealthCheck {
        r#type: Some(health_check::Type::Http as i32),
        http: Some(health_check::HttpCheckInfo { port: Some(port.into()), ..Default::default() }),
        delay_seconds: Some(0.0),
        interval_seconds: Some(0.05),
        timeout_seconds: Some(10.0),
        grace_period_seconds: Some(60.0),
        ..v1::HealthCheck::default()
    }
}

fn alone(task: &mut v1::TaskInfo) {
    let network = v1::NetworkInfo { name: Some("none".to_owned()), ..v1::NetworkInfo::default() };
    task.container = Some(v1::ContainerInfo {
        r#type: Some(v1::container_info::Type::Mesos as i32),
        network_infos: vec![network],
        ..v1::ContainerInfo::default()
    });
}

fn reason_of(status: &v1::TaskStatus) -> Option<Reason> {
    status.reason.and_then(|reason| Reason::try_from(reason).ok())
}

async fn until_checked(link: &mut Link, what: impl Fn(&v1::TaskStatus) -> bool) -> v1::TaskStatus {
    loop {
        let status = link.update().await;
        if what(&status) {
            return status;
        }
        assert_eq!(state_of(&status), TaskState::TaskRunning, "{status:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ill_task_is_killed_and_the_end_says_so() {
    let (_master, agent, running, mut link) = registered().await;
    let port = free_port();
    let mut task = server("t", port);
    task.health_check = Some(health(port));
    link.launch(task).await;
    assert_eq!(link.until("t", TaskState::TaskRunning).await.healthy, None);
    let well = link.update().await;
    assert_eq!((well.healthy, reason_of(&well)), (Some(true), Some(Reason::TaskHealthCheckStatusUpdated)));
    put(&agent, "t", "status", "503");
    let ill = until_checked(&mut link, |status| status.healthy == Some(false)).await;
    assert_eq!(
        ill.message.as_deref(),
        Some("health check failed 1 times in a row: the answer has status 503")
    );
    let end = link.until("t", TaskState::TaskKilled).await;
    assert_eq!(end.healthy, Some(false));
    eventually("the container is removed", || agent.containers().is_empty()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_speaks_tls_is_asked_so_whoever_signed_its_certificate() {
    let (_master, agent, running, mut link) = registered().await;
    let made = rcgen::generate_simple_self_signed(vec!["elsewhere".to_owned()]).unwrap();
    let pem = made.cert.pem() + &made.signing_key.serialize_pem();
    let plain = server("plain", free_port());
    for (id, speaks_tls) in [("tls", true), ("plain", false)] {
        let port = free_port();
        let wrapped = SERVER.replace(
            "http.server.HTTPServer((\"127.0.0.1\", PORT), Handler).serve_forever()",
            &format!(
                "import ssl\nopen(\"pem\", \"w\").write(os.environ[\"PEM\"])\n\
             server = http.server.HTTPServer((\"127.0.0.1\", {port}), Handler)\n\
             context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\ncontext.load_cert_chain(\"pem\")\n\
             server.socket = context.wrap_socket(server.socket, server_side=True)\nserver.serve_forever()"
            ),
        );
        let mut task = if speaks_tls { command_task(id, &wrapped) } else { server(id, port) };
        task.resources = plain.resources.clone();
        let variable = v1::environment::Variable {
            name: Some("PEM".to_owned()),
            value: Some(pem.clone()),
            ..v1::environment::Variable::default()
        };
        task.command.as_mut().unwrap().environment = Some(v1::Environment { variables: vec![variable] });
        let mut check = health(port);
        check.http.as_mut().unwrap().scheme = Some("https".to_owned());
        check.grace_period_seconds = Some(if speaks_tls { 60.0 } else { 0.0 });
        task.health_check = Some(check);
        link.launch(task).await;
        let found = until_checked_of(&mut link, id, |status| status.healthy.is_some()).await;
        assert_eq!(found.healthy, Some(speaks_tls), "{found:?}");
    }
    link.kill("tls").await;
    link.until("tls", TaskState::TaskKilled).await;
    eventually("nothing is left", || agent.containers().is_empty()).await;
    running.stop().await;
}

/// The same of one task, whatever others do.
async fn until_checked_of(
    link: &mut Link,
    task: &str,
    what: impl Fn(&v1::TaskStatus) -> bool,
) -> v1::TaskStatus {
    loop {
        let status = link.update().await;
        if id_of(&status) == task && what(&status) {
            return status;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_in_a_network_of_its_own_is_asked_there_and_asked_again_after_a_restart() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let port = free_port();
    let mut task = server("t", port);
    alone(&mut task);
    let http = check_info::Http { port: Some(port.into()), path: Some("/x".to_owned()) };
    task.check = Some(v1::CheckInfo {
        r#type: Some(check_info::Type::Http as i32),
        http: Some(http),
        delay_seconds: Some(0.0),
        interval_seconds: Some(0.05),
        ..v1::CheckInfo::default()
    });
    let tcp = health_check::TcpCheckInfo { port: Some(port.into()), ..Default::default() };
    task.health_check = Some(v1::HealthCheck {
        r#type: Some(health_check::Type::Tcp as i32),
        http: None,
        tcp: Some(tcp),
        ..health(port)
    });
    link.launch(task).await;
    let status_code = |status: &v1::TaskStatus| {
        status.check_status.and_then(|check| check.http).and_then(|http| http.status_code)
    };
    let all = |code| {
        move |status: &v1::TaskStatus| status.healthy == Some(true) && status_code(status) == Some(code)
    };
    until_checked(&mut link, |status| state_of(status) == TaskState::TaskStarting).await;
    until_checked(&mut link, all(200)).await;
    first.kill();
    put(&agent, "t", "status", "418");
    let second = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let status = until_checked(&mut link, all(418)).await;
    assert_eq!(reason_of(&status), Some(Reason::TaskCheckStatusUpdated));
    link.kill("t").await;
    link.until("t", TaskState::TaskKilled).await;
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_hangs_delays_no_kill() {
    let (_master, _agent, running, mut link) = registered().await;
    // Takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut task = command_task("t", "trap '' TERM; while :; do sleep 1; done");
    task.health_check = Some(v1::HealthCheck { timeout_seconds: Some(0.0), ..health(port) });
    let grace = v1::DurationInfo { nanoseconds: Some(100_000_000) };
    task.kill_policy = Some(v1::KillPolicy { grace_period: Some(grace) });
    link.launch(task).await;
    link.until("t", TaskState::TaskRunning).await;
    let (mut open, _) = silent.accept().unwrap();
    // The connection is there before anything is said on it: the check hangs when it has asked.
    let mut asked = [0; 16];
    std::io::Read::read_exact(&mut open, &mut asked).unwrap();
    assert_eq!(&asked, b"GET / HTTP/1.1\r\n");
    link.kill("t").await;
    // An hour would pass otherwise.
    link.until("t", TaskState::TaskKilled).await;
    // The probe is dropped with the task.
    std::io::Read::read_to_end(&mut open, &mut Vec::new()).unwrap();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_takes_too_long_fails() {
    let (_master, agent, running, mut link) = registered().await;
    let mut task = command_task("t", "trap '' TERM; while :; do sleep 1; done");
    task.max_completion_time = Some(v1::DurationInfo { nanoseconds: Some(200_000_000) });
    link.launch(task).await;
    let end = link.until("t", TaskState::TaskFailed).await;
    assert_eq!(reason_of(&end), Some(Reason::MaxCompletionTimeReached));
    eventually("the container is removed", || agent.containers().is_empty()).await;
    running.stop().await;
}

fn command_check(value: &str) -> v1::CommandInfo {
    v1::CommandInfo { value: Some(value.to_owned()), ..v1::CommandInfo::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_run_in_the_tasks_container_as_its_user() {
    let (_master, agent, running, mut link) = registered().await;
    let mut task = command_task("t", "touch /tmp/mine; exec sleep 1000");
    task.command.as_mut().unwrap().user = Some("nobody".to_owned());
    let inside = "test -e /tmp/mine && test \"$(id -un)\" = nobody && test \"$MESOS_TASK_ID\" = t";
    let look = format!("if {inside}; then exit $(cat code 2>/dev/null || echo 7); fi; exit 99");
    task.check = Some(v1::CheckInfo {
        r#type: Some(check_info::Type::Command as i32),
        command: Some(check_info::Command { command: Some(command_check(&look)) }),
        delay_seconds: Some(0.0),
        interval_seconds: Some(0.05),
        ..v1::CheckInfo::default()
    });
    task.health_check = Some(v1::HealthCheck {
        r#type: Some(health_check::Type::Command as i32),
        http: None,
        command: Some(command_check("exec sleep 1000")),
        timeout_seconds: Some(0.2),
        grace_period_seconds: Some(0.0),
        consecutive_failures: Some(1_000_000),
        ..health(0)
    });
    link.launch(task).await;
    link.until("t", TaskState::TaskRunning).await;
    let code = |status: &v1::TaskStatus| {
        status.check_status.and_then(|check| check.command).and_then(|command| command.exit_code)
    };
    until_checked(&mut link, |status| code(status) == Some(7)).await;
    let ill = until_checked(&mut link, |status| status.healthy == Some(false)).await;
    assert!(ill.message.unwrap().contains("no answer within 200ms"));
    put(&agent, "t", "code", "3");
    until_checked(&mut link, |status| code(status) == Some(3)).await;
    link.kill("t").await;
    link.until("t", TaskState::TaskKilled).await;
    eventually("the container is removed", || agent.containers().is_empty()).await;
    running.stop().await;
}
