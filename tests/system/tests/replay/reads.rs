//! What master and agent tell about a framework with a running task and two that ended.

use crate::findings::{Deliberate, Findings};
use crate::message::recordings;
use crate::run::Replay;
use crate::scheduler::script;

/// What is missing, and why. More than Mesos told is no harm.
const DELIBERATE: &[Deliberate] = &[
    (": QUOTA_V2", "a published client stops at a capability that it does not know"),
    ("TASK_STARTING lacks .update.status.container_status.executor_pid", "as in the scheduler's replay"),
    (".git_", "releases are told apart by their version"),
    (".build_", "nothing is said of the machine that built it: builds can be repeated"),
    (": AGENT_DRAINING", "an agent lists what it can"),
    (": RESOURCE_PROVIDER", "an agent lists what it can"),
    ("agent_info.checkpoint", "deprecated, and not part of the v1 message: there is no agent that does not"),
];

#[test]
fn operators_read_what_mesos_tells() {
    let mut replay = Replay::start(Findings::new(DELIBERATE));
    let script = script();
    let running = script.iter().position(|exchange| exchange.name == "07b_acknowledge_running");
    let before = script.iter().take(running.expect("a recorded task runs") + 1);
    before.for_each(|exchange| replay.exchange(exchange));
    for folder in ["reads", "agent"] {
        recordings(folder).iter().for_each(|exchange| replay.exchange(exchange));
    }
    replay.conclude();
}
