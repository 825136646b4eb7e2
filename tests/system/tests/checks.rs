//! Checks, a fetch, a time limit and a volume on a disk, asked for and told over the v1 scheduler API in JSON.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use chapada_harness::Cluster;
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(60);

/// A scheduler that takes the first offer and acknowledges what it hears.
struct Scheduler {
    at: String,
    events: BufReader<TcpStream>,
    id: Value,
    stream_id: String,
    offer: Value,
}

/// A call, and the answer from its body on. HTTP/1.0 has no chunks.
fn post(at: &str, headers: &str, call: &Value) -> (String, BufReader<TcpStream>) {
    let mut socket = TcpStream::connect(at).expect("the master listens");
    socket.set_read_timeout(Some(WITHIN)).expect("a socket");
    let body = call.to_string();
    let head = format!(
        "POST /api/v1/scheduler HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all((head + &body).as_bytes()).expect("sent");
    let (mut answer, mut head) = (BufReader::new(socket), String::new());
    while !head.ends_with("\r\n\r\n") {
        assert!(answer.read_line(&mut head).expect("an answer") > 0, "cut off after {head:?}");
    }
    (head, answer)
}

impl Scheduler {
    fn subscribe(cluster: &Cluster, role: &str) -> Self {
        let at = cluster.master_host_port(0).to_owned();
        let info = json!({ "user": "root", "name": "checks", "roles": [role],
            "capabilities": [{ "type": "MULTI_ROLE" }, { "type": "PARTITION_AWARE" },
                { "type": "RESERVATION_REFINEMENT" }] });
        let call = json!({ "type": "SUBSCRIBE", "subscribe": { "framework_info": info } });
        let (head, events) = post(&at, "", &call);
        let stream_id = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("mesos-stream-id").then(|| value.to_owned())
        });
        let stream_id = stream_id.unwrap_or_else(|| panic!("{head}"));
        let mut scheduler = Self { at, events, id: Value::Null, stream_id, offer: Value::Null };
        scheduler.id = scheduler.event("SUBSCRIBED")["subscribed"]["framework_id"].clone();
        scheduler.offer = scheduler.event("OFFERS")["offers"]["offers"][0].clone();
        scheduler
    }

    /// The next event of this kind.
    fn event(&mut self, kind: &str) -> Value {
        loop {
            let mut length = String::new();
            self.events.read_line(&mut length).expect("an event");
            let mut record = vec![0; length.trim().parse().expect("a length")];
            self.events.read_exact(&mut record).expect("a whole event");
            let event: Value = serde_json::from_slice(&record).expect("JSON");
            if event["type"] == kind {
                return event;
            }
        }
    }

    fn call(&self, mut call: Value) {
        call["framework_id"] = self.id.clone();
        let (head, _) = post(&self.at, &format!("Mesos-Stream-Id: {}\r\n", self.stream_id), &call);
        assert!(head.starts_with("HTTP/1.0 202"), "{call}: {head}");
    }

    /// Launches these on the offer.
    fn launch(&self, tasks: Value) {
        let launch = self.launching(tasks);
        self.accept(json!([launch]));
    }

    /// Does this with the offer, and wants what is left at once.
    fn accept(&self, operations: Value) {
        let accept = json!({ "offer_ids": [self.offer["id"]], "operations": operations, "filters": { "refuse_seconds": 0 } });
        self.call(json!({ "type": "ACCEPT", "accept": accept }));
    }

    fn launching(&self, mut tasks: Value) -> Value {
        for task in tasks.as_array_mut().expect("tasks") {
            task["agent_id"] = self.offer["agent_id"].clone();
            task["name"] = task["task_id"]["value"].clone();
            let scalar = |name: &str, value: f64| json!({ "name": name, "type": "SCALAR", "scalar": { "value": value } });
            let mut resources = vec![scalar("cpus", 0.1), scalar("mem", 32.0)];
            resources.extend(task["resources"].as_array().cloned().unwrap_or_default());
            task["resources"] = Value::from(resources);
        }
        json!({ "type": "LAUNCH", "launch": { "task_infos": tasks } })
    }

    /// The disk in the offer, which is the only one.
    fn disk(&self) -> Value {
        let resources = self.offer["resources"].as_array().expect("resources");
        let disk = resources.iter().find(|resource| resource["name"] == "disk");
        disk.unwrap_or_else(|| panic!("no disk in {}", self.offer)).clone()
    }

    /// The next status of a task, acknowledged.
    fn status(&mut self) -> Value {
        let status = self.event("UPDATE")["update"]["status"].clone();
        if status["uuid"].is_string() {
            let acknowledge = json!({ "agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"] });
            self.call(json!({ "type": "ACKNOWLEDGE", "acknowledge": acknowledge }));
        }
        status
    }

    /// Statuses of a task until one of which this holds.
    fn until(&mut self, task: &str, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            let status = self.status();
            if status["task_id"]["value"] == task && holds(&status) {
                return status;
            }
        }
    }
}

#[test]
fn what_checks_find_reaches_the_framework_and_an_ill_task_ends() {
    let cluster = Cluster::builder().start();
    let mut scheduler = Scheduler::subscribe(&cluster, "*");
    let command = |value: &str| json!({ "value": value });
    let often = json!({ "delay_seconds": 0, "interval_seconds": 0.05, "timeout_seconds": 10 });
    let mut check = often.clone();
    check["type"] = json!("COMMAND");
    check["command"] = json!({ "command": command("exit 7") });
    let mut health = often;
    health["type"] = json!("COMMAND");
    health["command"] = command("test ! -e ill");
    health["consecutive_failures"] = json!(1);
    scheduler.launch(json!([{
        "task_id": { "value": "t" },
        "command": command("while [ ! -e go ]; do sleep 0.02; done; touch ill; exec sleep 1000"),
        "check": check,
        "health_check": health,
    }]));
    let running = scheduler.until("t", |status| status["state"] == "TASK_RUNNING");
    assert_eq!(running["check_status"], json!({ "type": "COMMAND", "command": {} }), "{running}");
    let both =
        |status: &Value| status["healthy"] == true && status["check_status"]["command"]["exit_code"] == 7;
    let told = scheduler.until("t", both);
    let reasons = ["REASON_TASK_CHECK_STATUS_UPDATED", "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED"];
    assert!(reasons.contains(&told["reason"].as_str().unwrap_or_default()), "{told}");
    let state = cluster.master_http(0).get("/tasks").expect("the master answers");
    assert!(state.to_string().contains("\"healthy\":true"), "{state}");
    std::fs::write(cluster.sandbox().join("go"), "").expect("the sandbox is there");
    let end = scheduler.until("t", |status| status["state"] == "TASK_KILLED");
    assert_eq!(end["healthy"], false, "{end}");
}

#[test]
fn what_is_fetched_is_checked_and_time_runs_out() {
    let cluster = Cluster::builder().start();
    let mut scheduler = Scheduler::subscribe(&cluster, "*");
    // A file that is there for everybody: the master's own answer.
    let uri = |checksum: Value| {
        let value = format!("http://{}/version", cluster.master_host_port(0));
        let mut uri = json!({ "value": value, "output_file": "in/version", "extract": false });
        if checksum.is_string() {
            uri["checksum"] = checksum;
        }
        uri
    };
    let command = |value: &str, uri: Value| json!({ "value": value, "uris": [uri] });
    let wrong = format!("sha256:{}", "0".repeat(64));
    scheduler.launch(json!([
        { "task_id": { "value": "good" }, "command": command("grep -q version in/version", uri(Value::Null)) },
        { "task_id": { "value": "wrong" }, "command": command("true", uri(json!(wrong))) },
        { "task_id": { "value": "long" }, "command": { "value": "exec sleep 1000" },
          "max_completion_time": { "nanoseconds": 200_000_000 } },
    ]));
    let mut ends = std::collections::BTreeMap::new();
    while ends.len() < 3 {
        let status = scheduler.status();
        if !matches!(status["state"].as_str(), Some("TASK_STARTING" | "TASK_RUNNING")) {
            ends.insert(status["task_id"]["value"].as_str().unwrap_or_default().to_owned(), status);
        }
    }
    assert_eq!(ends["good"]["state"], "TASK_FINISHED", "{}", ends["good"]);
    assert_eq!(ends["wrong"]["reason"], "REASON_CONTAINER_LAUNCH_FAILED", "{}", ends["wrong"]);
    assert_eq!(ends["long"]["reason"], "REASON_MAX_COMPLETION_TIME_REACHED", "{}", ends["long"]);
    assert_eq!(ends["long"]["state"], "TASK_FAILED");
}

#[test]
fn a_disk_is_offered_with_its_source_and_holds_a_volume() {
    let root = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let scalar =
        |name: &str, value: f64| json!({ "name": name, "type": "SCALAR", "scalar": { "value": value } });
    let source = json!({ "type": "PATH", "path": { "root": root.path() } });
    let mut disk = scalar("disk", 64.0);
    disk["disk"] = json!({ "source": source });
    disk["reservations"] = json!([{ "type": "STATIC", "role": "ops" }]);
    let resources = json!([scalar("cpus", 2.0), scalar("mem", 256.0), disk]);
    let cluster = Cluster::builder().resources(&resources.to_string()).start();
    let mut scheduler = Scheduler::subscribe(&cluster, "ops");
    let offered = scheduler.disk();
    assert_eq!((&offered["disk"], &offered["reservations"]), (&disk["disk"], &disk["reservations"]));
    let mut volume = offered.clone();
    volume["disk"]["persistence"] = json!({ "id": "v" });
    volume["disk"]["volume"] = json!({ "container_path": "data", "mode": "RW" });
    let writer = scheduler.launching(json!([{
        "task_id": { "value": "writer" },
        "command": { "value": "printf kept > data/file" },
        "resources": [volume],
    }]));
    let create = json!({ "type": "CREATE", "create": { "volumes": [volume] } });
    scheduler.accept(json!([create, writer]));
    scheduler.until("writer", |status| status["state"] == "TASK_FINISHED");
    let directory = root.path().join("volumes/roles/ops/v");
    assert_eq!(std::fs::read_to_string(directory.join("file")).expect("the volume's file"), "kept");
    while scheduler.disk()["disk"] != volume["disk"] {
        scheduler.offer = scheduler.event("OFFERS")["offers"]["offers"][0].clone();
    }
    scheduler.accept(json!([{ "type": "DESTROY", "destroy": { "volumes": [scheduler.disk()] } }]));
    chapada_harness::eventually("the volume is gone", WITHIN, || {
        if directory.exists() { Err(format!("{} is there", directory.display())) } else { Ok(()) }
    });
}
