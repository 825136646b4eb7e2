//! What a master tells about a framework with a running task and two that ended.

use crate::findings::{Deliberate, Findings};
use crate::message::recordings;
use crate::run::Replay;
use crate::scheduler::script;

/// What is missing, by how it begins, and why.
const DELIBERATE: &[Deliberate] = &[];

#[test]
fn operators_read_what_mesos_tells() {
    let mut replay = Replay::start(Findings::new(DELIBERATE));
    let script = script();
    let running = script.iter().position(|exchange| exchange.name == "07b_acknowledge_running");
    let before = script.iter().take(running.expect("a recorded task runs") + 1);
    before.for_each(|exchange| replay.exchange(exchange));
    recordings("reads").iter().for_each(|exchange| replay.exchange(exchange));
    replay.conclude();
}
