//! Agents that operators take out of service: deactivated, drained, given up for good.
//!
//! A deactivated agent is offered to nobody; what runs there runs on. A draining one is deactivated, its frameworks may be given
//! notice to leave it by themselves (they are asked by inverse offers), then what is left is killed; when nothing is left it is
//! drained, or gone if that was asked for. All of it is in the agent's record, so that it survives failovers, and it is done to
//! an agent that is away when it comes back. Source: Mesos' draining; the notice and the cancelling are not Mesos'.

mod follow;
mod gone;
mod kill;
mod plan;
mod select;
mod waits;

use std::time::Duration;

use chapada_model::{AgentId, Mono, Now, Text, Unavailability, Wall};

pub(crate) use gone::Farewell;
pub(crate) use plan::MAX_DRAIN_NAME;
pub use plan::{DrainPlan, DrainStep, MAX_DRAINS};
pub use select::{MAX_AGENTS_PER_DRAIN, PassedOver, Selection};
pub use waits::{Away, DrainWait};

use crate::pending::Pending;
use crate::timers::Timer;
use crate::{
    AgentCommand, AgentRecord, AgentState, Effect, Master, OperatorRefused, RegistryChange, Standing, Ticket,
};

/// The longest notice, and the longest grace: more is as good as for ever.
pub const MAX_NOTICE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How an agent is to be drained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DrainOrder {
    /// For how long frameworks may leave by themselves before what is left is killed; absent when it is killed at once.
    #[serde(default)]
    pub notice: Option<Duration>,
    /// The longest time that a task is given from the kill to its end; absent when each has its own.
    #[serde(default)]
    pub max_grace: Option<Duration>,
    /// Whether the agent is given up for good once nothing is left.
    #[serde(default)]
    pub mark_gone: bool,
}

/// The draining of an agent.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Drain {
    /// How.
    pub order: DrainOrder,
    /// Since when.
    pub since: Wall,
    /// Whether nothing is left on the agent.
    pub is_drained: bool,
    /// The drain of many that it is part of.
    #[serde(default)]
    pub part_of: Option<Text>,
    /// Whether a leader has seen the notice end, and has begun to kill what is left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_notice_over: bool,
    /// What was killed for the agent's drain before it was ordered anew: what was said of it then holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub killed_before: Option<KilledBefore>,
}

/// When a drain killed what was left, before its order was renewed. By these times tasks are told that ended for it.
///
/// It is one time. Orders that follow each other with the same end are one, however many; with each order that changes whether the
/// agent will be gone, or that gives notice again and then kills, the time before the last is forgotten. A task that ended in it, and
/// whose end nobody has acknowledged through all of these orders, is told by the next leader as its agent states it: KILLED, where
/// the former may have said GONE_BY_OPERATOR. Both are ends. How gently anything is killed never depends on it: the order in force
/// alone says that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KilledBefore {
    /// From when.
    pub from: Wall,
    /// Until when.
    pub until: Wall,
    /// Whether the agent was to be given up for good.
    pub mark_gone: bool,
}

impl Drain {
    /// From when what is left is killed.
    fn kills_from(&self) -> Wall {
        self.since + self.order.notice.unwrap_or_default()
    }

    /// Whether the agent was to be given up for good when a task there ended at this time, if it ended for the drain. One whose time
    /// nobody knows ended for a drain that is killing.
    fn mark_gone_at(&self, at: Option<Wall>, is_killing: bool) -> Option<bool> {
        if is_killing && at.is_none_or(|at| at >= self.kills_from()) {
            return Some(self.order.mark_gone);
        }
        let before =
            self.killed_before.filter(|before| at.is_some_and(|at| before.from <= at && at < before.until));
        before.map(|before| before.mark_gone)
    }

    /// Until when frameworks may leave by themselves; nothing when what is there is killed at once.
    pub fn leave_by(&self) -> Option<Wall> {
        self.order.notice.map(|notice| self.since + notice)
    }

    /// What tells it from others of the same agent.
    fn name(&self) -> (Wall, Option<Duration>) {
        (self.since, self.order.notice)
    }
}

/// A call about agents, already parsed.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentCall {
    /// The agent is offered to nobody from now on.
    Deactivate {
        /// Which.
        agent: AgentId,
    },
    /// The agent is offered again. Not while it is draining.
    Reactivate {
        /// Which.
        agent: AgentId,
    },
    /// The agent is deactivated and emptied. One that is draining already goes on as this says.
    Drain {
        /// Which.
        agent: AgentId,
        /// How.
        order: DrainOrder,
    },
    /// The agent is no longer drained, and is offered again. What was told to end ends all the same.
    CancelDrain {
        /// Which.
        agent: AgentId,
    },
    /// The agent is given up for good, with all it runs.
    MarkGone {
        /// Which.
        agent: AgentId,
    },
    /// Many agents are drained, some at once.
    DrainMany {
        /// What this is called from now on.
        name: Text,
        /// Which agents.
        selection: Selection,
        /// How many are draining at the same time.
        at_once: u32,
        /// How each is drained, from when its turn comes.
        order: DrainOrder,
    },
    /// Nothing more of a drain of many begins, and its agents that are not drained yet are offered again.
    CancelMany {
        /// What it is called.
        name: Text,
    },
    /// Agents that do not answer are given up for so long, however many they are. It is the word to this leader, and not durable.
    AllowRemovals {
        /// For how long, a day at most; zero takes it back.
        time: Duration,
    },
}

/// How far the draining of an agent has come that is not drained yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Draining {
    /// Which drain it is: since when, and with how much notice.
    is_of: (Wall, Option<Duration>),
    /// When what is left is killed; nothing when that has come.
    pub(crate) kills_at: Option<Mono>,
    /// Whether its end is on its way into the registry.
    pub(crate) is_ending: bool,
}

impl Master {
    /// Takes a call about agents. It is in force, and its caller may be answered, once the ticket is recorded; at once when there
    /// is none, for then nothing changes.
    ///
    /// # Errors
    /// [`OperatorRefused`] says why; nothing has changed then, apart from what time alone has changed.
    pub fn apply_agent_call(
        &mut self,
        now: Now,
        call: AgentCall,
    ) -> Result<(Vec<Effect>, Option<Ticket>), OperatorRefused> {
        self.begin(now);
        let ticket = self.agent_call(call)?;
        Ok((self.finish(), ticket))
    }

    fn agent_call(&mut self, call: AgentCall) -> Result<Option<Ticket>, OperatorRefused> {
        let record = |id: &AgentId| {
            let known = self.registry.agents.get(id);
            known.cloned().ok_or_else(|| OperatorRefused::NotFound(format!("No agent found with ID {id}")))
        };
        Ok(match call {
            AgentCall::Deactivate { agent } => {
                let record = present(&agent, record(&agent)?)?;
                self.put_duty(agent, AgentRecord { deactivated: true, ..record })
            }
            AgentCall::Reactivate { agent } => {
                let record = present(&agent, record(&agent)?)?;
                if record.drain.as_ref().is_some_and(|drain| !drain.is_drained) {
                    // Source: Mesos' words.
                    return Err(OperatorRefused::Invalid("Agent is still in the DRAINING state".to_owned()));
                }
                self.put_duty(agent, AgentRecord { deactivated: false, drain: None, ..record })
            }
            AgentCall::Drain { agent, order } => {
                let record = present(&agent, record(&agent)?)?;
                self.begin_drain(agent, record, order, None)
            }
            AgentCall::CancelDrain { agent } => {
                let record = present(&agent, record(&agent)?)?;
                if record.drain.as_ref().is_none_or(|drain| drain.is_drained) {
                    let message =
                        format!("agent {agent} is not draining: REACTIVATE_AGENT has it offered again");
                    return Err(OperatorRefused::Conflict(message));
                }
                self.put_duty(agent, AgentRecord { deactivated: false, drain: None, ..record })
            }
            AgentCall::MarkGone { agent } => match record(&agent)?.standing {
                Standing::Gone { .. } => None,
                Standing::Admitted | Standing::Unreachable { .. } => Some(self.mark_gone(agent)),
            },
            AgentCall::AllowRemovals { time } => {
                self.allow_removals(time)?;
                None
            }
            call @ (AgentCall::DrainMany { .. } | AgentCall::CancelMany { .. }) => self.plan_call(call)?,
        })
    }

    pub(crate) fn begin_drain(
        &mut self,
        agent: AgentId,
        record: AgentRecord,
        order: DrainOrder,
        part_of: Option<Text>,
    ) -> Option<Ticket> {
        let bounded = |time: Duration| time.min(MAX_NOTICE);
        let order = DrainOrder {
            notice: order.notice.filter(|notice| !notice.is_zero()).map(bounded),
            max_grace: order.max_grace.map(bounded),
            ..order
        };
        let killed_before = record.drain.as_ref().and_then(|former| self.killed_until_now(&agent, former));
        let drain = Drain {
            order,
            since: self.now.wall,
            is_drained: false,
            part_of,
            is_notice_over: false,
            killed_before,
        };
        self.put_duty(agent, AgentRecord { deactivated: true, drain: Some(drain), ..record })
    }

    /// Asks for an agent's record to be made durable, when it says something new of whether it is offered or drained.
    pub(crate) fn put_duty(&mut self, agent: AgentId, record: AgentRecord) -> Option<Ticket> {
        if self.registry.agents.get(&agent).is_some_and(|known| *known == record) {
            return None;
        }
        let (deactivated, drain) = (record.deactivated, record.drain.clone());
        let then = Pending::Duty { agent: agent.clone(), deactivated, drain };
        Some(self.record_then(RegistryChange::PutAgent(agent, record), then))
    }

    /// What an operator said of the agent is durable.
    pub(crate) fn on_duty_recorded(&mut self, id: &AgentId, deactivated: bool, drain: Option<Drain>) {
        let Some(agent) = self.agent_mut(id).filter(|agent| !matches!(agent.state, AgentState::Gone { .. }))
        else {
            return;
        };
        agent.deactivated = deactivated;
        let is_news = agent.drain != drain;
        agent.drain.clone_from(&drain);
        if is_news {
            self.tell_agent(id, AgentCommand::Drain { drain });
        }
        self.plans_due = true;
        let former = self.draining.get(id).copied();
        self.forget_drain(id);
        self.follow_drain_of(id, former);
        self.settle_activity(id);
        self.on_unavailability_changed(id);
        if self.is_killing(id) {
            self.kill_for_drain(id);
        }
    }

    /// An agent is offered when it is connected and not deactivated.
    pub(crate) fn settle_activity(&mut self, id: &AgentId) {
        let Some(agent) = self.books.agents.get(id) else { return };
        let is_active = matches!(agent.state, AgentState::Active { .. }) && !agent.deactivated;
        if !is_active {
            for offer in self.index.offers_by_agent.of(id) {
                self.rescind(&offer);
            }
        }
        self.allocator.set_agent_active(id, is_active);
    }

    /// Begins to watch the draining of an agent, if it is draining: from now, when it has just become durable, or as it was watched
    /// until now. No clock that is set meanwhile changes when the notice ends.
    fn follow_drain_of(&mut self, id: &AgentId, former: Option<Draining>) {
        let kills_at = |drain: &Drain, now: Mono| match former {
            Some(former) if former.is_of == drain.name() => former.kills_at,
            Some(_) | None => drain.order.notice.filter(|_| !drain.is_notice_over).map(|notice| now + notice),
        };
        self.watch_drain_of(id, kills_at);
    }

    /// Watches the draining of an agent on, if it was draining under the former leader. Of its notice what is left counts, by the
    /// clocks of both leaders: it began for people, and not for this one. Should it be over by them although no leader has seen it
    /// end, one of the clocks may be wrong, and frameworks are given the time that agents have to come back; should it be over for
    /// longer than that, the whole notice again.
    pub(crate) fn recover_drain_of(&mut self, id: &AgentId) {
        let (wall, grace) = (self.now.wall, self.settings.agent_reregister_timeout);
        let kills_at = |drain: &Drain, now: Mono| {
            let notice = drain.order.notice.filter(|_| !drain.is_notice_over)?;
            let passed = Duration::from_nanos(wall.0.saturating_sub(drain.since.0));
            let left = match notice.checked_sub(passed) {
                Some(left) if !left.is_zero() => left,
                _ if passed.saturating_sub(notice) <= grace => notice.min(grace),
                _ => notice,
            };
            Some(now + left)
        };
        self.watch_drain_of(id, kills_at);
    }

    fn watch_drain_of(&mut self, id: &AgentId, kills_at: impl Fn(&Drain, Mono) -> Option<Mono>) {
        let drain = self.books.agents.get(id).and_then(|agent| agent.drain.as_ref());
        let Some(drain) = drain.filter(|drain| !drain.is_drained) else { return };
        let (is_of, kills_at) = (drain.name(), kills_at(drain, self.now.mono));
        if let Some(at) = kills_at {
            self.timers.set(at, Timer::Drain(id.clone()));
        }
        self.draining.insert(id.clone(), Draining { is_of, kills_at, is_ending: false });
        self.drains_due.insert(id.clone());
    }

    /// Watches the draining of an agent no longer.
    pub(crate) fn forget_drain(&mut self, id: &AgentId) {
        self.drains_due.remove(id);
        if let Some(Draining { kills_at: Some(at), .. }) = self.draining.remove(id) {
            self.timers.clear(at, Timer::Drain(id.clone()));
        }
    }

    /// When the agent's frameworks have been told to be gone from it, if they have.
    pub(crate) fn notice_of(&self, id: &AgentId) -> Option<Unavailability> {
        let drain = self.books.agents.get(id)?.drain.as_ref().filter(|drain| !drain.is_drained)?;
        drain.leave_by().map(|start| Unavailability { start, duration: None })
    }
}

/// The record of an agent that may come back.
fn present(id: &AgentId, record: AgentRecord) -> Result<AgentRecord, OperatorRefused> {
    match record.standing {
        Standing::Gone { .. } => {
            Err(OperatorRefused::Conflict(format!("agent {id} was given up for good: it never comes back")))
        }
        Standing::Admitted | Standing::Unreachable { .. } => Ok(record),
    }
}
