//! Many agents drained, some at once: which, how far that is, and what comes next. Worked off from the registry as it will be, so
//! that a new leader goes on where the former one stopped.

use std::collections::BTreeSet;

use chapada_model::{AgentId, Text, Wall};

use super::{AgentCall, Drain, DrainOrder, Selection};
use crate::pending::Pending;
use crate::{AgentRecord, AgentState, Master, OperatorRefused, RegistryChange, Snapshot, Standing, Ticket};

/// How many drains are remembered, ended ones included (I8).
pub const MAX_DRAINS: usize = 100;

/// The longest name of a drain.
pub(crate) const MAX_DRAIN_NAME: usize = 100;

/// Many agents that are drained, some at once.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DrainPlan {
    /// Since when.
    pub since: Wall,
    /// Which agents, in the operator's words.
    pub selected_by: Text,
    /// How each is drained.
    pub order: DrainOrder,
    /// How many are draining at the same time. One that comes back from out of reach when so many others are draining waits
    /// for its turn again.
    pub at_once: u32,
    /// Those whose turn has not come.
    pub waiting: BTreeSet<AgentId>,
    /// Those whose turn has come.
    pub begun: BTreeSet<AgentId>,
    /// Since when there is nothing left to do.
    pub ended: Option<Wall>,
    /// Whether an operator has ended it.
    pub is_cancelled: bool,
}

impl DrainPlan {
    /// As [`DrainPlan::at_once`], to count with.
    pub(crate) fn most(&self) -> usize {
        usize::try_from(self.at_once).unwrap_or(usize::MAX)
    }
}

/// How far one agent of a drain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DrainStep {
    /// Its turn has not come.
    Waiting,
    /// Something is left on it.
    Draining,
    /// Nothing is left on it.
    Drained,
    /// It does not answer: it goes on when it comes back, and nobody waits for it.
    Unreachable,
    /// It is gone for good, or forgotten.
    Gone,
    /// An operator has it offered again.
    Withdrawn,
}

impl DrainStep {
    fn of(standing: Option<Standing>, drain: Option<&Drain>, plan: &str) -> Self {
        match (standing, drain) {
            (None | Some(Standing::Gone { .. }), _) => Self::Gone,
            (_, Some(drain)) if drain.is_drained => Self::Drained,
            (Some(Standing::Unreachable { .. }), Some(_)) => Self::Unreachable,
            (_, Some(drain)) if drain.part_of.as_deref() == Some(plan) => Self::Draining,
            (_, _) => Self::Withdrawn,
        }
    }
}

impl Snapshot {
    /// How far an agent of a drain is.
    pub fn drain_step(&self, name: &str, plan: &DrainPlan, id: &AgentId) -> DrainStep {
        if plan.waiting.contains(id) {
            return DrainStep::Waiting;
        }
        let agent = self.agents.get(id);
        let standing = agent.map(|agent| match agent.state {
            AgentState::Gone { since } => Standing::Gone { since },
            AgentState::Unreachable { since } => Standing::Unreachable { since },
            _ => Standing::Admitted,
        });
        DrainStep::of(standing, agent.and_then(|agent| agent.drain.as_ref()), name)
    }
}

impl Master {
    pub(super) fn drain_many(
        &mut self,
        name: Text,
        selection: Selection,
        at_once: u32,
        order: DrainOrder,
    ) -> Result<Option<Ticket>, OperatorRefused> {
        let invalid = |why: String| Err(OperatorRefused::Invalid(why));
        if name.is_empty()
            || name.len() > MAX_DRAIN_NAME
            || name.contains(|c: char| !c.is_ascii_graphic() || c == '/')
        {
            return invalid(format!(
                "the name of a drain has 1 to {MAX_DRAIN_NAME} printable characters and no slash"
            ));
        }
        if self.registry.drains.contains_key(&name) {
            return Err(OperatorRefused::Conflict(format!(
                "there is a drain {name} already: name it otherwise"
            )));
        }
        if at_once == 0 {
            return invalid("at_once must be at least 1".to_owned());
        }
        let (selected_by, waiting) = self.selected(selection)?;
        let since = self.now.wall;
        let plan = DrainPlan {
            since,
            selected_by,
            order,
            at_once,
            waiting,
            begun: BTreeSet::new(),
            ended: None,
            is_cancelled: false,
        };
        let largest = DrainPlan { ended: Some(since), ..plan.clone() };
        if let Err(why) = self.check_change_fits(&RegistryChange::PutDrain(name.clone(), Some(largest))) {
            return invalid(format!("the drain is too large: {why}: make several of fewer agents each"));
        }
        self.make_room_for_drain()?;
        self.plans_due = true;
        Ok(Some(self.put_plan(name, Some(plan))))
    }

    /// The drain that ended longest ago makes room.
    fn make_room_for_drain(&mut self) -> Result<(), OperatorRefused> {
        if self.registry.drains.len() < MAX_DRAINS {
            return Ok(());
        }
        let ended = self.registry.drains.iter().filter_map(|(name, plan)| Some((plan.ended?, name.clone())));
        let Some((_, oldest)) = ended.min() else {
            let message = format!("{MAX_DRAINS} drains are under way: cancel one or wait");
            return Err(OperatorRefused::Conflict(message));
        };
        self.put_plan(oldest, None);
        Ok(())
    }

    fn put_plan(&mut self, name: Text, plan: Option<DrainPlan>) -> Ticket {
        let then = Pending::Plan(name.clone(), plan.clone());
        self.record_then(RegistryChange::PutDrain(name, plan), then)
    }

    pub(crate) fn on_plan_recorded(&mut self, name: Text, plan: Option<DrainPlan>) {
        match plan {
            Some(plan) => drop(self.books.drains.insert(name, plan)),
            None => drop(self.books.drains.remove(&name)),
        }
    }

    /// Nothing more of a drain begins, and its agents that are draining are offered again.
    pub(super) fn cancel_many(&mut self, name: &Text) -> Result<Option<Ticket>, OperatorRefused> {
        let Some(mut plan) = self.registry.drains.get(name).cloned() else {
            return Err(OperatorRefused::NotFound(format!("there is no drain {name}")));
        };
        if plan.ended.is_some() {
            return Err(OperatorRefused::Conflict(format!("drain {name} has ended")));
        }
        for id in plan.begun.clone() {
            if let Some(record) = self.draining_for(name, &id) {
                self.put_duty(id, AgentRecord { deactivated: false, drain: None, ..record });
            }
        }
        plan.waiting.clear();
        (plan.is_cancelled, plan.ended) = (true, Some(self.now.wall));
        Ok(Some(self.put_plan(name.clone(), Some(plan))))
    }

    /// The record of an agent that is draining for this.
    fn draining_for(&self, name: &str, id: &AgentId) -> Option<AgentRecord> {
        let record = self.registry.agents.get(id)?;
        let step = DrainStep::of(Some(record.standing), record.drain.as_ref(), name);
        (step == DrainStep::Draining).then(|| record.clone())
    }

    /// Has the next agents of each drain begin as others are done, and ends drains of which nothing is left to do.
    pub(crate) fn follow_plans(&mut self) {
        if !std::mem::take(&mut self.plans_due) {
            return;
        }
        let open = self.registry.drains.iter().filter(|(_, plan)| plan.ended.is_none());
        for (name, before) in open.map(|(name, plan)| (name.clone(), plan.clone())).collect::<Vec<_>>() {
            let plan = self.next_of(&name, before.clone());
            if plan != before {
                self.put_plan(name, Some(plan));
            }
        }
    }

    fn next_of(&mut self, name: &Text, mut plan: DrainPlan) -> DrainPlan {
        // Those that had begun when a former leader fell before it could write that down.
        let ahead: Vec<AgentId> =
            plan.waiting.iter().filter(|id| self.draining_for(name, id).is_some()).cloned().collect();
        for id in ahead {
            plan.waiting.remove(&id);
            plan.begun.insert(id);
        }
        let mut active = self.count_draining(name, &plan);
        while active < plan.most()
            && let Some(id) = plan.waiting.pop_first()
        {
            self.begin_for(name, &plan, &id);
            active += usize::from(self.draining_for(name, &id).is_some());
            plan.begun.insert(id);
        }
        if plan.waiting.is_empty() && active == 0 {
            plan.ended = Some(self.now.wall);
        }
        plan
    }

    fn count_draining(&self, name: &str, plan: &DrainPlan) -> usize {
        plan.begun.iter().filter(|id| self.draining_for(name, id).is_some()).count()
    }

    /// An agent comes back from out of reach. If as many others are draining in its place as may be, its turn comes again; until
    /// then it is offered, and what was not told to end runs on.
    pub(crate) fn wait_in_line(&mut self, id: &AgentId) {
        let Some(record) = self.registry.agents.get(id).cloned() else { return };
        let (Standing::Unreachable { .. }, Some(drain)) = (record.standing, &record.drain) else { return };
        let Some(name) = drain.part_of.clone().filter(|_| !drain.is_drained) else { return };
        let Some(mut plan) = self.registry.drains.get(&name).cloned() else { return };
        if plan.ended.is_some() || self.count_draining(&name, &plan) < plan.most() {
            return;
        }
        plan.begun.remove(id);
        plan.waiting.insert(id.clone());
        self.put_plan(name, Some(plan));
        self.put_duty(id.clone(), AgentRecord { deactivated: false, drain: None, ..record });
    }

    /// The turn of an agent has come. One that is draining already goes on as it does, and one that is drained stays so.
    fn begin_for(&mut self, name: &Text, plan: &DrainPlan, id: &AgentId) {
        let Some(record) = self.registry.agents.get(id).cloned() else { return };
        if matches!(record.standing, Standing::Gone { .. }) {
            return;
        }
        match record.drain.clone() {
            Some(drain) if drain.is_drained => {}
            Some(drain) => {
                let drain = Some(Drain { part_of: Some(name.clone()), ..drain });
                self.put_duty(id.clone(), AgentRecord { drain, ..record });
            }
            None => drop(self.begin_drain(id.clone(), record, plan.order, Some(name.clone()))),
        }
    }

    /// For calls about drains of many.
    pub(super) fn plan_call(&mut self, call: AgentCall) -> Result<Option<Ticket>, OperatorRefused> {
        match call {
            AgentCall::DrainMany { name, selection, at_once, order } => {
                self.drain_many(name, selection, at_once, order)
            }
            AgentCall::CancelMany { name } => self.cancel_many(&name),
            _ => Ok(None),
        }
    }
}
