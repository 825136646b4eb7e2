//! Kills that overtake the launch they are meant for. A client's calls may take connections of their own, and then a KILL can
//! arrive before the ACCEPT that was sent before it. It is answered as that of an unknown task, as Mesos does, and the launch
//! is still to come: without a memory the task would start, and nobody would ever end it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chapada_model::{FrameworkId, Mono, Reason, TaskId, TaskState};

use crate::accept::Hand;
use crate::{Master, Proposal};

/// How many early kills of a framework are remembered; the oldest make room.
pub const MAX_EARLY_KILLS: usize = 1_000;

/// How long a kill of an unknown task waits for its launch: as long as a network repeats a lost packet a few times. A framework
/// that means to use a killed id again within this time, and with an offer from before, finds the task killed once more.
pub const EARLY_KILL_WAIT: Duration = Duration::from_secs(5);

/// The early kills of each framework.
#[derive(Clone, Debug, Default)]
pub(crate) struct EarlyKills(BTreeMap<FrameworkId, Kills>);

#[derive(Clone, Debug, Default)]
struct Kills {
    by_task: BTreeMap<TaskId, Mono>,
    by_time: BTreeSet<(Mono, TaskId)>,
}

impl Kills {
    fn note(&mut self, at: Mono, task: TaskId) {
        if let Some(before) = self.by_task.insert(task.clone(), at) {
            self.by_time.remove(&(before, task.clone()));
        }
        self.by_time.insert((at, task));
        if self.by_time.len() > MAX_EARLY_KILLS
            && let Some((_, oldest)) = self.by_time.pop_first()
        {
            self.by_task.remove(&oldest);
        }
    }

    fn forget(&mut self, task: &TaskId) -> Option<Mono> {
        let at = self.by_task.remove(task)?;
        self.by_time.remove(&(at, task.clone()));
        Some(at)
    }

    fn forget_what_waited_too_long(&mut self, now: Mono) {
        while let Some((_, task)) =
            self.by_time.first().filter(|(at, _)| *at + EARLY_KILL_WAIT < now).cloned()
        {
            self.forget(&task);
        }
    }
}

impl EarlyKills {
    /// How many frameworks have some, and how many the one with most.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.0.len(), self.0.values().map(|kills| kills.by_task.len()).max().unwrap_or(0))
    }

    /// The offers that a launch could use are gone, and with them every launch that is on its way.
    pub(crate) fn forget(&mut self, framework: &FrameworkId) {
        self.0.remove(framework);
    }
}

impl Master {
    /// Remembers the kill of a task that is not known. Without an offer no launch can be on its way.
    pub(crate) fn note_early_kill(&mut self, framework: &FrameworkId, task: TaskId) {
        if self.index.offers_by_framework.iter(framework).next().is_some() {
            self.early_kills.0.entry(framework.clone()).or_default().note(self.now.mono, task);
        }
    }

    /// Whether one of these tasks was to be killed after its launch was sent; then all are said to be killed. A launch that
    /// uses an offer from after the kill was sent after it, and means what it says.
    pub(crate) fn kill_early(&mut self, hand: &Hand, tasks: &[Proposal]) -> bool {
        for proposal in tasks {
            if let Proposal::Valid(task) = proposal {
                // Whatever becomes of it, the name is used again, and means what is launched now.
                self.late_kills.take(&hand.framework, &task.id);
            }
        }
        let now = self.now.mono;
        let Some(kills) = self.early_kills.0.get_mut(&hand.framework) else { return false };
        kills.forget_what_waited_too_long(now);
        let mut is_killed = false;
        for proposal in tasks {
            if let Proposal::Valid(task) = proposal {
                is_killed |= kills.forget(&task.id).is_some_and(|at| at >= hand.newest_offer);
            }
        }
        if is_killed {
            let message = "Killed before it was launched";
            for proposal in tasks {
                let reason = Reason::TaskKilledDuringLaunch;
                self.refuse_task(&hand.framework, proposal, TaskState::Killed, reason, message);
            }
        }
        is_killed
    }
}
