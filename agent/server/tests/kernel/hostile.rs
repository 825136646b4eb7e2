//! What is sent to an agent's port to hurt it, and executors that speak for others. Needs root.

use std::io::{Read, Write};
use std::net::TcpStream;

use chapada_wire::link::{self, to_agent};
use chapada_wire::v1::{self, TaskState};
use serde_json::{Value, json};

use crate::files::get;
use crate::support::*;

const APIS: [&str; 2] = ["/api/v1", "/api/v1/executor"];
const DEPTH: usize = 100_000;
const HUGE: usize = 100 << 20;
/// What such a request may cost for a moment, allocator and all. A body that is read whole is at most 8 MiB.
const MOST_GROWTH_KIB: u64 = 64 << 10;

/// A connection with this head and body sent, as far as they are taken.
fn sent(address: &str, head: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let whole = [head.as_bytes(), body].concat();
    // It may be cut off for what it says.
    drop(stream.write_all(&whole));
    stream
}

/// Status and body of the answer; `None` when the connection was cut.
fn answer(mut stream: TcpStream) -> Option<(u16, String)> {
    let mut bytes = Vec::new();
    // A reset after the answer is an end.
    drop(stream.read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1)?.parse().ok()?;
    Some((status, text.split_once("\r\n\r\n")?.1.to_owned()))
}

fn post(address: &str, path: &str, media: &str, token: Option<&str>, body: &[u8]) -> Option<(u16, String)> {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {media}\r\nAccept: {media}\r\n{token}Connection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    answer(sent(address, &head, body))
}

fn resident_kib(process: &AgentProcess) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The agent answers, and runs tasks.
async fn is_well(link: &mut Link, address: &str, after: &str) {
    assert_eq!(get(address, "/health").await.0, 200, "{after}");
    link.launch(command_task(after, "true")).await;
    link.until(after, TaskState::TaskFinished).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_json_deep_protobuf_and_bodies_of_100_mb() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let process = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let address = link.hello.address.clone();
    is_well(&mut link, &address, "before").await;
    let before = resident_kib(&process);
    let deep = [
        format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH)),
        format!("{}1{}", r#"{"type":"#.repeat(DEPTH), "}".repeat(DEPTH)),
        format!(r#"{{"type":"UPDATE","update":{}"#, r#"{"status":"#.repeat(DEPTH)),
        format!(
            r#"{{"type":"WAIT_CONTAINER","wait_container":{{"container_id":{}"#,
            r#"{"parent":"#.repeat(DEPTH)
        ),
    ];
    for api in APIS {
        for body in &deep {
            let (status, said) = post(&address, api, "application/json", None, body.as_bytes()).unwrap();
            assert_eq!(status, 400, "{api}: {said}");
        }
        for body in [vec![0x0b; DEPTH], vec![0x7b; DEPTH]] {
            let (status, said) = post(&address, api, "application/x-protobuf", None, &body).unwrap();
            assert_eq!(status, 400, "{api}: {said}");
        }
        let head = |length: &str| {
            format!(
                "POST {api} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
            )
        };
        let piece = vec![b' '; HUGE];
        let refused = answer(sent(&address, &head(&format!("Content-Length: {HUGE}")), &piece));
        assert!(refused.is_none_or(|(status, _)| status == 413), "{api}");
        let chunk = [format!("{HUGE:x}\r\n").as_bytes(), &piece].concat();
        let refused = answer(sent(&address, &head("Transfer-Encoding: chunked"), &chunk));
        assert!(refused.is_none_or(|(status, _)| status == 413), "{api}");
    }
    is_well(&mut link, &address, "after").await;
    let growth = resident_kib(&process).saturating_sub(before);
    assert!(growth < MOST_GROWTH_KIB, "it grew by {growth} KiB");
    drop(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_send_next_to_nothing() {
    const EACH: usize = 200;
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let process = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let address = link.hello.address.clone();
    let begun = "Host: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 8000000\r\n\r\n{";
    let beginnings = [
        String::new(),
        "P".to_owned(),
        "GET /state HTTP/1.1\r\nHost: 127.0.0.1\r\nX: y".to_owned(),
        format!("POST /api/v1 HTTP/1.1\r\n{begun}"),
        format!("POST /api/v1/executor HTTP/1.1\r\n{begun}"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0".to_owned(),
    ];
    let mut open: Vec<TcpStream> = Vec::new();
    for beginning in &beginnings {
        open.extend((0..EACH).map(|_| sent(&address, beginning, b"")));
    }
    is_well(&mut link, &address, "among").await;
    for stream in &mut open {
        // Those that were cut by now take none.
        drop(stream.write_all(b"x"));
    }
    is_well(&mut link, &address, "later").await;
    drop((open, process));
}

/// A task of an executor of this name, which writes its environment down.
fn task(framework: &str, executor: &str, id: &str) -> v1::TaskInfo {
    let plain = command_task(id, "env > env; mv env environment; exec sleep 1000");
    let executor = v1::ExecutorInfo {
        r#type: Some(v1::executor_info::Type::Custom as i32),
        executor_id: Some(v1::ExecutorId { value: Some(executor.to_owned()) }),
        framework_id: Some(v1::FrameworkId { value: Some(framework.to_owned()) }),
        command: plain.command.clone(),
        resources: plain.resources.clone(),
        ..v1::ExecutorInfo::default()
    };
    v1::TaskInfo { command: None, executor: Some(executor), ..plain }
}

async fn launch(link: &mut Link, framework: &str, task: v1::TaskInfo) {
    let framework = v1::FrameworkInfo {
        user: Some("root".to_owned()),
        name: Some(framework.to_owned()),
        id: Some(v1::FrameworkId { value: Some(framework.to_owned()) }),
        ..v1::FrameworkInfo::default()
    };
    let launch = link::Launch { framework: Some(framework), task: Some(task), launch_executor: true };
    link.say(to_agent::Message::Launch(launch)).await;
}

/// The token in the environment of an executor, once it runs.
async fn token(agent: &TestAgent, framework: &str, executor: &str) -> String {
    let executor = format!("slaves/agent-1/frameworks/{framework}/executors/{executor}/runs/latest");
    let environment = agent.config.work_dir.join(executor).join("environment");
    eventually("the executor runs", || environment.exists()).await;
    let environment = std::fs::read_to_string(environment).unwrap();
    let name = "MESOS_EXECUTOR_AUTHENTICATION_TOKEN=";
    environment.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned()
}

/// An executor's call, by what it says that it is and the token that it shows.
struct Caller<'a> {
    address: &'a str,
    framework: &'a str,
    executor: &'a str,
    token: &'a str,
}

impl Caller<'_> {
    fn call(&self, mut call: Value) -> TcpStream {
        call["framework_id"] = json!({ "value": self.framework });
        call["executor_id"] = json!({ "value": self.executor });
        let body = call.to_string();
        let head = format!(
            "POST /api/v1/executor HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            self.address,
            self.token,
            body.len()
        );
        sent(self.address, &head, body.as_bytes())
    }

    fn subscribe(&self) -> TcpStream {
        self.call(json!({ "type": "SUBSCRIBE", "subscribe": {} }))
    }

    /// The status of the answer to an update.
    fn update(&self, task: &str, letter: &str, state: &str) -> u16 {
        let status = json!({ "task_id": { "value": task }, "state": state, "source": "SOURCE_EXECUTOR",
            "uuid": format!("{}A==", letter.repeat(21)) });
        answer(self.call(json!({ "type": "UPDATE", "update": { "status": status } }))).unwrap().0
    }
}

/// The status line of an answer that does not end.
fn status_of(stream: &mut TcpStream) -> u16 {
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    String::from_utf8_lossy(&head[9..]).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_speaks_for_itself_alone_and_not_when_it_is_over() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    agent.config.authenticate_http_executors = true;
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let address = link.hello.address.clone();
    launch(&mut link, "framework-1", task("framework-1", "mine", "m")).await;
    launch(&mut link, "framework-2", task("framework-2", "theirs", "t")).await;
    let (own, foreign) =
        (token(&agent, "framework-1", "mine").await, token(&agent, "framework-2", "theirs").await);
    let mine = Caller { address: &address, framework: "framework-1", executor: "mine", token: &own };
    let theirs = Caller { address: &address, framework: "framework-2", executor: "theirs", token: &foreign };
    let mut streams = [mine.subscribe(), theirs.subscribe()];
    assert_eq!(streams.each_mut().map(status_of), [200, 200]);

    // By another's name with its own token: refused, for every call.
    let posing = Caller { token: &own, ..theirs };
    assert_eq!(status_of(&mut posing.subscribe()), 401);
    assert_eq!(posing.update("t", "A", "TASK_FINISHED"), 401);
    // By names that do not belong together, or to nobody.
    for (framework, executor) in [("framework-1", "theirs"), ("framework-2", "mine"), ("framework-3", "mine")]
    {
        let nobody = Caller { framework, executor, ..mine };
        assert!((400..=401).contains(&nobody.update("t", "B", "TASK_FINISHED")), "{framework} {executor}");
    }
    // By its own name about another's task, or one of nobody: taken as a lost one of its own would be, and nothing happens.
    assert_eq!(mine.update("t", "C", "TASK_FAILED"), 202);
    assert_eq!(mine.update("nobody", "D", "TASK_FAILED"), 202);
    assert_eq!(theirs.update("t", "E", "TASK_RUNNING"), 202);
    let status = link.update_of("framework-2").await;
    assert_eq!((id_of(&status), state_of(&status)), ("t".to_owned(), TaskState::TaskRunning));
    assert_eq!(mine.update("m", "F", "TASK_RUNNING"), 202);
    let status = link.update_of("framework-1").await;
    assert_eq!((id_of(&status), state_of(&status)), ("m".to_owned(), TaskState::TaskRunning));

    // One that is over says nothing more, not even about its own task.
    let over =
        link::ShutdownExecutor { framework_id: "framework-1".to_owned(), executor_id: "mine".to_owned() };
    link.say(to_agent::Message::ShutdownExecutor(over)).await;
    let status = link.update_of("framework-1").await;
    assert_ne!(state_of(&status), TaskState::TaskRunning);
    eventually("its container is gone", || agent.containers().len() == 1).await;
    assert!((400..=403).contains(&mine.update("m", "G", "TASK_FINISHED")));
    assert!((400..=403).contains(&status_of(&mut mine.subscribe())));
    assert_eq!(theirs.update("t", "H", "TASK_FINISHED"), 202, "others go on");
    let status = link.update_of("framework-2").await;
    assert_eq!(state_of(&status), TaskState::TaskFinished);
    drop(streams);
    running.stop().await;
}

/// Sends each of these requests from an address of its own to another, and says the first line of each answer.
const ATTACK: &str = "
import socket, sys
own, host, port, *requests = sys.argv[1:]
for request in requests:
    end = socket.create_connection((host, int(port)), source_address=(own, 0) if own else None)
    end.sendall(request.encode())
    print(end.makefile().readline(), end='')
";

#[test]
fn a_task_on_the_machines_network_does_not_command_its_agent_whatever_it_calls_from() {
    on_a_machine(|| async {
        for address in ["192.0.2.2/32", "2001:db8::2/128"] {
            let mut ip = std::process::Command::new("ip");
            assert!(ip.args(["address", "add", address, "dev", "lo"]).status().unwrap().success());
        }
        attack("127.0.0.1", &["", "127.0.0.9", "192.0.2.2"]).await;
        attack("0.0.0.0", &["192.0.2.2"]).await;
        attack("::1", &["", "2001:db8::2"]).await;
    });
}

/// Attacks an agent that listens there, from each of these addresses; from the usual one where it is empty.
async fn attack(at: &str, from: &[&str]) {
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    (agent.config.ip, agent.config.insecure) = (at.parse().unwrap(), true);
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let port = link.hello.address.rsplit_once(':').unwrap().1.to_owned();
    link.launch(command_task("victim", "echo secret; exec sleep 1000")).await;
    let status = link.until("victim", TaskState::TaskRunning).await;
    let victim = status.container_status.unwrap().container_id.unwrap().value.unwrap();
    let requests = requests(&victim, &agent.sandbox("victim").join("stdout"));
    for (number, own) in from.iter().enumerate() {
        let host = if at == "0.0.0.0" { "127.0.0.1" } else { at };
        let name = format!("attacker{number}");
        let mut task = command_task(&name, "/usr/bin/python3");
        let command = task.command.as_mut().unwrap();
        (command.shell, command.user) = (Some(false), Some("nobody".to_owned()));
        let arguments = ["python3", "-c", ATTACK, *own, host, &port].map(str::to_owned);
        command.arguments = arguments.into_iter().chain(requests.iter().cloned()).collect();
        link.launch(task).await;
        link.until(&name, TaskState::TaskFinished).await;
        let said = std::fs::read_to_string(agent.sandbox(&name).join("stdout")).unwrap();
        let statuses: Vec<&str> = said.lines().map(|line| line.split(' ').nth(1).unwrap_or(line)).collect();
        assert_eq!(statuses[0], "200", "{at} from {own}: {said}");
        let is_refused = statuses[1..].iter().all(|status| *status == "403");
        assert!(statuses.len() == requests.len() && is_refused, "{at} from {own}: {said}");
    }
    link.kill("victim").await;
    link.until("victim", TaskState::TaskKilled).await;
    running.stop().await;
}

/// A request that anybody may make, and those that tasks may not, about this container with this log.
fn requests(victim: &str, log: &std::path::Path) -> Vec<String> {
    let asks = |head: String, body: String| {
        let kind = if body.is_empty() { "x-www-form-urlencoded" } else { "json" };
        format!(
            "{head} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/{kind}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let call = |body: Value| asks("POST /api/v1".to_owned(), body.to_string());
    let id = json!({ "value": victim });
    let inner = json!({ "value": "inner", "parent": id });
    let command = json!({ "value": "true" });
    let scalar = |name, value| json!({ "name": name, "type": "SCALAR", "scalar": { "value": value } });
    let alone = json!({ "container_id": { "value": "alone" }, "command": command,
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)] });
    let get = |path: &str| asks(format!("GET {path}?path={}", log.display()), String::new());
    vec![
        call(json!({ "type": "GET_HEALTH" })),
        call(json!({ "type": "LAUNCH_CONTAINER", "launch_container": alone })),
        call(
            json!({ "type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session": { "container_id": inner, "command": command } }),
        ),
        call(
            json!({ "type": "LAUNCH_NESTED_CONTAINER", "launch_nested_container": { "container_id": inner, "command": command } }),
        ),
        call(json!({ "type": "KILL_CONTAINER", "kill_container": { "container_id": id } })),
        call(json!({ "type": "ATTACH_CONTAINER_OUTPUT", "attach_container_output": { "container_id": id } })),
        call(json!({ "type": "PRUNE_IMAGES" })),
        call(
            json!({ "type": "SET_LOGGING_LEVEL", "set_logging_level": { "level": 3, "duration": { "nanoseconds": 1 } } }),
        ),
        call(json!({ "type": "READ_FILE", "read_file": { "path": log, "offset": 0 } })),
        call(json!({ "type": "LIST_FILES", "list_files": { "path": log.parent() } })),
        get("/files/read"),
        get("/slave(1)/files/download"),
        asks("POST /logging/toggle?level=1&duration=1secs".to_owned(), String::new()),
    ]
}
