//! Why a draining agent is not drained yet, for people: what [`follow`](super::follow) waits for, read from the books.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chapada_model::{AgentId, FrameworkId, Text};

use crate::{Agent, AgentState, Drain, FrameworkState, Snapshot, TaskPhase};

/// One thing that a draining agent waits for. Each is a sentence, without its full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DrainWait {
    /// Nobody can tell it anything, nor does it say what is left on it.
    Away(Away),
    /// So many tasks may go on until the notice ends.
    Notice(usize),
    /// So many tasks were told to end and have not.
    Tasks(usize),
    /// So many tasks have ended, and their framework has not acknowledged it.
    Acknowledgements {
        /// Whose they are.
        framework: FrameworkId,
        /// What it is called, when it is known.
        name: Option<Text>,
        /// Whether it can be told.
        is_subscribed: bool,
        /// How many.
        tasks: usize,
    },
    /// So many executors of frameworks' own.
    Executors(usize),
    /// So many operations without an answer or an acknowledgement.
    Operations(usize),
    /// So many tasks whose name another agent's task has.
    Strays(usize),
    /// Nothing is left; the registry does not say so yet.
    Record,
}

/// How an agent is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    /// It has no connection.
    Disconnected,
    /// It has not come back to this leader.
    Recovering,
    /// It has connected and is not registered yet.
    Registering,
    /// It was given up.
    Unreachable,
}

impl fmt::Display for DrainWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(away) => away.fmt(f),
            Self::Notice(tasks) => write!(f, "{} may go on until the notice ends", counted(*tasks, "task")),
            Self::Tasks(tasks) => write!(f, "{} told to end and not ended yet", counted(*tasks, "task")),
            Self::Acknowledgements { framework, name, is_subscribed, tasks } => {
                let ended = counted(*tasks, "ended task");
                write!(f, "{ended} not acknowledged by framework {framework}")?;
                if let Some(name) = name {
                    write!(f, " ({name})")?;
                }
                match is_subscribed {
                    true => Ok(()),
                    false => f.write_str(", which is not subscribed: until it is back, or is removed"),
                }
            }
            Self::Executors(count) => write!(f, "{} not ended yet", counted(*count, "executor")),
            Self::Operations(count) => {
                write!(f, "{} without an answer or an acknowledgement", counted(*count, "operation"))
            }
            Self::Strays(count) => write!(f, "{} that another agent runs too", counted(*count, "task")),
            Self::Record => f.write_str("nothing is left, and the registry is about to say so"),
        }
    }
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disconnected => "the agent is not connected: it goes on when it is back",
            Self::Recovering => "the agent has not come back to this leader: it goes on when it does",
            Self::Registering => "the agent is registering",
            Self::Unreachable => "the agent is unreachable: it is drained when it comes back",
        })
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What is left on an agent, as far as the books know.
#[derive(Default)]
struct Left {
    live: usize,
    ended: BTreeMap<FrameworkId, usize>,
    operations: usize,
}

impl Agent {
    /// How it is being drained, while it is and may be yet.
    pub fn open_drain(&self) -> Option<&Drain> {
        let is_gone = matches!(self.state, AgentState::Gone { .. });
        self.drain.as_ref().filter(|drain| !drain.is_drained && !is_gone)
    }

    fn away(&self) -> Option<Away> {
        match self.state {
            AgentState::Active { .. } | AgentState::Gone { .. } => None,
            AgentState::Recovered { .. } => Some(Away::Recovering),
            AgentState::Admitting { .. } => Some(Away::Registering),
            AgentState::Disconnected { .. } | AgentState::Leaving => Some(Away::Disconnected),
            AgentState::Unreachable { .. } => Some(Away::Unreachable),
        }
    }
}

impl Snapshot {
    /// What each of these agents waits for that are draining, the first things first; never nothing. All tasks are looked through,
    /// once for all agents.
    pub fn drain_waits(&self, agents: BTreeSet<&AgentId>) -> BTreeMap<AgentId, Vec<DrainWait>> {
        let draining = agents.into_iter().filter_map(|id| self.agents.get(id));
        let draining: BTreeMap<&AgentId, &Agent> = draining
            .filter(|agent| agent.open_drain().is_some())
            .map(|agent| (&agent.id, &**agent))
            .collect();
        if draining.is_empty() {
            return BTreeMap::new();
        }
        let mut left: BTreeMap<&AgentId, Left> = draining.keys().map(|id| (*id, Left::default())).collect();
        for task in self.tasks.values() {
            let Some(left) = left.get_mut(&task.agent) else { continue };
            match task.phase {
                TaskPhase::Ended => *left.ended.entry(task.framework.clone()).or_default() += 1,
                TaskPhase::Live | TaskPhase::Unreachable => left.live += 1,
                TaskPhase::Completed => {}
            }
        }
        for operation in self.operations.values() {
            if let Some(left) = left.get_mut(&operation.agent) {
                left.operations += 1;
            }
        }
        let waits = |(id, left)| (AgentId::clone(id), self.waits_of(draining[id], left));
        left.into_iter().map(waits).collect()
    }

    fn waits_of(&self, agent: &Agent, left: Left) -> Vec<DrainWait> {
        let drain = agent.open_drain();
        let has_notice = drain.is_some_and(|drain| drain.order.notice.is_some() && !drain.is_notice_over);
        let mut waits: Vec<DrainWait> = agent.away().map(DrainWait::Away).into_iter().collect();
        let tasks = if has_notice { DrainWait::Notice } else { DrainWait::Tasks };
        waits.extend((left.live > 0).then(|| tasks(left.live)));
        waits.extend(left.ended.into_iter().map(|(framework, tasks)| {
            let known = self.frameworks.get(&framework);
            let name = known.map(|known| known.description.name.clone());
            let is_subscribed =
                known.is_some_and(|known| matches!(known.state, FrameworkState::Active { .. }));
            DrainWait::Acknowledgements { framework, name, is_subscribed, tasks }
        }));
        let counts = [
            (agent.executors.len(), DrainWait::Executors as fn(usize) -> DrainWait),
            (left.operations, DrainWait::Operations),
            (agent.strays.len(), DrainWait::Strays),
        ];
        waits.extend(counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, of)| of(count)));
        if waits.is_empty() {
            waits.push(DrainWait::Record);
        }
        waits
    }
}
