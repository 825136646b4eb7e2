//! Files of sandboxes, over HTTP and through the relay, and attempts to get at others. Needs root.

use crate::support::*;
use chapada_wire::link::{self, ToRelay, from_relay, open_relay, to_agent};
use chapada_wire::v1::TaskState;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Status and body of a GET.
pub(crate) async fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn sandboxes_are_read_and_nothing_else() {
    let (_master, agent, running, mut link) = registered().await;
    let address = link.hello.address.clone();
    let command =
        "echo hello; ln -s /etc/passwd out; ln -s / outside; mkdir dir; echo x > dir/file; mkfifo fifo";
    link.launch(command_task("t", command)).await;
    link.until("t", TaskState::TaskFinished).await;

    let sandbox = "/frameworks/framework-1/executors/t/runs/latest";
    let (status, body) = get(&address, &format!("/files/browse?path={sandbox}")).await;
    assert_eq!(status, 200, "{body}");
    let listed: serde_json::Value = serde_json::from_str(&body).unwrap();
    let names: Vec<&str> =
        listed.as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert!(names.contains(&"/frameworks/framework-1/executors/t/runs/latest/stdout"), "{names:?}");
    let (status, body) =
        get(&address, &format!("/slave(1)/files/read.json?path={sandbox}/stdout&offset=1&length=3")).await;
    assert_eq!((status, body.as_str()), (200, r#"{"data":"ell","offset":1}"#));
    let (_, body) = get(&address, &format!("/files/read?path={sandbox}/stdout")).await;
    assert_eq!(body, r#"{"data":"","offset":6}"#);
    let (status, body) = get(&address, &format!("/files/download?path={sandbox}/dir/file")).await;
    assert_eq!((status, body.as_str()), (200, "x\n"));
    let real = std::fs::canonicalize(agent.sandbox("t")).unwrap();
    let (status, _) = get(&address, &format!("/files/read?path={}/stdout", real.display())).await;
    assert_eq!(status, 200, "as a path on disk, which is how /state names it");

    for bad in [
        format!("{sandbox}/out"),
        format!("{sandbox}/outside/etc/passwd"),
        format!("{sandbox}/../../../../../../../../agent.log"),
        format!("{sandbox}/%2e%2e/%2e%2e/latest/stdout"),
        format!("{sandbox}/fifo"),
        format!("{sandbox}/dir"),
        format!("{sandbox}/nothing"),
        "/etc/passwd".to_owned(),
        "/proc/self/environ".to_owned(),
        agent.config.work_dir.join("agent.log").display().to_string(),
        "/frameworks/framework-1/executors/t/runs/../runs/latest/stdout".to_owned(),
        "relative".to_owned(),
    ] {
        let (status, body) = get(&address, &format!("/files/read?path={bad}&offset=0")).await;
        assert!((400..500).contains(&status), "{bad}: {status} {body}");
        let (status, body) = get(&address, &format!("/files/download?path={bad}")).await;
        assert!((400..500).contains(&status), "{bad}: {status} {body}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_answers() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    agent.config.resources = Some("cpus:4;mem:1024;disk:1024;cpus(ops):2".to_owned());
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let address = link.hello.address.clone();
    link.launch(command_task("t", "exec sleep 1000")).await;
    link.until("t", TaskState::TaskRunning).await;
    for path in
        ["health", "version", "flags", "state", "containers", "monitor/statistics", "metrics/snapshot"]
    {
        for path in [format!("/{path}"), format!("/{path}.json"), format!("/slave(1)/{path}")] {
            assert_eq!(get(&address, &path).await.0, 200, "{path}");
        }
    }
    let json = |body: String| serde_json::from_str::<serde_json::Value>(&body).unwrap();
    let state = json(get(&address, "/state").await.1);
    assert_eq!(state["id"], "agent-1");
    assert_eq!(state["frameworks"][0]["executors"][0]["tasks"][0]["state"], "TASK_RUNNING");
    let amount = |list: &serde_json::Value| list["cpus"].as_f64().unwrap_or_default();
    assert_eq!(amount(&state["reserved_resources"]["ops"]), 2.0);
    assert_eq!(amount(&state["unreserved_resources"]), 4.0);
    assert_eq!(amount(&state["resources"]), 6.0);
    let containers = json(get(&address, "/containers").await.1);
    assert_eq!(containers[0]["executor_id"], "t");
    assert!(containers[0]["status"]["executor_pid"].as_u64().unwrap() > 1);
    assert_eq!(containers[0]["statistics"]["mem_limit_bytes"], 64 << 20);
    let (_, page) = get(&address, "/metrics").await;
    assert!(page.contains("\nchapada_agent_tasks_running 1\n"), "{page}");
    link.kill("t").await;
    link.until("t", TaskState::TaskKilled).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_kept_as_far_as_the_operator_says() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    (agent.config.max_log_size, agent.config.max_log_files) = (chapada_agent::Bytes(8192), 2);
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    link.launch(command_task("t", "seq 1 20000; seq 1 20000 >&2")).await;
    link.until("t", TaskState::TaskFinished).await;
    for name in ["stdout", "stderr"] {
        let length =
            |name: String| std::fs::metadata(agent.sandbox("t").join(name)).map_or(0, |found| found.len());
        let (now, before) = (length(name.to_owned()), length(format!("{name}.1")));
        assert!(now > 0 && now <= 8192 && before > 0 && before <= 8192, "{name}: {now} and {before}");
        assert_eq!(length(format!("{name}.2")), 0, "{name}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_through_the_relay_to_its_end() {
    let (mut master, agent, running, mut link) = registered().await;
    link.launch(command_task("t", "echo one; while [ ! -e go ]; do sleep 0.02; done; echo two")).await;
    link.until("t", TaskState::TaskRunning).await;
    let of = |path: &str| {
        let (framework_id, task_id) = ("framework-1".to_owned(), "t".to_owned());
        Some(link::SandboxPath { framework_id, task_id, path: path.to_owned() })
    };
    let read = link::ReadFile { of: of("stdout"), follow: true, ..link::ReadFile::default() };
    let open = link::OpenRelay { token: "k".to_owned(), request: Some(open_relay::Request::Read(read)) };
    link.say(to_agent::Message::OpenRelay(open)).await;
    let (credit, mut messages) = master.relay().await;
    credit.send(Ok(ToRelay { credit: 1 << 20, ..ToRelay::default() })).await.unwrap();
    let Some(from_relay::Message::Hello(hello)) = messages.message().await.unwrap().unwrap().message else {
        panic!("a relay begins with Hello")
    };
    assert_eq!(hello.token, "k");
    let mut seen = String::new();
    loop {
        match messages.message().await.unwrap().unwrap().message.unwrap() {
            from_relay::Message::Chunk(chunk) => {
                assert_eq!(chunk.offset as usize, seen.len());
                seen.push_str(std::str::from_utf8(&chunk.data).unwrap());
                if seen == "one\n" {
                    std::fs::write(agent.sandbox("t").join("go"), "").unwrap();
                }
            }
            from_relay::Message::Done(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, "one\ntwo\n");

    let browse = link::BrowseFiles { of: of("../../..") };
    let open = link::OpenRelay { token: "l".to_owned(), request: Some(open_relay::Request::Browse(browse)) };
    link.say(to_agent::Message::OpenRelay(open)).await;
    let (_credit, mut messages) = master.relay().await;
    messages.message().await.unwrap();
    let answer = messages.message().await.unwrap().unwrap().message.unwrap();
    assert!(matches!(answer, from_relay::Message::Failed(_)), "{answer:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_at_the_agent_until_its_task_ends() {
    let (_master, agent, running, mut link) = registered().await;
    let address = link.hello.address.clone();
    link.launch(command_task("t", "echo first; while [ ! -e go ]; do sleep 0.02; done; echo last")).await;
    link.until("t", TaskState::TaskRunning).await;
    let sandbox = std::fs::canonicalize(agent.sandbox("t")).unwrap();
    let stdout = sandbox.join("stdout").display().to_string();
    let latest = "/frameworks/framework-1/executors/t/runs/latest/stdout";
    let following = {
        let (address, path) = (address.clone(), format!("/files/follow?path={latest}&offset=1"));
        tokio::spawn(async move { get(&address, &path).await })
    };
    eventually("it has begun", || std::fs::read_to_string(&stdout).unwrap() == "first\n").await;
    std::fs::write(sandbox.join("go"), "").unwrap();
    let (status, followed) = following.await.unwrap();
    assert_eq!(status, 200);
    assert!(followed.contains("irst\n") && followed.contains("last\n"), "{followed}");
    let (status, again) = get(&address, &format!("/files/follow?path={stdout}&offset=0")).await;
    assert!(status == 200 && again.contains("first\n"), "what has ended is sent and that is all: {again}");
    running.stop().await;
}
