//! 41: registries that are down, slow, break off or lie. Each is asked again more and more rarely, the task fails with the
//! reason, and nobody else waits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chapada_wire::v1::TaskState;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::images::{build, image_task, mesos_image};
use crate::support::*;

/// When each repository was asked for what it does not give as it should.
type Asked = Arc<Mutex<BTreeMap<String, Vec<Instant>>>>;

/// Has one image under several names, and gives its layer as the name says.
struct Registry {
    host: String,
    asked: Asked,
}

impl Registry {
    async fn start(layout: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Asked::default();
        let registry = Self { host, asked: seen.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (layout, seen) = (layout.clone(), seen.clone());
                tokio::spawn(async move {
                    // A client that goes is part of it.
                    let _ = answer(stream, layout, seen).await;
                });
            }
        });
        registry
    }

    fn asked(&self, name: &str) -> Vec<Instant> {
        self.asked.lock().unwrap().get(name).cloned().unwrap_or_default()
    }
}

async fn answer(mut stream: TcpStream, layout: PathBuf, seen: Asked) -> std::io::Result<()> {
    let mut request = [0; 4096];
    let count = stream.read(&mut request).await?;
    let text = String::from_utf8_lossy(&request[..count]).into_owned();
    let path = text.split(' ').nth(1).unwrap_or_default();
    let parts: Vec<&str> = path.trim_start_matches("/v2/").split('/').collect();
    let [name, kind, target] = parts[..] else { return Ok(()) };
    let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json"))?)?;
    let manifest_digest = index["manifests"][0]["digest"].as_str().unwrap_or_default().to_owned();
    let blob = |digest: &str| std::fs::read(layout.join("blobs").join(digest.replace(':', "/")));
    let manifest = blob(&manifest_digest)?;
    let described: Value = serde_json::from_slice(&manifest)?;
    let content = if kind == "manifests" { manifest } else { blob(target)? };
    let is_layer = described["layers"][0]["digest"] == target;
    let head = |status: &str, length: usize| {
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")
    };
    if is_layer {
        seen.lock().unwrap().entry(name.to_owned()).or_default().push(Instant::now());
    }
    match name {
        "down" if is_layer => stream.write_all(head("503 Down", 0).as_bytes()).await,
        "truncated" if is_layer => stream.write_all(head("200 OK", content.len()).as_bytes()).await,
        "wrong" if is_layer => {
            stream.write_all(head("200 OK", content.len()).as_bytes()).await?;
            stream.write_all(&vec![b'x'; content.len()]).await
        }
        "slow" if is_layer => {
            stream.write_all(head("200 OK", content.len()).as_bytes()).await?;
            stream.read_to_end(&mut Vec::new()).await.map(drop)
        }
        _ => {
            stream.write_all(head("200 OK", content.len()).as_bytes()).await?;
            stream.write_all(&content).await
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_41_a_registry_that_fails_holds_up_nobody_else() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    let layout = agent.config.work_dir.parent().unwrap().join("layout");
    build(&layout);
    let registry = Registry::start(layout).await;
    // Had by us, so that nobody else listens there, who do not.
    let had = TcpSocket::new_v4().unwrap();
    had.bind((std::net::Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let gone = had.local_addr().unwrap().to_string();
    agent.config.insecure_registries = vec![registry.host.clone(), gone.clone()];
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let host = registry.host.clone();
    let mut expected = BTreeMap::from([
        ("down", "refuses: 503"),
        ("truncated", "end of file before message length reached"),
        ("wrong", "something else than was asked for"),
        ("gone", "cannot be reached"),
    ]);
    for name in expected.keys().chain(&["slow"]) {
        let host = if *name == "gone" { &gone } else { &host };
        link.launch(image_task(name, mesos_image(&format!("{host}/{name}:v1")), Some("true"))).await;
    }
    // Who had not asked for the layer would find it here after the next one did.
    for name in ["down", "truncated", "wrong", "slow"] {
        eventually("the layer is asked for", || !registry.asked(name).is_empty()).await;
    }
    // The same image elsewhere in the registry, and a task without one.
    link.launch(image_task("good", mesos_image(&format!("{host}/good:v1")), Some("true"))).await;
    link.launch(command_task("plain", "true")).await;
    let mut finished = 0;
    // Others do not wait for the slow one, which goes on.
    while !(expected.is_empty() && finished == 2) {
        let status = link.update().await;
        let id = id_of(&status);
        match state_of(&status) {
            TaskState::TaskFailed => {
                let said = status.message.unwrap_or_default();
                let reason = expected.remove(id.as_str()).unwrap_or_else(|| panic!("{id}: {said}"));
                assert!(said.contains(reason), "{id}: {said}");
            }
            TaskState::TaskFinished => finished += 1,
            TaskState::TaskStarting | TaskState::TaskRunning => {}
            other => panic!("{id}: {other:?}"),
        }
    }
    // What may pass is tried four times, each wait twice the one before; a lie is not.
    for name in ["down", "truncated"] {
        let asked = registry.asked(name);
        let waits: Vec<Duration> = asked.windows(2).map(|two| two[1] - two[0]).collect();
        assert_eq!(waits.len(), 3, "{name}: {waits:?}");
        for (wait, least) in waits.iter().zip([500, 1000, 2000]) {
            assert!(*wait >= Duration::from_millis(least), "{name}: {waits:?}");
        }
    }
    assert_eq!((registry.asked("wrong").len(), registry.asked("good").len()), (1, 1));
    link.kill("slow").await;
    link.until("slow", TaskState::TaskKilled).await;
    eventually("nothing is left", || agent.containers().is_empty()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_41_a_registry_that_is_too_slow_is_given_up() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    let layout = agent.config.work_dir.parent().unwrap().join("layout");
    build(&layout);
    let registry = Registry::start(layout).await;
    agent.config.insecure_registries = vec![registry.host.clone()];
    agent.config.image_pull_timeout = Duration::from_secs(2);
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let image = mesos_image(&format!("{}/slow:v1", registry.host));
    link.launch(image_task("slow", image, Some("true"))).await;
    let said = link.until("slow", TaskState::TaskFailed).await.message.unwrap_or_default();
    assert!(said.contains("was not here after 2 s"), "{said}");
    eventually("nothing is left", || agent.containers().is_empty()).await;
    running.stop().await;
}
