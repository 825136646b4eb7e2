//! The REST API as a client has it, and the process behind it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chapada_harness::{Cluster, Http};
use serde_json::{Value, json};

use super::wait::{wait_with, when};

/// Far beyond what any step takes.
pub(super) const WITHIN: Duration = Duration::from_secs(180);
/// Between two calls that only look.
pub(super) const SELDOM: Duration = Duration::from_millis(20);
/// How many apps are put in one request.
const AT_ONCE: usize = 250;

/// The definition of an app of so many instances.
pub(super) fn app(id: &str, instances: usize) -> Value {
    json!({
        "id": id, "cmd": "exec sleep 100000", "cpus": 0.1, "mem": 32, "instances": instances, "portDefinitions": [],
        "labels": {"team": "bench", "HAPROXY_GROUP": "external"}, "env": {"PROFILE": "production"},
    })
}

/// Makes so many apps of so many instances each, and waits until all are accepted.
pub(super) fn make_apps(http: &Http, apps: usize, instances: usize) -> Result<()> {
    let list: Vec<Value> =
        (0..apps).map(|number| app(&format!("/group-{}/app-{number}", number % 100), instances)).collect();
    for part in list.chunks(AT_ONCE) {
        // As many deployments at once as may be.
        wait_with(SELDOM, || {
            let (status, body) =
                http.call("PUT", "/v2/apps", Some(&json!(part))).map_err(anyhow::Error::msg)?;
            ensure!(matches!(status, 200..300 | 403 | 503), "{status}: {body}");
            Ok(when(status < 300, || format!("{status}: {body}")))
        })?;
    }
    Ok(())
}

/// Milliseconds that a call takes, on a connection of its own; an error unless it is answered well.
pub(super) fn timed(http: &Http, method: &str, path: &str, body: Option<&Value>) -> Result<(f64, Value)> {
    let begun = Instant::now();
    let (status, answer) = http.call(method, path, body).map_err(anyhow::Error::msg)?;
    let taken = begun.elapsed().as_secs_f64() * 1e3;
    ensure!((200..300).contains(&status), "{method} {path}: {status}: {answer}");
    Ok((taken, serde_json::from_str(&answer).unwrap_or_default()))
}

/// Seconds and bytes that a whole answer of any length takes.
pub(super) fn read_all(at: &str, path: &str) -> Result<(f64, usize)> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(WITHIN))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {at}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
    )?;
    let (mut buffer, mut bytes, mut head) = (vec![0; 1 << 20], 0, Vec::new());
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        if head.len() < 12 {
            head.extend_from_slice(&buffer[..count.min(12)]);
        }
        bytes += count;
    }
    ensure!(head.starts_with(b"HTTP/1.1 200"), "GET {path}: {}", String::from_utf8_lossy(&head));
    Ok((begun.elapsed().as_secs_f64(), bytes))
}

/// The process id of the services framework.
pub(super) fn pid(cluster: &Cluster) -> Result<i32> {
    Ok(cluster.services.as_ref().context("the services framework")?.pid().as_raw())
}

/// Waits until it has no deployment under way.
pub(super) fn wait_until_deployed(http: &Http) -> Result<()> {
    wait_with(SELDOM, || {
        let deployments = http.get("/v2/deployments").map_err(anyhow::Error::msg)?;
        let left = deployments.as_array().map_or(0, Vec::len);
        Ok(when(left == 0, || format!("{left} deployments are on their way")))
    })
}

/// A master and a services process, with the master's agents silent for long.
pub(super) fn cluster(masters: usize) -> Cluster {
    Cluster::builder()
        .masters(masters)
        .zookeeper_on_disk()
        .agents(0)
        .services()
        .master_flag("--agent-ping-timeout=10min")
        .start()
}
