//! What master and agent tell in each state that was recorded: without an agent, with one that does nothing, and with a
//! framework that has a running task and two that ended. More than Mesos told is no harm.

use crate::findings::Findings;
use crate::message::recordings;
use crate::run::Replay;
use crate::scheduler::script;

/// A master alone.
pub(crate) fn no_agent() -> Findings {
    let mut replay = Replay::start(0);
    recordings("no_agent").iter().for_each(|exchange| replay.exchange(exchange));
    replay.findings
}

/// A master and an agent.
pub(crate) fn idle() -> Findings {
    let mut replay = Replay::start(1);
    recordings("idle").iter().for_each(|exchange| replay.exchange(exchange));
    replay.findings
}

/// A framework with a task.
pub(crate) fn running() -> Findings {
    let mut replay = Replay::start(1);
    let script = script();
    let running = script.iter().position(|exchange| exchange.name == "07b_acknowledge_running");
    let before = script.iter().take(running.expect("a recorded task runs") + 1);
    before.for_each(|exchange| replay.exchange(exchange));
    for folder in ["reads", "agent"] {
        recordings(folder).iter().for_each(|exchange| replay.exchange(exchange));
    }
    replay.findings
}
