//! What containers cost beside what they asked for: one bound for all shims, which is not offered. Needs root.

use std::fs;

use chapada_agent::Bytes;
use chapada_model::Resources;
use chapada_wire::convert::resources_from_wire;
use chapada_wire::v1::TaskState;

use crate::support::*;

/// The least that the flag takes, and how many containers it has room for.
const LEAST: (Bytes, usize) = (Bytes(8 << 20), 12);

fn offered(link: &Link) -> Resources {
    resources_from_wire("resources", &link.hello.agent_info.as_ref().unwrap().resources).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_shims_share_one_bound_and_it_is_not_offered() {
    let mut master = ScriptedMaster::start().await;
    let mut offers = Vec::new();
    for mib in [64, 164] {
        let mut agent = TestAgent::new(master.address);
        agent.config.resources = Some("cpus:4;disk:1000".to_owned());
        agent.config.shims_memory = Some(Bytes(mib << 20));
        let running = InProcess::start(&agent);
        let mut link = master.welcome(1).await;
        offers.push(offered(&link).mem().0);
        link.launch(command_task("t", "exec sleep 1000")).await;
        link.until("t", TaskState::TaskRunning).await;
        let cgroups = agent.cgroups();
        let (shims, hierarchies) = (cgroups.parent().join("shims"), cgroups.hierarchies());
        let v1 = hierarchies.v1.get("memory").map(|point| point.join(&shims).join("memory.limit_in_bytes"));
        let v2 = hierarchies.v2.as_ref().map(|tree| tree.mount_point.join(&shims).join("memory.high"));
        let bound = fs::read_to_string(v1.or(v2).unwrap()).unwrap();
        assert_eq!(bound.trim(), (mib << 20).to_string());
        let within = cgroups.group("shims").processes().unwrap();
        assert!(within.len() >= 2, "a shim, and what it was divided from: {within:?}");
        running.stop().await;
    }
    assert_eq!(offers[0] - offers[1], 100_000, "what is set aside is not offered, in thousandths");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_names_is_offered_and_the_bound_holds_no_more_containers_than_it_has_room_for() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    agent.config.shims_memory = Some(LEAST.0);
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    assert_eq!(offered(&link).mem().0, 4_096_000);
    for n in 0..LEAST.1 {
        let id = format!("t{n}");
        link.launch(command_task(&id, "exec sleep 1000")).await;
        link.until(&id, TaskState::TaskRunning).await;
    }
    link.launch(command_task("more", "exec sleep 1000")).await;
    let status = link.until("more", TaskState::TaskFailed).await;
    assert!(status.message().contains("--shims-memory has room for no more"), "{status:?}");
    assert_eq!(agent.containers().len(), LEAST.1, "nobody else is hurt");
    link.kill("t0").await;
    link.until("t0", TaskState::TaskKilled).await;
    eventually("it is gone", || agent.containers().len() < LEAST.1).await;
    link.launch(command_task("later", "exec sleep 1000")).await;
    link.until("later", TaskState::TaskRunning).await;
    running.stop().await;
}
