//! Scenarios 1, 2, 3, 4, 9 and 50 with real processes, a real three-server ZooKeeper and machines of their own: masters and ZooKeeper
//! servers are killed and frozen, links are cut. In each the same processes run on, and nothing runs twice.

mod upgrade;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use chapada_harness::{Cluster, ClusterBuilder, Cut, Http, binary, eventually};
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(60);
/// Sessions with ZooKeeper: they end within the patience of these tests, and a busy machine does not end them.
const SESSION: Duration = Duration::from_secs(5);

/// Pids of the tasks, by the name of each task.
type Processes = BTreeMap<String, u32>;

fn builder() -> ClusterBuilder {
    Cluster::builder()
        .masters(3)
        .services()
        .separate_machines()
        .master_flag(&format!("--zk-session-timeout={SESSION:?}"))
        .agent_flag(&format!("--zk-session-timeout={SESSION:?}"))
        .services_flag(&format!("--zk-session-timeout={SESSION:?}"))
}

fn deploy(cluster: &Cluster, instances: u64) {
    let app = json!({ "id": "/steady", "cmd": "exec sleep 100000", "cpus": 0.1, "mem": 32, "instances": instances });
    accepted(cluster, "POST", "/v2/apps", &app);
}

/// Asked of the services framework until it takes it: its turn may come a moment later. What it has already is no other app.
fn accepted(cluster: &Cluster, method: &str, path: &str, body: &Value) {
    eventually(&format!("{method} {path} is accepted"), WITHIN, || {
        match cluster.services_http().call(method, path, Some(body))? {
            (200 | 201, _) => Ok(()),
            (409, _) if method == "POST" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

/// What the leader answers, as soon as there is one.
fn of_leader(cluster: &Cluster, path: &str) -> Value {
    eventually("the leader answers", WITHIN, || cluster.leader_http()?.get(path))
}

/// A weight for this role; it is acknowledged.
fn weigh(cluster: &Cluster, role: &str) {
    let weight = json!([{ "role": role, "weight": 3.0 }]);
    eventually("the weight is acknowledged", WITHIN, || {
        cluster.leader_http()?.send("PUT", "/weights", &weight)
    });
}

/// The `sleep` of each task.
fn processes(cluster: &Cluster) -> Processes {
    let mut found = Processes::new();
    for (pid, command) in cluster.processes() {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment);
        let task = environment.split('\0').find_map(|variable| variable.strip_prefix("MESOS_TASK_ID="));
        if let (true, Some(task)) = (command.starts_with("sleep 100000"), task) {
            found.insert(task.to_owned(), pid);
        }
    }
    found
}

/// The kernel, the leading master and the services framework name the same instances, so many of them.
fn agreed(cluster: &Cluster, instances: usize) -> Result<Processes, String> {
    let processes = processes(cluster);
    let kernel: BTreeSet<&str> = processes.keys().map(String::as_str).collect();
    let master = cluster.leader_http()?.get("/tasks?limit=-1")?;
    let services = cluster.services_http().get("/v2/tasks")?;
    for tasks in [&master, &services] {
        let running = tasks["tasks"].as_array().into_iter().flatten();
        let running = running.filter(|task| task["state"] == "TASK_RUNNING");
        let named: BTreeSet<&str> = running.filter_map(|task| task["id"].as_str()).collect();
        if named != kernel || named.len() != instances {
            return Err(format!("{named:?} are said to run, the kernel runs {kernel:?}"));
        }
    }
    Ok(processes)
}

fn runs(cluster: &Cluster, instances: usize, when: &str) -> Processes {
    eventually(&format!("{instances} run {when}"), WITHIN, || agreed(cluster, instances))
}

/// Lines of the agents' logs that say this.
fn logged(cluster: &Cluster, what: &str) -> usize {
    cluster.agents.iter().map(|agent| agent.log().matches(what).count()).sum()
}

fn another_leads(cluster: &Cluster, former: usize) -> usize {
    eventually("another master leads", WITHIN, || match cluster.leader() {
        Ok(now) if now != former => Ok(now),
        other => Err(format!("{other:?}")),
    })
}

fn leader(cluster: &Cluster) -> usize {
    eventually("a master leads", WITHIN, || cluster.leader())
}

#[test]
fn scenario_1_the_leader_dies_before_the_agent_hears_of_a_launch() {
    let mut cluster = builder().start();
    let former = leader(&cluster);
    cluster.machine(0).cut(Cut::Both);
    deploy(&cluster, 1);
    eventually("the launch is accepted", WITHIN, || {
        let tasks = cluster.master_http(former).get("/tasks?limit=-1")?;
        let count = tasks["tasks"].as_array().map_or(0, Vec::len);
        if count == 1 { Ok(()) } else { Err(format!("{count} tasks")) }
    });
    assert_eq!(logged(&cluster, ": launch "), 0, "the agent has not heard of it");
    cluster.masters[former].kill();
    cluster.machine(0).heal();
    another_leads(&cluster, former);
    runs(&cluster, 1, "once the next master leads");
    assert_eq!(logged(&cluster, ": launch "), 1, "it is launched once");
}

#[test]
fn scenario_2_the_leader_dies_before_it_hears_of_a_task_that_runs() {
    let mut cluster = builder().start();
    let former = leader(&cluster);
    // What the master sends arrives; what the agent says does not.
    cluster.machine(0).cut(Cut::Out);
    deploy(&cluster, 1);
    eventually("the task runs and nobody knows", WITHIN, || match processes(&cluster).len() {
        1 => Ok(()),
        count => Err(format!("{count} processes")),
    });
    let before = processes(&cluster);
    cluster.masters[former].kill();
    cluster.machine(0).heal();
    another_leads(&cluster, former);
    assert_eq!(runs(&cluster, 1, "once the next master leads"), before, "it is the same one");
    assert_eq!(logged(&cluster, ": launch "), 1, "it is launched once");
}

#[test]
fn scenario_3_a_leader_that_was_frozen_past_its_session_changes_nothing() {
    let cluster = builder().start();
    deploy(&cluster, 3);
    let before = runs(&cluster, 3, "at first");
    let former = leader(&cluster);
    let framework = of_leader(&cluster, "/frameworks");
    let framework = framework["frameworks"][0]["id"].as_str().expect("services has an id").to_owned();
    kill(cluster.masters[former].pid(), Signal::SIGSTOP).expect("a child of ours may be stopped");
    // The kernel takes these for it, and it finds them when it goes on.
    let late = [
        (
            "POST",
            "/api/v1",
            json!({ "type": "TEARDOWN", "teardown": { "framework_id": { "value": framework } } }),
        ),
        ("PUT", "/weights", json!([{ "role": "late", "weight": 3.0 }])),
    ];
    let late: Vec<_> = late
        .into_iter()
        .map(|(method, path, body)| {
            let master = Http::new(cluster.master_host_port(former));
            std::thread::spawn(move || master.call(method, path, Some(&body)))
        })
        .collect();
    // Not the frozen one: it takes a call and does not answer.
    let next = eventually("another master leads", WITHIN, || {
        let leads = |other: &usize| {
            let overview = cluster.master_http(*other).call("GET", "/query/v1/overview", None);
            *other != former && matches!(overview, Ok((200, _)))
        };
        (0..3).filter(|other| *other != former).find(leads).ok_or_else(|| "none of the others".to_owned())
    });
    kill(cluster.masters[former].pid(), Signal::SIGCONT).expect("a child of ours may go on");
    for call in late {
        match call.join().expect("it does not panic") {
            Ok((status, body)) => assert!(matches!(status, 307 | 503), "{status}: {body}"),
            Err(error) => assert!(!error.is_empty(), "its connection may break instead"),
        }
    }
    eventually("the former leader follows", WITHIN, || {
        match cluster.master_http(former).call("GET", "/state-summary", None)? {
            (307, _) => Ok(()),
            (status, body) => Err(format!("{status}: {body}")),
        }
    });
    assert_eq!(cluster.leader(), Ok(next), "nothing else has changed");
    let weights = of_leader(&cluster, "/weights");
    assert!(!weights.to_string().contains("late"), "{weights}");
    assert_eq!(runs(&cluster, 3, "in the end"), before);
}

#[test]
fn scenario_4_zookeeper_loses_its_quorum_for_a_while() {
    let mut cluster = builder().start();
    deploy(&cluster, 3);
    let before = runs(&cluster, 3, "at first");
    let launched = logged(&cluster, ": launch ");
    for server in 0..2 {
        cluster.ensemble().server(server).kill();
    }
    eventually("nobody takes a change", WITHIN, || {
        let change = json!([{ "role": "meanwhile", "weight": 3.0 }]);
        for master in 0..3 {
            match cluster.master_http(master).call("PUT", "/weights", Some(&change))? {
                (503, sentence) if !sentence.is_empty() => {}
                (status, body) => return Err(format!("master {master}: {status}: {body}")),
            }
        }
        Ok(())
    });
    // Longer than all sessions last.
    let since = Instant::now();
    eventually("two sessions pass", WITHIN, || {
        assert_eq!(processes(&cluster), before, "tasks do not notice");
        for master in 0..3 {
            let change = json!([{ "role": "meanwhile", "weight": 3.0 }]);
            let answer = cluster.master_http(master).call("PUT", "/weights", Some(&change));
            assert!(matches!(answer, Ok((503, _))), "master {master}: {answer:?}");
        }
        if since.elapsed() > 2 * SESSION { Ok(()) } else { Err(format!("{:?}", since.elapsed())) }
    });
    for server in 0..2 {
        cluster.ensemble().server(server).restart();
    }
    leader(&cluster);
    assert_eq!(runs(&cluster, 3, "once there is a quorum"), before);
    assert_eq!(logged(&cluster, ": launch "), launched, "nothing is launched again");
}

#[test]
fn scenario_9_an_agent_is_cut_off_and_returns_with_its_tasks() {
    let cluster =
        builder().master_flag("--agent-ping-timeout=3s").master_flag("--max-agent-ping-timeouts=2").start();
    // Its instances are not replaced meanwhile, so that the same ones must be there again.
    let app = json!({
        "id": "/steady", "cmd": "exec sleep 100000", "cpus": 0.1, "mem": 32, "instances": 3,
        "unreachableStrategy": "disabled",
    });
    accepted(&cluster, "POST", "/v2/apps", &app);
    let before = runs(&cluster, 3, "at first");
    let launched = logged(&cluster, ": launch ");
    cluster.machine(0).cut(Cut::Both);
    eventually("the agent is unreachable and its tasks are", WITHIN, || {
        let tasks = cluster.services_http().get("/v2/tasks")?;
        let all = tasks["tasks"].as_array().cloned().unwrap_or_default();
        let lost = all.iter().filter(|task| task["state"] == "TASK_UNREACHABLE").count();
        if lost == 3 { Ok(()) } else { Err(tasks.to_string()) }
    });
    assert_eq!(processes(&cluster), before, "they run on");
    cluster.machine(0).heal();
    assert_eq!(runs(&cluster, 3, "once it is back"), before, "the same ones, and no others");
    assert_eq!(logged(&cluster, ": launch "), launched);
}

/// Runs `chapada registry …` and gives what it says.
fn registry(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(binary("chapada")).arg("registry").args(arguments).output().expect("it starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn scenario_50_an_older_backup_is_restored_and_agents_are_ahead_of_it() {
    let mut cluster = builder().start();
    let zk = cluster.zookeeper_address();
    let file = cluster.folder().join("backup");
    let file = file.to_str().expect("a folder with a plain name").to_owned();
    deploy(&cluster, 2);
    weigh(&cluster, "before");
    runs(&cluster, 2, "at first");
    let (exported, said) = registry(&["export", "--zk", &zk, "--file", &file]);
    assert!(exported, "{said}");

    // The cluster goes on: more runs, another leader has a higher epoch, a weight is set.
    let scaled = json!({ "instances": 4 });
    accepted(&cluster, "PUT", "/v2/apps//steady", &scaled);
    let before = runs(&cluster, 4, "after it was scaled");
    let former = leader(&cluster);
    cluster.masters[former].kill();
    cluster.masters[former].restart();
    another_leads(&cluster, former);
    weigh(&cluster, "after");

    let (imported, said) = registry(&["import", "--zk", &zk, &file, "--force"]);
    assert!(!imported && said.contains("stop them all first"), "{said}");
    for master in &mut cluster.masters {
        assert!(master.stop().success());
    }
    let (imported, said) = registry(&["import", "--zk", &zk, &file]);
    assert!(!imported && said.contains("loses") && said.contains("weights"), "{said}");
    let (imported, said) = registry(&["import", "--zk", &zk, &file, "--force"]);
    assert!(imported, "{said}");
    cluster.masters.iter_mut().for_each(chapada_harness::Daemon::restart);

    leader(&cluster);
    assert_eq!(runs(&cluster, 4, "after the restore"), before, "nothing was killed, nothing started");
    assert_eq!(logged(&cluster, ": launch "), 4);
    let weights = of_leader(&cluster, "/weights").to_string();
    assert!(weights.contains("before") && !weights.contains("after"), "{weights}");
}

/// Status and body, or where it sends to.
type Answer = Result<(u16, String), String>;

/// Asks every kind of door of a master that does not lead: status, and where it sends to.
fn doors(master: &Http) -> Vec<(String, Answer)> {
    let subscribe =
        json!({ "type": "SUBSCRIBE", "subscribe": { "framework_info": { "user": "root", "name": "f" } } });
    let calls: [(&str, &str, Option<Value>); 12] = [
        ("POST", "/api/v1/scheduler", Some(subscribe)),
        ("POST", "/api/v1", Some(json!({ "type": "GET_STATE" }))),
        ("POST", "/api/v1", Some(json!({ "type": "SUBSCRIBE" }))),
        ("PUT", "/weights", Some(json!([{ "role": "r", "weight": 2.0 }]))),
        ("POST", "/maintenance/schedule", Some(json!({ "windows": [] }))),
        ("POST", "/leadership/step-down", Some(json!({}))),
        ("GET", "/state", None),
        ("GET", "/tasks", None),
        ("GET", "/redirect", None),
        ("GET", "/query/v1/overview", None),
        ("GET", "/query/v1/watch?of=overview", None),
        ("GET", "/allocator/explain?framework=f&agent=a", None),
    ];
    let asked = |(method, path, body): (&str, &str, Option<Value>)| {
        (format!("{method} {path}"), master.call(method, path, body.as_ref()))
    };
    calls.into_iter().map(asked).collect()
}

#[test]
fn a_master_that_does_not_lead_sends_on_or_says_why_not_at_every_door() {
    let mut cluster = Cluster::builder().masters(2).agents(0).start();
    let leads = leader(&cluster);
    let follows = 1 - leads;
    eventually("the other one knows", WITHIN, || cluster.master_http(follows).redirect("/state"));
    for (door, answer) in doors(&cluster.master_http(follows)) {
        assert_eq!(answer.map(|(status, _)| status), Ok(307), "{door}");
    }
    let place = cluster.master_http(follows).redirect("/state").expect("a redirect");
    assert_eq!(place, format!("//{}/state", cluster.master_host_port(leads)));
    // What needs no leader is served by all.
    for path in ["/health", "/version", "/flags", "/metrics/snapshot", "/"] {
        assert_eq!(
            cluster.master_http(follows).call("GET", path, None).map(|(status, _)| status),
            Ok(200),
            "{path}"
        );
    }
    // With neither a leader nor a quorum everybody says so. Reads of one that led go on until its session is over.
    for server in 0..2 {
        cluster.ensemble().server(server).kill();
    }
    cluster.masters[leads].kill();
    eventually("nobody is known to lead", WITHIN, || {
        let wrong: Vec<_> = doors(&cluster.master_http(follows))
            .into_iter()
            .filter(|(_, answer)| !matches!(answer, Ok((503, sentence)) if !sentence.trim().is_empty()))
            .collect();
        if wrong.is_empty() { Ok(()) } else { Err(format!("{wrong:?}")) }
    });
}

#[test]
fn a_leader_hands_over_when_asked_and_when_it_is_stopped() {
    // Nothing has to expire here.
    let mut cluster = Cluster::builder().masters(3).services().separate_machines().detect_by_list().start();
    deploy(&cluster, 2);
    let before = runs(&cluster, 2, "at first");
    let over = run_to_its_end(&cluster);
    let launched = logged(&cluster, ": launch ");
    let first = leader(&cluster);
    weigh(&cluster, "kept");
    let asked = Command::new(binary("chapada"))
        .args(["master", "step-down", "--master", &cluster.master_address()])
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(asked.status.success() && said.contains("leads (epoch 2)"), "{said} {asked:?}");
    let second = another_leads(&cluster, first);
    let weights = of_leader(&cluster, "/weights").to_string();
    assert!(weights.contains("kept"), "{weights}");
    assert_eq!(runs(&cluster, 2, "after the hand-over"), before);
    let log = cluster.masters[first].log();
    assert!(log.contains("the leadership is given away"), "{log}");

    assert!(cluster.masters[second].stop().success(), "SIGTERM is no failure");
    assert!(cluster.masters[second].log().contains("the leadership is given away"));
    another_leads(&cluster, second);
    assert_eq!(runs(&cluster, 2, "after a leader was stopped"), before);
    assert_eq!(logged(&cluster, ": launch "), launched, "nothing was launched again");
    eventually("the third leader knows what ended before the first hand-over", WITHIN, || {
        let known = completed(&cluster)?;
        if known == over { Ok(()) } else { Err(format!("{known:?}, not {over:?}")) }
    });
}

/// What the leader says of tasks that are over.
fn completed(cluster: &Cluster) -> Result<Vec<[Value; 4]>, String> {
    let state = cluster.leader_http()?.get("/state")?;
    let of_services = state["frameworks"][0]["completed_tasks"].as_array().cloned().unwrap_or_default();
    Ok(of_services
        .iter()
        .map(|task| ["id", "state", "slave_id", "resources"].map(|key| task[key].clone()))
        .collect())
}

/// Runs an app's one task and ends it: what the leader then says is over.
fn run_to_its_end(cluster: &Cluster) -> Vec<[Value; 4]> {
    let app = json!({ "id": "/over", "cmd": "exec sleep 200000", "cpus": 0.1, "mem": 32 });
    accepted(cluster, "POST", "/v2/apps", &app);
    eventually("it runs", WITHIN, || {
        let tasks = cluster.services_http().get("/v2/apps/over/tasks")?;
        if tasks["tasks"][0]["state"] == "TASK_RUNNING" { Ok(()) } else { Err(tasks.to_string()) }
    });
    accepted(cluster, "DELETE", "/v2/apps/over", &Value::Null);
    eventually("it is over", WITHIN, || match completed(cluster)? {
        none if none.is_empty() => Err("nothing is".to_owned()),
        over => Ok(over),
    })
}
