//! What an operator does through `POST /api/v1`, and what the master tells those who follow it meanwhile: an operator
//! changes weights, quota, reservations and a volume, and a framework comes, runs a task and goes.

use serde_json::Value;

use crate::findings::Findings;
use crate::message::recordings;
use crate::run::Replay;

/// In the order in which they were recorded. The event stream is read at the end.
pub(crate) fn replay() -> Findings {
    let mut replay = Replay::start(1);
    let mut followed = None;
    for exchange in recordings("operator") {
        match exchange.name.as_str() {
            "03_subscribe" => followed = Some((replay.open(&exchange), exchange)),
            _ => replay.exchange(&exchange),
        }
    }
    let (mut stream, recorded) = followed.expect("a recorded subscription");
    let kind = |event: &Value| event["type"].as_str().expect("an event has a type").to_owned();
    for recorded in recorded.response.events().0 {
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
    replay.findings
}
