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
    let drain = ["agents", "drain", &agent, "--name", "spring", "--deadline", "1h", "--master", &master];
    let said = Command::new(binary("chapada")).args(drain).output().expect("the command line runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
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
