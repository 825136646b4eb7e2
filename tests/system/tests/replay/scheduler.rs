//! The scheduler API: calls that are refused, and a framework's life from subscribe to teardown.

use crate::findings::Findings;
use crate::message::{Exchange, recordings};
use crate::run::Replay;

/// How often offers come, and between which other events, is compared nowhere: see [`crate::stream`].
pub(crate) fn replay() -> Findings {
    let mut replay = Replay::start(1);
    script().iter().for_each(|exchange| replay.exchange(exchange));
    replay.findings
}

/// In the order in which they were recorded: some refusals need a framework that lives, that came back, that is gone.
pub(crate) fn script() -> Vec<Exchange> {
    let mut script = recordings("errors");
    script.append(&mut recordings("life"));
    script.append(&mut recordings("executor"));
    script.sort_by_key(|exchange| match (exchange.folder, &exchange.name[..2]) {
        ("executor", "03") => "26b_then".to_owned(),
        ("executor", "04") => "26c_then".to_owned(),
        ("executor", number) => format!("26_then_{number}"),
        ("errors", number) if number < "30" => String::new(),
        ("errors", number) if number < "40" => "00_subscribed".to_owned(),
        ("errors", "40") => "30_resubscribed".to_owned(),
        ("errors", _) => "31_torn_down".to_owned(),
        _ => exchange.name.clone(),
    });
    script.append(&mut recordings("protobuf"));
    script
}
