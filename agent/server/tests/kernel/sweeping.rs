//! How long sandboxes are kept. Needs root.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use chapada_wire::link::from_agent;
use chapada_wire::v1::TaskState;

use crate::operator::ask;
use crate::pods::pod;
use crate::support::*;

/// By which a sandbox looks as if nothing had changed in it since 1970.
const GROW_OLD: &str = "touch -d @0 .";

/// An agent that keeps sandboxes for thirty years, or less the fuller the disk is; so what is from 1970 is always old enough.
fn sweeps(master: &ScriptedMaster) -> TestAgent {
    let mut agent = TestAgent::new(master.address);
    (agent.config.gc_delay, agent.config.gc_disk_headroom) = (Duration::from_secs(1_000_000_000), 0.0);
    agent.config.disk_watch_interval = Duration::from_secs(1);
    agent
}

/// Makes a directory look as if nothing had changed in it for a long time.
fn make_old(directory: &Path) {
    fs::File::open(directory).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
}

/// A sandbox of nobody's that is a day younger than what has grown old. The oldest go first, so once this has gone, whatever was
/// older has been looked at.
fn mark(agent: &TestAgent) -> PathBuf {
    let run =
        agent.config.work_dir.join("slaves/agent-1/frameworks/framework-1/executors/marker/runs/marker");
    fs::create_dir_all(&run).unwrap();
    let next_day = SystemTime::UNIX_EPOCH + Duration::from_secs(24 * 3600);
    fs::File::open(&run).unwrap().set_modified(next_day).unwrap();
    run
}

async fn swept(marker: &Path) {
    eventually("what is old is removed", || !marker.exists()).await;
}

/// LAUNCH_CONTAINER for a standalone one, and what names it in other calls.
async fn launch_alone(address: &str, command: &str) -> Value {
    let scalar = |name, value| json!({ "name": name, "type": "SCALAR", "scalar": { "value": value } });
    let alone = json!({ "container_id": { "value": "alone" }, "command": { "value": command },
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)] });
    let call = json!({ "type": "LAUNCH_CONTAINER", "launch_container": alone });
    assert_eq!(ask(address, call).await.0, 200);
    json!({ "container_id": { "value": "alone" } })
}

/// The tasks that the agent has only memories of.
async fn completed(address: &str) -> Vec<String> {
    let (_, tasks) = ask(address, json!({ "type": "GET_TASKS" })).await;
    let tasks: Value = serde_json::from_str(&tasks).unwrap();
    let tasks = tasks["get_tasks"]["completed_tasks"].as_array().cloned().unwrap_or_default();
    let mut ids: Vec<_> =
        tasks.iter().map(|task| task["task_id"]["value"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_is_kept_from_the_end_of_what_it_was_for() {
    let mut master = ScriptedMaster::start().await;
    let agent = sweeps(&master);
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let address = link.hello.address.clone();
    link.launch(command_task("t", GROW_OLD)).await;
    link.until("t", TaskState::TaskFinished).await;
    let of_pod = command_task("member", "touch -d @0 ../..; exit 0");
    link.launch_group(pod(), vec![of_pod], true).await;
    link.until("member", TaskState::TaskFinished).await;
    assert!(matches!(link.next().await, Some(from_agent::Message::ExecutorGone(_))));
    let id = launch_alone(&address, GROW_OLD).await;
    assert_eq!(ask(&address, json!({ "type": "WAIT_CONTAINER", "wait_container": id })).await.0, 200);
    eventually_async("none of them is held", async || completed(&address).await == ["member", "t"]).await;
    let alone = agent.config.work_dir.join("containers/alone");
    let all = [agent.sandbox("t"), agent.sandbox("pod"), alone].map(|path| fs::canonicalize(path).unwrap());
    swept(&mark(&agent)).await;
    for sandbox in &all {
        assert!(sandbox.exists(), "{}", sandbox.display());
        make_old(sandbox);
    }
    eventually("they go in the end", || all.iter().all(|sandbox| !sandbox.exists())).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standalone_sandbox_is_kept_also_when_the_end_came_while_no_agent_ran() {
    let mut master = ScriptedMaster::start().await;
    let agent = sweeps(&master);
    let first = AgentProcess::start(&agent);
    let link = master.welcome(1).await;
    let until = format!("until [ -e stop ]; do sleep 0.02; done; {GROW_OLD}; exit 0");
    launch_alone(&link.hello.address, &until).await;
    first.kill();
    let sandbox = agent.config.work_dir.join("containers/alone");
    fs::write(sandbox.join("stop"), "").unwrap();
    let reports = || {
        let exits = agent.containers().into_iter().map(|shim| agent.runtime_dir().join(shim).join("exit"));
        exits.filter(|exit| exit.exists()).count()
    };
    eventually("it has ended", || reports() == 1).await;
    let marker = mark(&agent);
    let second = AgentProcess::start(&agent);
    let _link = master.welcome(2).await;
    swept(&marker).await;
    assert!(sandbox.exists());
    make_old(&sandbox);
    eventually("it goes in the end", || !sandbox.exists()).await;
    drop(second);
}
