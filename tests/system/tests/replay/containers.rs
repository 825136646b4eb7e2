//! What an agent answers to who launches containers of no task, and looks at, ends and removes them.

use crate::findings::Findings;
use crate::message::recordings;
use crate::run::Replay;

/// In the order in which they were recorded.
pub(crate) fn replay() -> Findings {
    let mut replay = Replay::start(1);
    recordings("containers").iter().for_each(|exchange| replay.exchange(exchange));
    replay.findings
}
