//! Scenario 49 with real processes: builds of two commits run mixed, in either order, with failovers in the middle. The other commit's
//! `chapada` is what `CHAPADA_OTHER_PROGRAM` names, as `cargo xtask test --former [COMMIT]` does; without it all are of this build, and
//! what is shown is that each part can be replaced under the others.

use std::path::Path;

use chapada_harness::{Cluster, Daemon, binary, eventually, other_build};
use serde_json::{Value, json};

use super::{Processes, WITHIN, accepted, another_leads, builder, deploy, leader, logged, runs};

const INSTANCES: u64 = 3;
/// One that runs all, one that an operator has drained, one that an operator has deactivated.
const AGENTS: usize = 3;

/// A daemon is killed, and is of this program when it comes back.
fn replace(daemon: &mut Daemon, program: &Path) {
    daemon.kill();
    daemon.becomes(program);
    daemon.restart();
}

/// All masters are replaced, those that follow first; then another one leads, over the registry that the other build wrote.
fn replace_masters(cluster: &mut Cluster, program: &Path) {
    let former = leader(cluster);
    for follower in (0..cluster.masters.len()).filter(|number| *number != former) {
        replace(&mut cluster.masters[follower], program);
        // On a busy machine the leader may have lost its session meanwhile.
        eventually("it follows or leads", WITHIN, || {
            let led = cluster.leader() == Ok(follower);
            if led { Ok(()) } else { cluster.master_http(follower).redirect("/state").map(drop) }
        });
    }
    replace(&mut cluster.masters[former], program);
    another_leads(cluster, former);
}

fn replace_agents(cluster: &mut Cluster, program: &Path) {
    for agent in &mut cluster.agents {
        replace(agent, program);
    }
    eventually("the agents are back", WITHIN, || {
        let agents = cluster.leader_http()?.get("/query/v1/overview")?["agents"].clone();
        let are_back = ["active", "drained", "deactivated"].iter().all(|state| agents[state] == 1);
        if are_back { Ok(()) } else { Err(agents.to_string()) }
    });
}

fn replace_services(cluster: &mut Cluster, program: &Path) {
    replace(cluster.services.as_mut().expect("the cluster has one"), program);
}

/// What is asked for now is done by whoever is there: one more instance, and one less.
fn still_works(cluster: &Cluster, before: &Processes) {
    let scaled = |instances: u64| {
        let change = json!({ "instances": instances });
        accepted(cluster, "PUT", "/v2/apps//steady?force=true", &change);
    };
    scaled(INSTANCES + 1);
    let more = runs(cluster, INSTANCES as usize + 1, "after it was scaled");
    assert!(before.iter().all(|one| more.iter().any(|other| other == one)), "{before:?} {more:?}");
    scaled(INSTANCES);
    assert_eq!(runs(cluster, INSTANCES as usize, "again"), *before, "the youngest goes");
}

/// Agents that nothing is to run on: one drained, one deactivated.
fn set_aside(cluster: &Cluster) {
    let agents = eventually("all agents are registered", WITHIN, || {
        let slaves = cluster.leader_http()?.get("/slaves")?["slaves"].as_array().cloned().unwrap_or_default();
        if slaves.len() == AGENTS { Ok(slaves) } else { Err(format!("{} agents", slaves.len())) }
    });
    let id = |number: usize| json!({ "value": agents[number]["id"] });
    for call in [
        json!({ "type": "DRAIN_AGENT", "drain_agent": { "agent_id": id(1), "max_grace_period": { "seconds": 7 } } }),
        json!({ "type": "DEACTIVATE_AGENT", "deactivate_agent": { "agent_id": id(2) } }),
    ] {
        asked(cluster, "POST", "/api/v1", &call);
    }
}

/// The leader takes it.
fn asked(cluster: &Cluster, method: &str, path: &str, body: &Value) {
    eventually(&format!("{path} is accepted"), WITHIN, || {
        match cluster.leader_http()?.call(method, path, Some(body))? {
            (200, _) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

/// Something of each kind that operators put into the registry.
fn fill(cluster: &Cluster) {
    let quota = json!([{ "role": "batch", "limits": { "cpus": { "value": 4 } } }]);
    let window = json!({
        "machine_ids": [{ "hostname": "another", "ip": "10.9.9.9" }],
        "unavailability": { "start": { "nanoseconds": 4_102_444_800_000_000_000_u64 } },
    });
    for (method, path, body) in [
        ("PUT", "/weights", json!([{ "role": "batch", "weight": 2.5 }])),
        (
            "POST",
            "/api/v1",
            json!({ "type": "UPDATE_QUOTA", "update_quota": { "force": true, "quota_configs": quota } }),
        ),
        ("POST", "/maintenance/schedule", json!({ "windows": [window] })),
    ] {
        asked(cluster, method, path, &body);
    }
}

/// What the leader has of it.
fn filled(cluster: &Cluster) -> Vec<Value> {
    let all = eventually("the leader answers", WITHIN, || {
        let master = cluster.leader_http()?;
        let quota = master.send("POST", "/api/v1", &json!({ "type": "GET_QUOTA" }))?;
        let mut agents = master.get("/registrar(1)/registry")?["slaves"]["slaves"].take();
        agents
            .as_array_mut()
            .ok_or("agents are recorded")?
            .sort_by_key(|agent| agent["info"]["id"].to_string());
        Ok(vec![master.get("/weights")?, master.get("/maintenance/schedule")?, quota, agents])
    });
    for (what, known) in [
        ("batch", &all[0]),
        ("another", &all[1]),
        ("batch", &all[2]),
        ("DRAINED", &all[3]),
        ("7000000000", &all[3]),
        ("\"deactivated\":true", &all[3]),
    ] {
        assert!(known.to_string().contains(what), "{known}");
    }
    all
}

type Step = (&'static str, fn(&mut Cluster, &Path));

/// From the other build to this one by these steps, and back.
fn there_and_back(steps: [Step; 3]) {
    let (other, this) = (other_build(), binary("chapada"));
    let mut cluster = builder().agents(AGENTS).program(&other).start();
    set_aside(&cluster);
    deploy(&cluster, INSTANCES);
    fill(&cluster);
    let recorded = filled(&cluster);
    let before = runs(&cluster, INSTANCES as usize, "at first");
    for (way, program) in [("upgraded", &this), ("downgraded", &other)] {
        for (what, step) in steps {
            let launched = logged(&cluster, ": launch ");
            step(&mut cluster, program);
            let after = runs(&cluster, INSTANCES as usize, &format!("with {what} {way}"));
            assert_eq!(after, before, "{what} {way}: the same processes run");
            assert_eq!(logged(&cluster, ": launch "), launched, "{what} {way}: nothing is launched");
            still_works(&cluster, &before);
            assert_eq!(filled(&cluster), recorded, "{what} {way}: the registry is as it was");
        }
    }
}

#[test]
fn scenario_49_masters_first_then_agents_then_services() {
    there_and_back([
        ("masters", replace_masters),
        ("agents", replace_agents),
        ("services", replace_services),
    ]);
}

#[test]
fn scenario_49_services_first_then_agents_then_masters() {
    there_and_back([
        ("services", replace_services),
        ("agents", replace_agents),
        ("masters", replace_masters),
    ]);
}
