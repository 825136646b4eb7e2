//! How long sandboxes are kept. Needs root.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::json;

use chapada_wire::link::from_agent;
use chapada_wire::v1::TaskState;

use crate::operator::ask;
use crate::pods::pod;
use crate::support::*;

/// Makes a directory look as if nothing had changed in it for a long time.
fn make_old(directory: &Path) {
    fs::File::open(directory).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
}

/// Waits until old sandboxes have been looked for.
async fn swept(agent: &TestAgent) {
    let run =
        agent.config.work_dir.join("slaves/agent-1/frameworks/framework-1/executors/marker/runs/marker");
    fs::create_dir_all(&run).unwrap();
    make_old(&run);
    eventually("what is old is removed", || !run.exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_is_kept_from_the_end_of_what_it_was_for() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    // A disk that is all but full makes them old sooner.
    (agent.config.gc_delay, agent.config.gc_disk_headroom) = (Duration::from_secs(1_000_000_000), 0.0);
    agent.config.disk_watch_interval = Duration::from_secs(1);
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let old = "touch -d 2001-01-01 .";
    link.launch(command_task("t", old)).await;
    link.until("t", TaskState::TaskFinished).await;
    let of_pod = command_task("member", "touch -d 2001-01-01 ../..; exit 0");
    link.launch_group(pod(), vec![of_pod], true).await;
    link.until("member", TaskState::TaskFinished).await;
    assert!(matches!(link.next().await, Some(from_agent::Message::ExecutorGone(_))));
    let scalar = |name, value| json!({ "name": name, "type": "SCALAR", "scalar": { "value": value } });
    let alone = json!({ "container_id": { "value": "alone" }, "command": { "value": old },
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)] });
    let id = json!({ "container_id": { "value": "alone" } });
    let call = json!({ "type": "LAUNCH_CONTAINER", "launch_container": alone });
    assert_eq!(ask(&link.hello.address, call).await.0, 200);
    assert_eq!(
        ask(&link.hello.address, json!({ "type": "WAIT_CONTAINER", "wait_container": id })).await.0,
        200
    );
    let alone = agent.config.work_dir.join("containers/alone");
    let all = [agent.sandbox("t"), agent.sandbox("pod"), alone].map(|path| fs::canonicalize(path).unwrap());
    swept(&agent).await;
    for sandbox in &all {
        assert!(sandbox.exists(), "{}", sandbox.display());
        make_old(sandbox);
    }
    eventually("they go in the end", || all.iter().all(|sandbox| !sandbox.exists())).await;
    running.stop().await;
}
