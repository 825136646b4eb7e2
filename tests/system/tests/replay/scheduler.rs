//! The scheduler API: calls that are refused, and a framework's life from subscribe to teardown.

use crate::findings::{Deliberate, Findings};
use crate::message::{Exchange, recordings};
use crate::run::Replay;

/// Differences that are meant. How often offers come, and between which other events, is compared
/// nowhere: see [`crate::stream`].
const DELIBERATE: &[Deliberate] = &[
    (
        "SUBSCRIBED lacks .subscribed.master_info.capabilities[].type: QUOTA_V2",
        "a published client stops at a capability that it does not know",
    ),
    (
        "UPDATE TASK_STARTING lacks .update.status.container_status.executor_pid",
        "a task is said to start before its first process does: no executor runs beside it that would have a pid",
    ),
];

#[test]
fn a_scheduler_is_answered_as_by_mesos() {
    let mut replay = Replay::start(Findings::new(DELIBERATE));
    assert!(DELIBERATE.len() <= 10, "at most ten differences may be deliberate");
    script().iter().for_each(|exchange| replay.exchange(exchange));
    replay.conclude();
}

/// In the order in which they were recorded: some refusals need a framework that lives, that came back, that is gone.
pub(crate) fn script() -> Vec<Exchange> {
    let mut script = recordings("errors");
    script.append(&mut recordings("life"));
    script.sort_by_key(|exchange| match (exchange.folder, &exchange.name[..2]) {
        ("errors", number) if number < "30" => String::new(),
        ("errors", number) if number < "40" => "00_subscribed".to_owned(),
        ("errors", "40") => "30_resubscribed".to_owned(),
        ("errors", _) => "31_torn_down".to_owned(),
        _ => exchange.name.clone(),
    });
    script.append(&mut recordings("protobuf"));
    script
}
