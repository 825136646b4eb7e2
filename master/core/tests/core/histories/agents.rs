//! What operators say of agents in random histories: deactivated, drained, given up for good.

use std::time::Duration;

use chapada_master_core::{AgentCall, DrainOrder};

use super::Run;

/// Each of these was taken at least once, and refused at least once.
pub(super) const AGENT_CALLS: [&str; 5] =
    ["DEACTIVATE_AGENT", "REACTIVATE_AGENT", "DRAIN_AGENT", "CANCEL_DRAIN", "MARK_AGENT_GONE"];

impl Run<'_> {
    pub(super) fn about_agents(&mut self) {
        let agent = self.agent_id();
        let (name, call) = match self.draw() % 12 {
            0 | 1 => ("DEACTIVATE_AGENT", AgentCall::Deactivate { agent }),
            2..6 => ("REACTIVATE_AGENT", AgentCall::Reactivate { agent }),
            6..9 => ("DRAIN_AGENT", AgentCall::Drain { agent, order: self.drain_order() }),
            9 | 10 => ("CANCEL_DRAIN", AgentCall::CancelDrain { agent }),
            _ => ("MARK_AGENT_GONE", AgentCall::MarkGone { agent }),
        };
        let is_taken = self.world.agent_call(call).is_ok();
        let (taken, refused) = *self.tally.borrow().roles.get(name).unwrap_or(&(0, 0));
        let counts = if is_taken { (taken + 1, refused) } else { (taken, refused + 1) };
        self.tally.borrow_mut().roles.insert(name, counts);
    }

    pub(super) fn drain_order(&mut self) -> DrainOrder {
        let seconds = |n: usize| [None, Some(0), Some(1), Some(3_600)][n % 4].map(Duration::from_secs);
        DrainOrder {
            notice: seconds(self.draw()),
            max_grace: seconds(self.draw()),
            mark_gone: self.once_in(6),
        }
    }
}
