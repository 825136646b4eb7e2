//! Those who follow the cluster's events, over real sockets: one stops reading, the others do not.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use chapada_harness::{Cluster, eventually};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(60);
const READERS: usize = 200;
/// Bytes of an event: some hundreds of them are more than a follower may be behind.
const EVENT: usize = 40 * 1024;

/// A stream of records in the chunks of an HTTP answer.
struct Stream {
    socket: TcpStream,
    bytes: Vec<u8>,
    in_body: bool,
    body: Vec<u8>,
}

impl Stream {
    fn post(at: &str, path: &str, headers: &str, body: &Value) -> Self {
        let mut socket = TcpStream::connect(at).expect("the master listens");
        socket.set_read_timeout(Some(WITHIN)).expect("a socket");
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: application/json\r\n\
             {headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all(head.as_bytes()).expect("sent");
        socket.write_all(body.as_bytes()).expect("sent");
        Self { socket, bytes: Vec::new(), in_body: false, body: Vec::new() }
    }

    /// Follows the cluster, from after a position if one is given.
    fn follow(at: &str, after: Option<&Value>) -> Self {
        let mut call = json!({ "type": "SUBSCRIBE" });
        if let Some(after) = after {
            call["subscribe"] = json!({ "resume_after": after });
        }
        Self::post(at, "/api/v1", "", &call)
    }

    /// Takes in what is there; false when nothing more will come.
    fn fill(&mut self) -> bool {
        let mut piece = [0; 64 * 1024];
        match self.socket.read(&mut piece) {
            Ok(0) => false,
            Ok(count) => {
                self.bytes.extend_from_slice(&piece[..count]);
                self.unwrap_chunks();
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => true,
            // It was cut.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn unwrap_chunks(&mut self) {
        let find = |bytes: &[u8], end: &[u8]| bytes.windows(end.len()).position(|window| window == end);
        if !self.in_body {
            let Some(end) = find(&self.bytes, b"\r\n\r\n") else { return };
            assert!(self.bytes.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&self.bytes));
            self.bytes.drain(..end + 4);
            self.in_body = true;
        }
        let mut done = 0;
        while let Some(end) = find(&self.bytes[done..], b"\r\n") {
            let size = std::str::from_utf8(&self.bytes[done..done + end]).expect("text");
            let size = usize::from_str_radix(size, 16).expect("a chunk's size");
            let from = done + end + 2;
            let Some(chunk) = self.bytes.get(from..from + size + 2) else { break };
            self.body.extend_from_slice(&chunk[..size]);
            done = from + size + 2;
        }
        self.bytes.drain(..done);
    }

    /// The next whole record that is there.
    fn record(&mut self) -> Option<Vec<u8>> {
        let end = self.body.iter().position(|byte| *byte == b'\n')?;
        let length: usize = std::str::from_utf8(&self.body[..end]).expect("text").parse().expect("a length");
        let record = self.body.get(end + 1..end + 1 + length)?.to_vec();
        self.body.drain(..end + 1 + length);
        Some(record)
    }

    /// Waits for the next event that has a position.
    fn event(&mut self) -> Value {
        loop {
            while let Some(record) = self.record() {
                let event: Value = serde_json::from_slice(&record).expect("JSON");
                if event["type"] != "HEARTBEAT" {
                    return event;
                }
            }
            assert!(self.fill(), "the stream ended");
        }
    }
}

/// The number in the position at the end of a record; nothing in a heartbeat.
fn sequence(record: &[u8]) -> Option<u64> {
    let end = String::from_utf8_lossy(&record[record.len().saturating_sub(64)..]).into_owned();
    let digits = end.split_once("\"sequence\":")?.1;
    digits.trim_end_matches('}').parse().ok()
}

/// A framework that says something long and new about itself: one event each time.
struct Talker {
    at: String,
    /// Its subscription, open all the while.
    _stream: Stream,
    id: String,
    stream_id: String,
    said: usize,
}

impl Talker {
    fn subscribe(at: &str) -> Self {
        let call = json!({ "type": "SUBSCRIBE", "subscribe": { "framework_info": info(None, 0) } });
        let mut stream = Stream::post(at, "/api/v1/scheduler", "", &call);
        // The head is wanted too, so it is looked at before it is taken away.
        let mut head = [0; 2_048];
        let stream_id = eventually("the head of the answer", WITHIN, || {
            let count = stream.socket.peek(&mut head).map_err(|error| error.to_string())?;
            let head = String::from_utf8_lossy(&head[..count]).to_ascii_lowercase();
            let id = head.split_once("mesos-stream-id: ").and_then(|(_, rest)| rest.split_once('\r'));
            id.map(|(id, _)| id.to_owned()).ok_or(head)
        });
        let subscribed = stream.event();
        let id = subscribed["subscribed"]["framework_id"]["value"]
            .as_str()
            .unwrap_or_else(|| panic!("{subscribed}"))
            .to_owned();
        Self { at: at.to_owned(), _stream: stream, id, stream_id, said: 0 }
    }

    fn talk(&mut self) {
        self.said += 1;
        let call = json!({
            "type": "UPDATE_FRAMEWORK", "framework_id": { "value": self.id },
            "update_framework": { "framework_info": info(Some(&self.id), self.said) },
        });
        let headers = format!("Mesos-Stream-Id: {}\r\nConnection: close\r\n", self.stream_id);
        let mut answer = Stream::post(&self.at, "/api/v1/scheduler", &headers, &call);
        while answer.fill() && !answer.in_body {}
        assert!(answer.in_body, "UPDATE_FRAMEWORK is answered");
    }
}

/// Resident memory of the master, in MiB.
fn memory(cluster: &Cluster) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", cluster.masters[0].pid()));
    let status = status.expect("the master runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024.0
}

fn info(id: Option<&str>, said: usize) -> Value {
    let label = json!({ "key": "said", "value": format!("{said:0>EVENT$}") });
    let mut info = json!({ "user": "root", "name": "talker", "roles": ["*"], "labels": { "labels": [label] },
        "capabilities": [{ "type": "MULTI_ROLE" }] });
    if let Some(id) = id {
        info["id"] = json!({ "value": id });
    }
    info
}

/// Reads whatever has come for these until each has the event of this number, all of them without a gap.
fn read_up_to(readers: &mut [(Stream, u64)], last: u64) {
    let until = Instant::now() + WITHIN;
    while readers.iter().any(|(_, had)| *had < last) {
        assert!(Instant::now() < until, "some do not get what happens");
        for (stream, had) in readers.iter_mut().filter(|(_, had)| *had < last) {
            assert!(stream.fill(), "one that reads is cut");
            while let Some(record) = stream.record() {
                let Some(next) = sequence(&record) else { continue };
                assert_eq!(next, *had + 1, "in order, none missing, none twice");
                *had = next;
            }
        }
    }
}

fn subscribers(cluster: &Cluster) -> Result<f64, String> {
    let metrics = cluster.master_http(0).get("/metrics/snapshot")?;
    metrics["master/operator_event_stream_subscribers"].as_f64().ok_or_else(|| metrics.to_string())
}

#[test]
fn scenario_47_one_subscriber_stops_reading_and_the_others_do_not() {
    let cluster = Cluster::builder().agents(0).start();
    let at = cluster.master_host_port(0).to_owned();
    let mut talker = Talker::subscribe(&at);
    eventually("its subscription is no longer news", WITHIN, || {
        let metrics = cluster.master_http(0).get("/metrics/snapshot")?;
        if metrics["master/frameworks_active"] == 1.0 { Ok(()) } else { Err(metrics.to_string()) }
    });
    let mut stalled = Stream::follow(&at, None);
    let begun = stalled.event()["position"].clone();
    let begun_at = begun["sequence"].as_u64().expect("a number");
    let mut readers: Vec<(Stream, u64)> = (0..READERS)
        .map(|_| {
            let mut stream = Stream::follow(&at, None);
            assert_eq!(stream.event()["position"], begun);
            stream.socket.set_nonblocking(true).expect("a socket");
            (stream, begun_at)
        })
        .collect();
    let all = (READERS + 1) as f64;
    assert_eq!(subscribers(&cluster), Ok(all));
    // It happens so much that the one that does not read is cut; the others get it all meanwhile.
    while subscribers(&cluster) == Ok(all) {
        assert!(talker.said < 2_000, "the one that does not read is never cut");
        talker.talk();
        read_up_to(&mut readers, begun_at + talker.said as u64);
    }
    assert_eq!(subscribers(&cluster), Ok(READERS as f64));
    // What had reached it before is still there to be read; the rest comes when it goes on from there.
    let mut token = begun;
    let mut had = begun_at;
    while stalled.fill() {
        while let Some(record) = stalled.record() {
            if sequence(&record).is_some() {
                let event: Value = serde_json::from_slice(&record).expect("JSON");
                token = event["position"].clone();
                had += 1;
                assert_eq!(token["sequence"], had);
            }
        }
    }
    let last = begun_at + talker.said as u64;
    assert!(had < last, "it has not had everything");
    let mut again = Stream::follow(&at, Some(&token));
    let resumed = again.event();
    assert_eq!(resumed["subscribed"]["resumed"], true, "{resumed}");
    assert_eq!(resumed["subscribed"]["get_state"], Value::Null);
    read_up_to(&mut [(again, had)], last);
}

#[test]
fn scenario_47_those_who_never_read_a_long_state_hold_a_piece_of_it_each() {
    const TALKERS: usize = 100;
    const STALLED: usize = 40;
    let cluster = Cluster::builder().agents(0).start();
    let at = cluster.master_host_port(0).to_owned();
    let mut talkers: Vec<Talker> = (0..TALKERS).map(|_| Talker::subscribe(&at)).collect();
    talkers.iter_mut().for_each(Talker::talk);
    let before = memory(&cluster);
    let stalled: Vec<Stream> = (0..STALLED).map(|_| Stream::follow(&at, None)).collect();
    for stream in &stalled {
        assert!(stream.socket.peek(&mut [0]).is_ok_and(|count| count > 0), "its answer begins");
    }
    // One that reads meanwhile has all of it, in one record.
    let mut reading = Stream::follow(&at, None);
    let subscribed = reading.event();
    let shown = &subscribed["subscribed"]["get_state"]["get_frameworks"]["frameworks"];
    assert_eq!(shown.as_array().map(Vec::len), Some(TALKERS));
    let state = subscribed.to_string().len() as f64 / (1024.0 * 1024.0);
    let held = memory(&cluster) - before;
    let whole = state * STALLED as f64;
    assert!(state > 3.0 && held < whole / 3.0, "{held} MiB are held for {STALLED} readers of {state} MiB");
    assert_eq!(subscribers(&cluster), Ok((STALLED + 1) as f64), "none was cut");
}
