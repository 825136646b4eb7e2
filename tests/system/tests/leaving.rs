//! An agent is drained by the command line: the services framework moves what it has there before anybody kills it.

use std::process::Command;
use std::time::Duration;

use chapada_harness::{Cluster, Http, binary, eventually};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(60);
const INSTANCES: usize = 4;

fn tasks(services: &Http) -> Result<Vec<Value>, String> {
    let answer = services.get("/v2/apps//web/tasks")?;
    answer["tasks"].as_array().cloned().ok_or_else(|| format!("{answer:#}"))
}

fn running(tasks: &[Value]) -> usize {
    tasks.iter().filter(|task| task["state"] == "TASK_RUNNING").count()
}

/// What `chapada agents` says, or why it does not.
fn chapada(master: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(binary("chapada"));
    command.arg("agents").args(arguments).args(["--master", master]);
    let said = command.output().expect("the command line runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    if said.status.success() { Ok(text(said.stdout)) } else { Err(text(said.stderr)) }
}

/// The column of that name in the row that begins with this word, of what the command line lists.
fn cell(listed: &str, row: &str, column: &str) -> Option<String> {
    let mut lines = listed.lines();
    let at = lines.next()?.find(column)?;
    let line = lines.find(|line| line.split_whitespace().next() == Some(row))?;
    line.get(at..)?.split_whitespace().next().map(str::to_owned)
}

#[test]
fn the_command_line_drains_by_attribute_and_shows_cancels_and_ends_drains() {
    let cluster = Cluster::builder().agents(3).attributes("rack:r1").start();
    let master = cluster.master_host_port(0).to_owned();
    let agents = || -> Vec<Value> {
        let found = cluster.leader_http().and_then(|leader| leader.get("/slaves")).expect("a list");
        found["slaves"].as_array().cloned().unwrap_or_default()
    };
    let ids: Vec<String> =
        agents().iter().filter_map(|agent| Some(agent["id"].as_str()?.to_owned())).collect();
    assert_eq!(ids.len(), 3);
    // Nothing runs there, so each is drained as soon as it is its turn.
    let refused = chapada(&master, &["drain", "--attribute", "rack=r2"]).expect_err("there is no such agent");
    assert!(refused.contains("rack=r2") || refused.contains("no agent"), "{refused}");
    chapada(&master, &["drain", "--attribute", "rack=r1", "--at-once", "2", "--name", "rack"])
        .expect("accepted");
    let listed = eventually("all are drained", WITHIN, || {
        let listed = chapada(&master, &["drains"])?;
        // The drain as a whole is over when that is recorded, a moment later.
        if cell(&listed, "rack", "STATE").as_deref() == Some("done") { Ok(listed) } else { Err(listed) }
    });
    assert_eq!(cell(&listed, "rack", "DRAINED").as_deref(), Some("3"), "{listed}");
    let each = chapada(&master, &["drains", "rack"]).expect("there is such a drain");
    assert!(ids.iter().all(|id| cell(&each, id, "STATE").as_deref() == Some("drained")), "{each}");
    shows_in_the_browser(&master, "rack", "rack=r1", "3 of 3", None);

    for id in &ids {
        chapada(&master, &["reactivate", id]).expect("it is drained");
    }
    assert!(agents().iter().all(|agent| agent["deactivated"] == false), "{:#?}", agents());
    chapada(&master, &["deactivate", &ids[0]]).expect("it is active");
    assert_eq!(agents().iter().filter(|agent| agent["deactivated"] == true).count(), 1);
    chapada(&master, &["reactivate", &ids[0]]).expect("it is deactivated");
    let unknown = chapada(&master, &["cancel", "nothing-of-that-name"]).expect_err("there is no such thing");
    assert!(unknown.contains("nothing-of-that-name"), "{unknown}");
    chapada(&master, &["allow-removals", "--for", "1m"]).expect("it is no longer than a day");
    chapada(&master, &["allow-removals", "--for", "2d"]).expect_err("it is longer");
    chapada(&master, &["gone", &ids[0]]).expect("it is known");
    // Its process comes back at once, as another agent.
    eventually("it is no more", WITHIN, || {
        let left: Vec<Value> = agents().into_iter().map(|agent| agent["id"].clone()).collect();
        if left.contains(&json!(ids[0])) { Err(format!("{left:?}")) } else { Ok(()) }
    });
}

fn shows_in_the_browser(master: &str, drain: &str, chosen_by: &str, done: &str, waits: Option<(&str, &str)>) {
    let mut node = Command::new("node");
    if let Some((agent, why)) = waits {
        node.env("CHAPADA_AGENT", agent).env("CHAPADA_WAITS", why);
    }
    let out = node
        .arg("e2e/drains.mjs")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../webui/app"))
        .env("CHAPADA_MASTER_URL", format!("http://{master}"))
        .env("CHAPADA_DRAIN", drain)
        .env("CHAPADA_CHOSEN_BY", chosen_by)
        .env("CHAPADA_DONE", done)
        .output()
        .expect("node is installed");
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{stdout}\n{stderr}");
}

#[test]
fn a_drain_that_is_cancelled_gives_its_agents_back() {
    let cluster = Cluster::builder().agents(2).services().start();
    let (services, master) = (cluster.services_http(), cluster.master_host_port(0).to_owned());
    // Nowhere else is room for it: the drain waits for its deadline.
    let app = json!({
        "id": "/web", "cmd": "exec sleep 1000", "instances": 1, "cpus": 0.1, "mem": 32,
        "constraints": [["number", "IS", "0"]],
    });
    services.send("PUT", "/v2/apps/web", &app).expect("the app is accepted");
    let agent = eventually("it runs", WITHIN, || {
        let tasks = tasks(&services)?;
        match tasks.first().filter(|_| running(&tasks) == 1) {
            Some(task) => Ok(task["slaveId"].as_str().expect("its agent").to_owned()),
            None => Err(format!("{tasks:?}")),
        }
    });
    chapada(&master, &["drain", &agent, "--name", "short", "--deadline", "1h"]).expect("it is accepted");
    let each = chapada(&master, &["drains", "short"]).expect("there is such a drain");
    assert_eq!(cell(&each, &agent, "STATE").as_deref(), Some("draining"), "{each}");
    assert_eq!(cell(&each, &agent, "TASKS").as_deref(), Some("1"), "{each}");
    // Until the deadline its task may move by itself.
    shows_in_the_browser(&master, "short", "1 named", "0 of 1", Some((&agent, "notice")));
    chapada(&master, &["cancel", "short"]).expect("it goes on");
    let listed = chapada(&master, &["drains"]).expect("a list");
    assert_ne!(cell(&listed, "short", "STATE").as_deref(), Some("draining"), "{listed}");
    let tasks = tasks(&services).expect("a list");
    assert_eq!(running(&tasks), 1, "nobody killed it");
    let found = cluster.leader_http().and_then(|leader| leader.get("/slaves")).expect("a list");
    assert!(found["slaves"].as_array().is_some_and(|all| all.iter().all(|one| one["deactivated"] == false)));
}

#[test]
fn what_the_services_framework_has_on_a_draining_agent_is_replaced_before_it_ends() {
    let cluster = Cluster::builder().agents(2).services().start();
    let services = cluster.services_http();
    let app = json!({"id": "/web", "cmd": "exec sleep 1000", "instances": INSTANCES, "cpus": 0.1, "mem": 32});
    services.send("PUT", "/v2/apps/web", &app).expect("the app is accepted");
    let before = eventually("all run", WITHIN, || {
        let tasks = tasks(&services)?;
        if running(&tasks) == INSTANCES { Ok(tasks) } else { Err(format!("{tasks:?}")) }
    });
    let agent = before[0]["slaveId"].as_str().expect("its agent").to_owned();
    let master = cluster.master_host_port(0).to_owned();
    chapada(&master, &["drain", &agent, "--name", "spring", "--deadline", "1h"]).expect("it is accepted");
    // At every look all of them run: none is ended before another one has taken its place.
    let mut fewest = INSTANCES;
    let drained = eventually("the agent is drained", WITHIN, || {
        fewest = fewest.min(running(&tasks(&services)?));
        let agents = cluster.leader_http()?.get("/slaves")?;
        let all = agents["slaves"].as_array().cloned().unwrap_or_default();
        let found = all.into_iter().find(|one| one["id"] == json!(agent));
        found.filter(|one| one["drain_info"]["state"] == "DRAINED").ok_or_else(|| format!("{agents:#}"))
    });
    assert_eq!(drained["deactivated"], true, "{drained:#}");
    assert_eq!(fewest, INSTANCES, "as many as the app asks for, all the time");
    let after = tasks(&services).expect("a list");
    assert_eq!(running(&after), INSTANCES);
    assert!(after.iter().all(|task| task["slaveId"] != json!(agent)), "{after:#?}");
}
