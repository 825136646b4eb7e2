//! What a master tells those who follow it, while a framework comes, runs a task and goes.

use serde_json::Value;

use crate::findings::{Deliberate, Findings};
use crate::message::recordings;
use crate::run::Replay;

/// What is missing, and why. More than Mesos told is no harm.
const DELIBERATE: &[Deliberate] = &[
    (": QUOTA_V2", "a published client stops at a capability that it does not know"),
    ("container_status.executor_pid", "as in the scheduler's replay"),
    (".unregistered_time", "a framework that is there has none; Mesos says 1970"),
];

#[test]
fn operators_hear_what_mesos_tells() {
    let mut replay = Replay::start(Findings::new(DELIBERATE));
    let subscribe = recordings("operator").pop().expect("a recorded subscription");
    let mut stream = replay.open(&subscribe);
    let mut life = recordings("life");
    let mut teardown = life.pop().expect("a life ends");
    // By then that framework had come back, on a stream of another name.
    teardown.request.headers = life[1].request.headers.clone();
    let first_task = life.iter().take_while(|exchange| exchange.name.as_str() < "05");
    first_task.for_each(|exchange| replay.exchange(exchange));
    drop(replay.open(&teardown));
    let kind = |event: &Value| event["type"].as_str().expect("an event has a type").to_owned();
    for recorded in subscribe.response.events().0 {
        let mut next = || stream.event().expect("the stream stays open");
        let mut ours = next();
        while kind(&ours) == "HEARTBEAT" && kind(&recorded) != "HEARTBEAT" {
            ours = next();
        }
        if kind(&recorded) == kind(&ours) {
            replay.findings.lacks(&kind(&ours), &recorded, &ours);
        } else {
            replay.findings.wrong(format!("event {ours}, not {recorded}"));
        }
    }
    replay.conclude();
}
