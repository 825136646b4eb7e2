//! What tasks want in their sandboxes before they start, from a server that answers, lies or hangs. Needs root.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::images::{agent_with_image, image_task, mesos_image};
use crate::operator::ask;
use crate::support::*;
use chapada_wire::v1::command_info::Uri;
use chapada_wire::v1::task_status::Reason;
use chapada_wire::v1::{self, TaskState};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Not a test: what the agents here start to fetch. Does nothing unless asked.
#[test]
fn fetcher_process() {
    chapada_agent::fetch_if_asked();
}

/// Serves these; what is not among them never gets an answer.
struct Server {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Server {
    async fn start(files: &[(&str, Vec<u8>)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let files: BTreeMap<String, Vec<u8>> =
            files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
        let (files, requests) = (Arc::new(files), Arc::new(AtomicUsize::new(0)));
        let seen = requests.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (files, seen) = (files.clone(), seen.clone());
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    let count = stream.read(&mut request).await.unwrap();
                    seen.fetch_add(1, Ordering::Relaxed);
                    let text = String::from_utf8_lossy(&request[..count]).into_owned();
                    let path = text.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap();
                    let Some(bytes) = files.get(path) else {
                        return std::future::pending::<()>().await;
                    };
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                        bytes.len()
                    );
                    stream.write_all(head.as_bytes()).await.unwrap();
                    stream.write_all(bytes).await.unwrap();
                });
            }
        });
        Self { address, requests }
    }

    fn uri(&self, path: &str) -> Uri {
        Uri { value: Some(format!("http://me:secret@{}{path}?token=secret", self.address)), ..Uri::default() }
    }
}

fn task(id: &str, command: &str, uris: Vec<Uri>) -> v1::TaskInfo {
    let mut task = command_task(id, command);
    task.command.as_mut().unwrap().uris = uris;
    task
}

/// As made by `tar`: a program that says what it finds.
fn bundle() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("app")).unwrap();
    std::fs::write(directory.path().join("app/run"), "#!/bin/sh\necho ran\n").unwrap();
    let tar = std::process::Command::new("tar")
        .args(["--create", "--gzip", "--mode=0755", "--file=-", "app"])
        .current_dir(directory.path())
        .output();
    tar.unwrap().stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fetched_is_there_before_the_command_and_is_the_users() {
    let (_master, agent, running, mut link) = registered().await;
    let server =
        Server::start(&[("/app.tgz", bundle()), ("/tool", b"#!/bin/sh\necho tool\n".to_vec())]).await;
    let digest = "sha256:2d9ff9b4d1e2c6e16f6d1b2b7d7ca0ab45b3b2a2f9bb0fd3e9bd3a0c1d4d6a5e";
    let uris = vec![
        server.uri("/app.tgz"),
        Uri { executable: Some(true), output_file: Some("bin/tool".to_owned()), ..server.uri("/tool") },
    ];
    let mut good = task("good", "app/run && bin/tool && id -un", uris);
    good.command.as_mut().unwrap().user = Some("nobody".to_owned());
    link.launch(good).await;
    link.until("good", TaskState::TaskFinished).await;
    let sandbox = agent.sandbox("good");
    assert_eq!(std::fs::read_to_string(sandbox.join("stdout")).unwrap(), "ran\ntool\nnobody\n");
    let (owner, file) =
        (std::fs::metadata(&sandbox).unwrap().uid(), std::fs::metadata(sandbox.join("app/run")).unwrap());
    assert_eq!(file.uid(), owner);
    assert_ne!(owner, 0);

    let uri = Uri { checksum: Some(digest.to_owned()), ..server.uri("/tool") };
    link.launch(task("wrong", "true", vec![uri])).await;
    let status = link.until("wrong", TaskState::TaskFailed).await;
    assert_eq!(Reason::try_from(status.reason.unwrap()), Ok(Reason::ContainerLaunchFailed));
    let message = status.message.unwrap();
    assert!(
        message.starts_with(&format!("cannot fetch http://{}/tool: its checksum is", server.address)),
        "{message}"
    );
    assert!(!message.contains("secret"), "{message}");
    eventually("the containers are removed", || agent.containers().is_empty()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_ends_a_fetch_that_hangs_and_others_do_not_wait_for_it() {
    let (_master, agent, running, mut link) = registered().await;
    let server = Server::start(&[]).await;
    for n in 0..20 {
        link.launch(task(&format!("hangs{n}"), "true", vec![server.uri("/never")])).await;
        assert_eq!(state_of(&link.update().await), TaskState::TaskStarting);
    }
    eventually("the server is asked", || server.requests.load(Ordering::Relaxed) > 0).await;
    link.launch(command_task("other", "true")).await;
    link.until("other", TaskState::TaskFinished).await;
    let (_, tasks) = ask(&link.hello.address, json!({ "type": "GET_TASKS" })).await;
    let tasks: Value = serde_json::from_str(&tasks).unwrap();
    let of_kind = |kind: &str| tasks["get_tasks"][kind].as_array().map_or(0, Vec::len);
    assert_eq!((of_kind("queued_tasks"), of_kind("launched_tasks")), (20, 0), "nothing of them runs");
    for n in 0..20 {
        link.kill(&format!("hangs{n}")).await;
    }
    for _ in 0..20 {
        let status = link.update().await;
        assert_eq!(state_of(&status), TaskState::TaskKilled, "{status:?}");
    }
    eventually("no fetcher is left", || agent.containers().is_empty()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cached_is_fetched_once() {
    let (_master, agent, running, mut link) = registered().await;
    let server = Server::start(&[("/app.tgz", bundle())]).await;
    for n in 0..5 {
        let uri = Uri { cache: Some(true), ..server.uri("/app.tgz") };
        link.launch(task(&format!("t{n}"), "app/run", vec![uri])).await;
    }
    let mut finished = 0;
    while finished < 5 {
        let status = link.update().await;
        assert_ne!(state_of(&status), TaskState::TaskFailed, "{status:?}");
        finished += usize::from(state_of(&status) == TaskState::TaskFinished);
    }
    assert_eq!(server.requests.load(Ordering::Relaxed), 1);
    assert_eq!(std::fs::read_dir(agent.config.work_dir.join("fetched")).unwrap().count(), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_machine_come_from_where_the_operator_allows() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    let home = agent.config.work_dir.parent().unwrap().join("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join("file"), "from home").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", home.join("link")).unwrap();
    agent.config.frameworks_home = Some(home.clone());
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let file = |value: &str| Uri { value: Some(value.to_owned()), ..Uri::default() };
    link.launch(task("good", "cat file", vec![file("file")])).await;
    link.until("good", TaskState::TaskFinished).await;
    assert_eq!(std::fs::read_to_string(agent.sandbox("good").join("stdout")).unwrap(), "from home");
    for (n, bad) in ["file:///etc/passwd", "/etc/shadow", "../secret", "link"].into_iter().enumerate() {
        let id = format!("bad{n}");
        link.launch(task(&id, "true", vec![file(bad)])).await;
        let status = link.until(&id, TaskState::TaskFailed).await;
        assert!(status.message.as_ref().unwrap().starts_with("cannot fetch "), "{bad}: {status:?}");
    }
    running.stop().await;
}

/// Fetchers of this agent that run, by the number of their process and the name of their container.
fn fetchers(agent: &TestAgent) -> Vec<(i32, String)> {
    let containers = agent.containers().into_iter().filter(|id| id.contains("-fetch-"));
    let process = |id: &String| {
        let children = std::fs::read_dir("/proc").unwrap().flatten();
        let is_it = |path: &std::path::Path| {
            let groups = std::fs::read_to_string(path.join("cgroup")).unwrap_or_default();
            let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
            groups.contains(id.as_str()) && line.starts_with(b"/fetcher\0")
        };
        let found = children.map(|entry| entry.path()).find(|path| is_it(path))?;
        found.file_name()?.to_str()?.parse().ok()
    };
    containers.filter_map(|id| Some((process(&id)?, id))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetcher_is_confined_and_its_task_pays() {
    let (_master, agent, running, mut link) = registered().await;
    let server = Server::start(&[]).await;
    let mut hangs = task("hangs", "true", vec![server.uri("/never")]);
    hangs.command.as_mut().unwrap().user = Some("nobody".to_owned());
    hangs.resources[1].scalar = Some(v1::value::Scalar { value: Some(256.0) });
    link.launch(hangs).await;
    eventually("the server is asked", || server.requests.load(Ordering::Relaxed) == 1).await;
    let found = fetchers(&agent);
    let [(pid, container)] = found.as_slice() else { panic!("{found:?}") };
    let process = std::path::PathBuf::from(format!("/proc/{pid}"));
    let status = std::fs::read_to_string(process.join("status")).unwrap();
    let says = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.unwrap().split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let nobody = ["65534"; 4];
    assert_eq!((says("Uid:"), says("NSpid:").len()), (nobody.map(str::to_owned).to_vec(), 2), "{status}");
    for (name, value) in [("NoNewPrivs:", "1"), ("Seccomp:", "2")] {
        assert_eq!(says(name), [value], "{status}");
    }
    let of = |id: &str, name: &str| std::fs::read_link(format!("/proc/{id}/ns/{name}")).unwrap();
    for (name, is_own) in [("mnt", true), ("pid", true), ("ipc", true), ("uts", true), ("net", false)] {
        assert_eq!(of(&pid.to_string(), name) != of("self", name), is_own, "{name}");
    }
    let root = process.join("root");
    let work = agent.config.work_dir.strip_prefix("/").unwrap();
    for hidden in [work, std::path::Path::new("home"), std::path::Path::new("var"), "etc/shadow".as_ref()] {
        assert!(!root.join(hidden).exists(), "{}", hidden.display());
    }
    assert!(root.join("sandbox").is_dir() && root.join("usr/lib").is_dir());
    let statistics = agent.cgroups().group(container).statistics().unwrap();
    assert_eq!(statistics.memory_limit_bytes, Some(256 << 20));
    assert!(statistics.memory_total_bytes > 0, "what it takes is charged there");
    link.kill("hangs").await;
    link.until("hangs", TaskState::TaskKilled).await;
    eventually("nothing of it is left", || agent.containers().is_empty()).await;
    eventually("nor its files", || {
        std::fs::read_dir(agent.config.work_dir.join("fetching")).unwrap().count() == 0
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_does_not_outlive_its_agent_for_long() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let server = Server::start(&[]).await;
    link.launch(task("hangs", "true", vec![server.uri("/never")])).await;
    eventually("the server is asked", || server.requests.load(Ordering::Relaxed) == 1).await;
    first.kill();
    assert_eq!(fetchers(&agent).len(), 1);
    let second = AgentProcess::start(&agent);
    let _link = master.welcome(1).await;
    eventually("the next agent removes it", || agent.containers().is_empty()).await;
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_denies_is_not_asked() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    agent.config.fetcher_denied_addresses = vec!["127.0.0.0/8".parse().unwrap()];
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let server = Server::start(&[("/tool", b"x".to_vec())]).await;
    let by_name = format!("http://me:secret@localhost:{}/tool?token=secret", server.address.port());
    for (id, value) in [("address", server.uri("/tool").value.unwrap()), ("name", by_name)] {
        link.launch(task(id, "true", vec![Uri { value: Some(value), ..Uri::default() }])).await;
        let message = link.until(id, TaskState::TaskFailed).await.message.unwrap();
        assert!(message.starts_with("cannot fetch http://") && !message.contains("secret"), "{message}");
    }
    assert_eq!(server.requests.load(Ordering::Relaxed), 0);
    running.stop().await;
}

/// Listens with a certificate of nobody's, and says where.
const HTTPS: &str = "import http.server, ssl, sys
server = http.server.HTTPServer(('127.0.0.1', 0), http.server.BaseHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()";

#[tokio::test(flavor = "multi_thread")]
async fn a_server_must_show_a_certificate_that_the_machine_trusts() {
    let (_master, agent, running, mut link) = registered().await;
    let place = agent.config.work_dir.parent().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (place.join("cert.pem"), place.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut server = std::process::Command::new("python3")
        .args(["-c", HTTPS])
        .args([&certificate, &key])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut port = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.take().unwrap()), &mut port)
        .unwrap();
    let uri = Uri { value: Some(format!("https://127.0.0.1:{}/a", port.trim())), ..Uri::default() };
    link.launch(task("t", "true", vec![uri])).await;
    let message = link.until("t", TaskState::TaskFailed).await.message.unwrap();
    // Its authorities were found, and this is none of theirs.
    assert!(message.ends_with("invalid peer certificate: UnknownIssuer"), "{message}");
    server.kill().unwrap();
    server.wait().unwrap();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_container_with_an_image_gets_is_its_users_whom_only_the_image_knows() {
    let mut master = ScriptedMaster::start().await;
    let agent = agent_with_image(&master);
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let server = Server::start(&[("/app.tgz", bundle()), ("/list", b"first\n".to_vec())]).await;
    for (id, cache) in [("fetched", false), ("cached", true)] {
        let line =
            "cd $MESOS_SANDBOX && app/run && echo second >> list && echo > app/new && cat list && id -u";
        let mut task = image_task(id, mesos_image("box:v1"), Some(line));
        let command = task.command.as_mut().unwrap();
        command.user = Some("www".to_owned());
        command.uris =
            ["/app.tgz", "/list"].map(|path| Uri { cache: Some(cache), ..server.uri(path) }).into();
        link.launch(task).await;
        link.until(id, TaskState::TaskFinished).await;
        let said = std::fs::read_to_string(agent.sandbox(id).join("stdout")).unwrap();
        assert_eq!(said, "ran\nfirst\nsecond\n33\n", "{id}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_fetched_as_root_unless_an_operator_allows_it_nor_ever_from_the_agent() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = agent_with_image(&master);
    agent.config.allow_host_root = false;
    let home = agent.config.work_dir.parent().unwrap().join("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join("secret"), "of root").unwrap();
    std::fs::set_permissions(home.join("secret"), std::fs::Permissions::from_mode(0o600)).unwrap();
    agent.config.frameworks_home = Some(home);
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let server = Server::start(&[("/file", b"x".to_vec())]).await;
    let agents = format!("http://{}/files/download?path=/slaves", link.hello.address);
    let uri = |value: &str| Uri { value: Some(value.to_owned()), ..Uri::default() };
    let cached = Uri { cache: Some(true), ..server.uri("/file") };
    // The framework of these tests runs its tasks as root.
    for (id, has_image, uri, said) in [
        ("root", false, server.uri("/file"), "--allow-host-root"),
        ("cached", false, cached, "--allow-host-root"),
        ("agent", true, uri(&agents), "which is the agent itself"),
        ("secret", true, uri("secret"), "Permission denied"),
    ] {
        let mut task = match has_image {
            true => image_task(id, mesos_image("box:v1"), Some("true")),
            false => command_task(id, "true"),
        };
        task.command.as_mut().unwrap().uris = vec![uri];
        link.launch(task).await;
        let status = link.until(id, TaskState::TaskFailed).await;
        assert!(status.message().contains(said), "{id}: {}", status.message());
    }
    assert_eq!(server.requests.load(Ordering::Relaxed), 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fetched_for_one_within_another_goes_through_no_link_that_comes_meanwhile() {
    let (_master, agent, running, mut link) = registered().await;
    link.launch(command_task("t", "exec sleep 1000")).await;
    let status = link.until("t", TaskState::TaskRunning).await;
    let task = status.container_status.unwrap().container_id.unwrap().value.unwrap();
    let server = Server::start(&[("/tool", b"x".to_vec())]).await;
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow_uri = format!("http://{}/slow", slow.local_addr().unwrap());
    let uris = json!([{ "value": slow_uri, "cache": true }, { "value": server.uri("/tool").value.unwrap() }]);
    let nested = json!({ "container_id": { "value": "bin", "parent": { "value": task } },
        "command": { "value": "true", "user": "nobody", "uris": uris } });
    let call = json!({ "type": "LAUNCH_NESTED_CONTAINER", "launch_nested_container": nested });
    let address = link.hello.address.clone();
    let launching = tokio::spawn(async move { ask(&address, call).await });
    let (mut asked, _) = slow.accept().await.unwrap();
    assert!(asked.read(&mut [0; 4096]).await.unwrap() > 0);
    // Whoever has the sandbox of the task can do this, for as long as his server takes.
    let containers = agent.sandbox("t").join("containers");
    let outside = agent.config.work_dir.parent().unwrap().join("outside");
    std::fs::create_dir_all(outside.join("bin")).unwrap();
    eventually("its sandbox is there", || containers.join("bin").is_dir()).await;
    std::fs::rename(&containers, agent.sandbox("t").join("before")).unwrap();
    std::os::unix::fs::symlink(&outside, &containers).unwrap();
    asked.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx").await.unwrap();
    let (status, said) = launching.await.unwrap();
    assert!(status == 400 && said.contains("open the volume"), "{status}: {said}");
    assert_eq!(std::fs::metadata(outside.join("bin")).unwrap().uid(), 0);
    assert_eq!(std::fs::read_dir(outside.join("bin")).unwrap().count(), 0);
    link.kill("t").await;
    link.until("t", TaskState::TaskKilled).await;
    running.stop().await;
}
