//! The same for the services framework: whatever a client of its REST API sends, it answers others and its memory is bounded.

use std::time::{Duration, Instant};

use chapada_harness::{Cluster, eventually};
use serde_json::json;

use crate::raw::{Answer, Connection, ask};

/// Buffers of the connections of an attack, and what an allocator keeps of the largest body once it was read: 8 MiB of small
/// definitions take 110 MiB as values.
const MEMORY_BOUND_MIB: u64 = 160;
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
const APPS: &str = "/v2/apps";

struct Victim {
    cluster: Cluster,
    before: u64,
}

impl Victim {
    fn start() -> Self {
        let cluster = Cluster::builder().services().start();
        let before = resident_mib(&cluster);
        Self { cluster, before }
    }

    fn address(&self) -> &str {
        self.cluster.services_host_port()
    }

    fn post(&self, path: &str, body: &[u8]) -> Answer {
        ask(self.address(), path, "application/json", "", body)
    }

    /// It answers, brings an app up and down, and has not grown beyond the bound.
    fn is_well(&self, when: &str) {
        let http = self.cluster.services_http();
        let begin = Instant::now();
        assert_eq!(http.call("GET", "/v2/info", None).map(|(status, _)| status), Ok(200), "/v2/info {when}");
        assert!(begin.elapsed() < ANSWERS_WITHIN, "/v2/info took {:?} {when}", begin.elapsed());
        let app = json!({"id": "/honest", "cmd": "sleep 1000", "cpus": 0.1, "mem": 32});
        http.send("POST", APPS, &app).expect("an honest app is taken");
        eventually(&format!("an honest app runs {when}"), Duration::from_secs(60), || {
            let shown = http.get("/v2/apps/honest")?;
            if shown["app"]["tasksRunning"] == 1 { Ok(()) } else { Err(shown.to_string()) }
        });
        assert_eq!(
            http.call("DELETE", "/v2/apps/honest?force=true", None).map(|(status, _)| status),
            Ok(200)
        );
        eventually(&format!("it is gone {when}"), Duration::from_secs(60), || {
            let left = http.get("/v2/deployments")?;
            if left == json!([]) { Ok(()) } else { Err(left.to_string()) }
        });
        eventually(&format!("the memory is within its bound {when}"), ANSWERS_WITHIN, || {
            let grown = resident_mib(&self.cluster).saturating_sub(self.before);
            if grown <= MEMORY_BOUND_MIB { Ok(()) } else { Err(format!("it has grown by {grown} MiB")) }
        });
        let log = self.cluster.services.as_ref().expect("it runs").log();
        assert!(!log.contains("panicked"), "it panicked {when}: {log}");
    }
}

fn resident_mib(cluster: &Cluster) -> u64 {
    let pid = cluster.services.as_ref().expect("it runs").pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") / 1024
}

fn head(method: &str, path: &str, headers: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{headers}\r\n")
        .into_bytes()
}

#[test]
fn services_bodies_that_are_deep_large_or_of_no_use() {
    let victim = Victim::start();
    let deep = [
        format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("{}1{}", r#"{"env":"#.repeat(100_000), "}".repeat(100_000)),
        format!(r#"{{"id":"/a","labels":{}}}"#, "[".repeat(100_000)),
    ];
    for path in [APPS, "/v2/groups", "/v2/pods", "/v2/tasks/delete"] {
        for body in &deep {
            let answer = victim.post(path, body.as_bytes());
            assert_eq!(answer.status, 400, "{path}: {}", answer.body);
            assert!(answer.body.contains("Invalid JSON"), "{path}: {}", answer.body);
        }
    }
    let many: Vec<_> = (0..60_000).map(|number| json!({"id": format!("/a{number}"), "cmd": "x1"})).collect();
    let long = json!({"id": "/a", "cmd": "x".repeat(4 << 20)}).to_string();
    let wide = json!({"id": "/a", "apps": many}).to_string();
    assert_eq!(victim.post(APPS, long.as_bytes()).status, 422);
    let refused = victim.post("/v2/groups", wide.as_bytes()).status;
    assert!((400..500).contains(&refused), "{refused}");
    let mut chunked = Connection::open(victim.address());
    chunked.send(&head("POST", APPS, "transfer-encoding: chunked\r\n"));
    let piece = [b"100000\r\n", &b" ".repeat(1 << 20)[..], b"\r\n"].concat();
    let sent = (0..100).take_while(|_| chunked.send(&piece)).count();
    assert!(
        sent < 100 || chunked.answer().is_some_and(|answer| answer.status == 413),
        "{sent} MiB were taken"
    );
    victim.is_well("after such bodies");
}

#[test]
fn services_queries_and_heads_without_end() {
    let victim = Victim::start();
    for query in [
        "label=".to_owned() + &"(".repeat(20_000),
        "embed=apps.tasks&".repeat(1_500),
        "id=".to_owned() + &"x".repeat(25_000),
    ] {
        let mut connection = Connection::open(victim.address());
        connection.send(&head("GET", &format!("{APPS}?{query}"), ""));
        let status = connection.answer().expect("an answer").status;
        assert!(status < 500, "{status}");
    }
    for flood in ["x-a: y\r\n".repeat(100_000), format!("x-a: {}\r\n", "y".repeat(4 << 20))] {
        let mut connection = Connection::open(victim.address());
        connection.send(&head("GET", APPS, &flood));
        if let Some(answer) = connection.answer() {
            assert_eq!(answer.status, 431, "{}", answer.head);
        }
    }
    victim.is_well("after long heads");
}

#[test]
fn services_connections_that_hold_on() {
    let victim = Victim::start();
    let mut held = Vec::new();
    for number in 0..1_500 {
        let mut connection = Connection::open(victim.address());
        match number % 3 {
            0 => {}
            1 => drop(connection.send(b"GET /v2/apps HTTP/1.1\r\nhost: 127")),
            _ => drop(connection.send(&head("POST", APPS, "content-length: 1000000\r\n"))),
        }
        held.push(connection);
    }
    victim.is_well("while 1,500 connections hold on");
    drop(held);
    victim.is_well("after they are gone");
}

/// Streams that nobody reads are cut before they hold much.
#[test]
fn services_readers_of_events_that_do_not_read() {
    let victim = Victim::start();
    let mut readers = Vec::new();
    for _ in 0..250 {
        let mut connection = Connection::open(victim.address());
        connection.send(&head("GET", "/v2/events", "accept: text/event-stream\r\n"));
        readers.push(connection);
    }
    let http = victim.cluster.services_http();
    let label = "x".repeat(50_000);
    for number in 0..300 {
        let app = json!({"id": "/loud", "cmd": "sleep 1000", "instances": 0, "labels": {"l": format!("{number}{label}")}});
        http.send("PUT", "/v2/apps/loud?force=true", &app).expect("taken");
    }
    let answered =
        readers.iter_mut().filter_map(Connection::head).filter(|(status, _)| *status == 200).count();
    assert_eq!(answered, readers.len(), "all of them may follow the events");
    assert_eq!(http.call("DELETE", "/v2/apps/loud?force=true", None).map(|(status, _)| status), Ok(200));
    victim.is_well("while nobody reads");
}
