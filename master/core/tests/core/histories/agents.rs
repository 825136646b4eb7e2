//! What operators say of agents in random histories: deactivated, drained, given up for good.

use std::time::Duration;

use chapada_master_core::{AgentCall, AgentRecord, DrainOrder, Selection, Standing};
use chapada_model::{AgentId, Text};

use super::Run;

/// Each of these was taken at least once, and refused at least once.
pub(super) const AGENT_CALLS: [&str; 7] = [
    "DEACTIVATE_AGENT",
    "REACTIVATE_AGENT",
    "DRAIN_AGENT",
    "CANCEL_DRAIN",
    "MARK_AGENT_GONE",
    "DRAIN_AGENTS",
    "CANCEL_DRAIN of many",
];

impl Run<'_> {
    pub(super) fn about_agents(&mut self) {
        let agent = self.agent_id();
        let draining = self.draining();
        let (name, call) = match self.draw() % 18 {
            // What drains is so seldom that it has to be seized.
            kind if kind < 12 && !draining.is_empty() && self.once_in(3) => {
                ("CANCEL_DRAIN", AgentCall::CancelDrain { agent: self.pick(&draining, agent) })
            }
            12..15 => ("DRAIN_AGENTS", self.drain_many()),
            15 | 16 => {
                let open: Vec<Text> = self.world.books().drains.keys().cloned().collect();
                let name = self.pick(&open, "none".into());
                ("CANCEL_DRAIN of many", AgentCall::CancelMany { name })
            }
            17 => {
                let time = Duration::from_secs([0, 60][self.draw() % 2]);
                ("ALLOW_AGENT_REMOVALS", AgentCall::AllowRemovals { time })
            }
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

    /// Those that are being drained, and may come back if they are away.
    fn draining(&self) -> Vec<AgentId> {
        let is_draining = |record: &AgentRecord| {
            record.drain.as_ref().is_some_and(|drain| !drain.is_drained)
                && !matches!(record.standing, Standing::Gone { .. })
        };
        let agents = self.world.registry.agents.iter();
        agents.filter(|(_, record)| is_draining(record)).map(|(id, _)| id.clone()).collect()
    }

    fn drain_many(&mut self) -> AgentCall {
        let mut agents: Vec<AgentId> = self.world.books().agents.keys().cloned().collect();
        if self.once_in(3) {
            agents = vec![self.agent_id()];
        }
        let name = format!("d{}", self.draw() % 20).into();
        let at_once = (self.draw() % 3) as u32;
        AgentCall::DrainMany {
            name,
            selection: Selection::Agents(agents),
            at_once,
            order: self.drain_order(),
        }
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
