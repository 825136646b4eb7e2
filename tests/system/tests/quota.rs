//! Quotas and weights outlive the master that was told of them.

use std::process::Command;
use std::time::Duration;

use chapada_harness::{Cluster, binary, eventually};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(60);

/// Sets quotas and a weight; what the leader shows then.
fn set(cluster: &Cluster) -> (Value, Value) {
    let leader = eventually("a master leads", WITHIN, || cluster.leader_http());
    let quotas = json!({ "force": true, "quota_configs": [
        { "role": "eng", "guarantees": { "cpus": { "value": 1.5 } }, "limits": { "cpus": { "value": 2 } } },
        { "role": "eng/db", "limits": { "cpus": { "value": 0.5 }, "mem": { "value": 64 } } },
    ] });
    let weights = json!({ "weight_infos": [{ "role": "eng/db", "weight": 2.5 }] });
    for call in [
        json!({ "type": "UPDATE_QUOTA", "update_quota": quotas }),
        json!({ "type": "UPDATE_WEIGHTS", "update_weights": weights }),
    ] {
        leader.send("POST", "/api/v1", &call).expect("it is done");
    }
    let shown = shown(cluster).expect("the leader shows them");
    assert_eq!(shown.0["configs"].as_array().map(Vec::len), Some(2), "{}", shown.0);
    assert_eq!(shown.1, json!([{ "role": "eng/db", "weight": 2.5 }]));
    shown
}

fn shown(cluster: &Cluster) -> Result<(Value, Value), String> {
    let leader = cluster.leader_http()?;
    Ok((leader.get("/quota")?, leader.get("/weights")?))
}

/// What was answered before the death is there after it.
fn is_kept(cluster: &Cluster, before: &(Value, Value), death: &str) {
    let after = eventually(&format!("a master leads after {death}"), WITHIN, || shown(cluster));
    assert_eq!(&after, before, "after {death}");
}

#[test]
fn quotas_and_weights_survive_the_death_of_a_master_with_an_embedded_registry() {
    let mut cluster = Cluster::builder().agents(0).start();
    let before = set(&cluster);
    cluster.masters[0].kill_and_restart();
    is_kept(&cluster, &before, "the only master was killed");
}

#[test]
fn quotas_and_weights_survive_the_death_of_the_leader_with_zookeeper() {
    let mut cluster = Cluster::builder().masters(2).agents(0).start();
    let before = set(&cluster);
    let leader = cluster.leader().expect("a master leads");
    cluster.masters[leader].kill();
    is_kept(&cluster, &before, "the leader was killed");
    assert_ne!(cluster.leader().expect("a master leads"), leader);
}

#[test]
fn quotas_and_weights_are_set_and_shown_on_the_command_line() {
    let cluster = Cluster::builder().agents(0).start();
    let chapada = |line: &str| {
        let arguments = line.split(' ').chain(["--master", cluster.master_host_port(0)]);
        let out = Command::new(binary("chapada")).args(arguments).output().expect("chapada is built");
        let [stdout, stderr] =
            [out.stdout, out.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        if out.status.success() { Ok(stdout) } else { Err(stderr) }
    };
    chapada("quota set eng --limit cpus=4,mem=1024").expect("it is set");
    chapada("weight eng 2.5").expect("it is set");
    let refused = chapada("quota set eng --guarantee cpus=2").expect_err("there is no agent");
    assert!(refused.contains("exceed cluster capacity"), "{refused}");
    chapada("quota set eng --guarantee cpus=2 --limit cpus=3 --force").expect("it is forced");
    let table = chapada("roles").expect("a table");
    let line = table.lines().find(|line| line.starts_with("eng")).unwrap_or_default();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words, ["eng", "2.5", "0.0%", "cpus=2", "cpus=3"], "{table}");
    chapada("quota rm eng").expect("it ends");
    let roles: Value = serde_json::from_str(&chapada("roles --output json").expect("a list")).expect("JSON");
    assert_eq!(roles[0]["quota"]["limit"], json!({}), "{roles}");
    assert!(chapada("quota set eng").is_err(), "one of both is wanted");
}
