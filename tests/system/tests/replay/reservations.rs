//! A framework that reserves, makes a volume, uses it and lets all go; and what the master tells while the volume is there.

use crate::findings::Findings;
use crate::message::recordings;
use crate::run::Replay;

/// In the order in which they were recorded.
pub(crate) fn replay() -> Findings {
    let mut replay = Replay::start(1);
    for exchange in recordings("reservations") {
        if exchange.name.starts_with("04_") {
            recordings("reserved").iter().for_each(|exchange| replay.exchange(exchange));
        }
        replay.exchange(&exchange);
    }
    replay.findings
}
