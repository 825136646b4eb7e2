//! Rolling updates of real processes: a client that asks for ready instances first never meets a closed port, and the death
//! of the leading services process in the middle of an update changes nothing about its limits or its end.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chapada_harness::{Cluster, Daemon, Http, eventually};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(120);

/// Answers every request with its version, and `/told` with whether it was told to end. It is not ready when it is asked first, and
/// after SIGTERM it goes on until the client has taken its leave: as a web server behind a load balancer does.
const SERVER: &str = r#"
import http.server, os, signal, sys, threading
asked, told, left = [0], threading.Event(), threading.Event()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = 200
        if self.path == "/ready":
            asked[0] += 1
            status = 503 if asked[0] == 1 else 200
        body = (str(told.is_set()) if self.path == "/told" else sys.argv[1]).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if self.path == "/leave":
            left.set()
    def log_message(self, *arguments):
        pass
signal.signal(signal.SIGTERM, lambda *_: told.set())
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT0"])), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
told.wait()
left.wait()
"#;

fn web(version: &str) -> Value {
    json!({
        "id": "/web", "args": ["/usr/bin/python3", "-c", SERVER, version], "instances": 4, "cpus": 0.1, "mem": 64,
        "portDefinitions": [{"name": "http", "port": 0}],
        "readinessChecks": [
            {"portName": "http", "path": "/ready", "intervalSeconds": 1, "timeoutSeconds": 0.9}
        ],
        "upgradeStrategy": {"minimumHealthCapacity": 1, "maximumOverCapacity": 0.25},
        "taskKillGracePeriodSeconds": 100,
    })
}

#[test]
fn who_asks_for_ready_instances_first_never_meets_a_closed_port() {
    let cluster = Cluster::builder().services().start();
    let services = cluster.services_http();
    services.send("PUT", "/v2/apps/web", &web("old")).expect("the app is accepted");
    eventually("four instances are ready", WITHIN, || settled(&services));
    let over = AtomicBool::new(false);
    // It knows all the old ones before the first of them goes: who is not told to leave stays for its whole grace period.
    let mut client = Client::default();
    client.ask(&services);
    let answers = std::thread::scope(|scope| {
        let end = End(&over);
        let client = scope.spawn(|| client.ask_on_and_on(&services, &over));
        services.send("PUT", "/v2/apps/web", &web("new")).expect("the update is accepted");
        eventually("the update has ended, or the client", WITHIN, || match client.is_finished() {
            true => Ok(()),
            false => settled(&services),
        });
        drop(end);
        client.join().expect("no request failed")
    });
    assert_eq!(answers.first().map(String::as_str), Some("old"));
    assert_eq!(answers.last().map(String::as_str), Some("new"));
}

/// Says that it is over when it goes, also when that is because a test has failed.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks `/v2/tasks` for who is ready, and then one of them after the other.
#[derive(Default)]
struct Client {
    answers: Vec<String>,
    before: BTreeSet<u64>,
}

impl Client {
    /// Until it is over; gives all answers.
    fn ask_on_and_on(mut self, services: &Http, over: &AtomicBool) -> Vec<String> {
        while !over.load(Ordering::Relaxed) {
            self.ask(services);
        }
        self.answers
    }

    /// Who was told to end before it was asked who is ready must not be among these: it could be closed by now.
    fn ask(&mut self, services: &Http) {
        let was_told =
            |port: &u64| at(*port).text("/told").expect("it waits for this client to leave") == "True";
        let told: BTreeSet<u64> = self.before.iter().copied().filter(was_told).collect();
        let tasks = services.get("/v2/tasks?embed=readiness").expect("the services framework answers");
        let tasks = tasks["tasks"].as_array().cloned().unwrap_or_default();
        let ready = tasks.iter().filter(|task| task["ready"] == true && task["state"] == "TASK_RUNNING");
        let ports: BTreeSet<u64> = ready.filter_map(|task| task["ports"][0].as_u64()).collect();
        assert!(ports.len() >= 4, "{} are ready: {tasks:#?}", ports.len());
        assert!(told.is_disjoint(&ports), "{told:?} were told to end before, and are ready: {tasks:#?}");
        for gone in self.before.difference(&ports) {
            at(*gone).text("/leave").expect("it waits for this client to leave");
        }
        let chosen = ports.iter().nth(self.answers.len() % ports.len()).expect("there are four or more");
        self.answers.push(at(*chosen).text("/").expect("an instance that is ready answers"));
        self.before = ports;
    }
}

fn at(port: u64) -> Http {
    Http::new(&format!("127.0.0.1:{port}"))
}

fn settled(services: &Http) -> Result<(), String> {
    let deployments = services.get("/v2/deployments")?;
    if deployments == json!([]) { Ok(()) } else { Err(format!("{deployments:#}")) }
}

const INSTANCES: u64 = 50;

fn sleeper(seconds: u32) -> Value {
    json!({
        "id": "/many", "cmd": format!("exec sleep {seconds}"), "instances": INSTANCES, "cpus": 0.01, "mem": 16,
        "upgradeStrategy": {"minimumHealthCapacity": 0.9, "maximumOverCapacity": 0.1},
    })
}

#[test]
fn an_update_of_fifty_goes_on_under_another_leader_within_its_limits() {
    let mut cluster = Cluster::builder().masters(2).agents(2).services().start();
    let first = cluster.services_http();
    first.send("PUT", "/v2/apps/many", &sleeper(100_001)).expect("the app is accepted");
    eventually("the first deployment has ended", WITHIN, || settled(&first));
    these_run(&cluster, INSTANCES, 0);
    let (second, _daemon) = second_services(&cluster);

    let master = cluster.leader_http().expect("a master leads");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let end = End(&over);
        let watch = scope.spawn(|| watch_limits(&master, &over));
        first.send("PUT", "/v2/apps/many", &sleeper(100_002)).expect("the update is accepted");
        eventually("the update is in the middle", WITHIN, || match running(&cluster, 100_002) {
            10.. => Ok(()),
            few => Err(format!("{few} new ones run")),
        });
        cluster.services.as_mut().expect("services were started").kill();
        eventually("the update has ended, or the watch", WITHIN, || match watch.is_finished() {
            true => Ok(()),
            false => settled(&second),
        });
        drop(end);
        let looks = watch.join().expect("the limits were kept");
        assert!(looks > 10, "only {looks} looks at the limits");
    });
    these_run(&cluster, 0, INSTANCES);
    let app = second.get("/v2/apps/many").expect("the second services process answers");
    assert_eq!(app["app"]["tasksRunning"], INSTANCES);
    let config = &app["app"]["version"];
    let tasks = app["app"]["tasks"].as_array().cloned().unwrap_or_default();
    assert!(tasks.iter().all(|task| task["version"] == *config), "{tasks:#?}");
}

/// Another services process on the same records, which waits for its turn.
fn second_services(cluster: &Cluster) -> (Http, Daemon) {
    let (address, daemon) = cluster.another_services("services2", &[]);
    let http = Http::new(&address);
    eventually("the second services process is up", WITHIN, || http.text("/ping").map(drop));
    (http, daemon)
}

/// Waits until so many old and new ones run: a task runs a moment before its shell has become what it was told.
fn these_run(cluster: &Cluster, old: u64, new: u64) {
    eventually("as many processes as tasks", WITHIN, || {
        let found = (running(cluster, 100_001), running(cluster, 100_002));
        if found == (old, new) { Ok(()) } else { Err(format!("{found:?}")) }
    });
}

/// How many instances run on the host, by their process.
fn running(cluster: &Cluster, seconds: u32) -> u64 {
    let wanted = format!("sleep {seconds}");
    cluster.processes().iter().filter(|(_, command)| command.trim() == wanted).count() as u64
}

/// Looks again and again at how many tasks there are, as the master says; gives how often.
fn watch_limits(master: &Http, over: &AtomicBool) -> usize {
    let mut looks = 0;
    while !over.load(Ordering::Relaxed) {
        let tasks = master.get("/tasks?limit=-1").expect("the master answers");
        let states =
            tasks["tasks"].as_array().into_iter().flatten().filter_map(|task| task["state"].as_str());
        let (mut alive, mut running) = (0, 0);
        for state in states {
            let live = ["TASK_STAGING", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLING", "TASK_UNREACHABLE"];
            alive += u64::from(live.contains(&state));
            running += u64::from(state == "TASK_RUNNING");
        }
        assert!(alive <= 55, "{alive} tasks, at most 55 are allowed");
        assert!(running >= 45, "{running} run, at least 45 shall");
        looks += 1;
    }
    looks
}
