//! What somebody writes over the registry by hand: no master leads from it, each says why at its door and stays up, and the first
//! one leads again when it is mended.

use std::time::Duration;

use chapada_harness::{Cluster, Http, eventually};
use serde_json::{Value, json};
use zookeeper_client::Client;

const WITHIN: Duration = Duration::from_secs(60);

/// The znode in which the registry says what it is, beside that of the epoch.
const HEAD: &str = "/chapada/registry";

/// What a master's door says to those who want the leader: 503 and this.
fn says_at_the_door(master: &Http, what: &str) -> Result<(), String> {
    let call = json!({"type": "GET_AGENTS"});
    let (status, text) = master.call("POST", "/api/v1", Some(&call))?;
    if status == 503 && text.contains(what) { Ok(()) } else { Err(format!("{status}: {text}")) }
}

#[test]
fn a_registry_that_is_rubbish_or_newer_is_refused_at_every_door_and_led_from_when_it_is_mended() {
    let mut cluster = Cluster::builder().masters(2).services().start();
    let app = json!({"id": "/steady", "cmd": "exec sleep 100000", "cpus": 0.1, "mem": 32, "instances": 2});
    cluster.services_http().send("POST", "/v2/apps", &app).expect("the app is accepted");
    let running = |cluster: &Cluster| {
        let is_one = |(_, command): &&(u32, String)| command.starts_with("sleep 100000");
        cluster.processes().iter().filter(is_one).map(|(pid, _)| *pid).collect::<Vec<_>>()
    };
    eventually("both run", WITHIN, || match running(&cluster).len() {
        2 => Ok(()),
        other => Err(format!("{other} run")),
    });
    let before = running(&cluster);
    let servers = cluster.ensemble().connect_string();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let client = runtime.block_on(Client::connect(&servers)).expect("ZooKeeper answers");
    let head = runtime.block_on(client.get_data(HEAD)).expect("there is a registry").0;

    let mut newer: Value = serde_json::from_slice(&head).expect("JSON");
    newer["version"] = json!(1_000_000);
    for (rubbish, why) in [
        (b"rubbish".to_vec(), "znode /chapada/registry is damaged"),
        (newer.to_string().into_bytes(), "newer chapada"),
    ] {
        runtime.block_on(client.set_data(HEAD, &rubbish, None)).expect("anyone may");
        // Who leads has read it already; whoever comes after it cannot.
        let leader = cluster.leader().expect("somebody leads");
        cluster.masters[leader].kill();
        cluster.masters[leader].restart();
        for number in 0..2 {
            let door = cluster.master_http(number);
            eventually("it says why it does not lead", WITHIN, || says_at_the_door(&door, why));
        }
        let kept = runtime.block_on(client.get_data(HEAD)).expect("it is there").0;
        assert_eq!(kept, rubbish, "nobody writes over it");
        runtime.block_on(client.set_data(HEAD, &head, None)).expect("anyone may");
        eventually("one leads again, without a restart", WITHIN, || cluster.leader().map(drop));
        eventually("the agent and both tasks are there", WITHIN, || match cluster.live_tasks()?.len() {
            2 => Ok(()),
            other => Err(format!("{other} tasks")),
        });
        assert_eq!(running(&cluster), before, "nothing was touched");
    }
}
