//! What operators ask of masters.

use chapada_master_core::{AgentCall, AgentState, MaintenanceCall, OperatorCall, OperatorRefused, RoleCall};

use crate::checks::roles_of;
use crate::sim::Sim;
use crate::tally::Met;

impl Sim {
    /// An operator asks a master for quotas or weights; the refusal, if it refuses.
    pub fn call_about_roles(&mut self, index: usize, call: RoleCall) -> Option<OperatorRefused> {
        if self.masters[index].held.is_some() {
            return None;
        }
        let now = self.clock(self.masters[index].offset);
        let core = self.masters[index].core.as_mut()?;
        self.history.note(self.now, format_args!("m{index} is asked for {call:?}"));
        let roles = roles_of(&call);
        match core.apply_role_call(now, call) {
            Ok((effects, ticket)) => {
                self.tally.met(Met::RolesChanged);
                self.note_asked(index, roles, ticket);
                self.after_master(index, effects);
                None
            }
            Err(refused) => {
                self.history.note(self.now, format_args!("m{index} refuses: {refused}"));
                Some(refused)
            }
        }
    }

    /// An operator asks the leader for maintenance; whether it was taken.
    pub fn maintain(&mut self, call: MaintenanceCall) -> bool {
        let Some(index) = self.leader().filter(|leader| self.masters[*leader].held.is_none()) else {
            return false;
        };
        let now = self.clock(self.masters[index].offset);
        let Some(core) = self.masters[index].core.as_mut() else { return false };
        self.history.note(self.now, format_args!("m{index} is asked for {call:?}"));
        match core.apply_maintenance(now, call) {
            Ok((effects, _)) => {
                self.after_master(index, effects);
                true
            }
            Err(refused) => {
                self.history.note(self.now, format_args!("m{index} refuses: {refused}"));
                false
            }
        }
    }

    /// An operator asks a master for what is done at once.
    pub(crate) fn operate(&mut self, index: usize, call: OperatorCall) {
        if self.masters[index].held.is_some() {
            return;
        }
        let now = self.clock(self.masters[index].offset);
        let Some(core) = self.masters[index].core.as_mut() else { return };
        self.history.note(self.now, format_args!("m{index} is asked for {call:?}"));
        let what = match &call {
            OperatorCall::Change { .. } => Met::ResourcesChanged,
            OperatorCall::Teardown { .. } => Met::TornDown,
        };
        match core.apply_operator(now, call) {
            Ok((effects, _)) => {
                self.tally.met(what);
                self.after_master(index, effects);
            }
            Err(refused) => self.history.note(self.now, format_args!("m{index} refuses: {refused}")),
        }
    }

    /// An operator asks a master to take agents out of service, or into it.
    pub(crate) fn call_about_agents(&mut self, index: usize, call: AgentCall) {
        if self.masters[index].held.is_some() {
            return;
        }
        let now = self.clock(self.masters[index].offset);
        let Some(core) = self.masters[index].core.as_mut() else { return };
        self.history.note(self.now, format_args!("m{index} is asked for {call:?}"));
        let (what, allowed) = match &call {
            AgentCall::Drain { .. } => (Met::AgentDrained, None),
            AgentCall::DrainMany { .. } => (Met::ManyDrained, None),
            AgentCall::AllowRemovals { time } => (Met::DutyChanged, Some(*time)),
            AgentCall::Deactivate { .. }
            | AgentCall::MarkGone { .. }
            | AgentCall::Reactivate { .. }
            | AgentCall::CancelDrain { .. }
            | AgentCall::CancelMany { .. } => (Met::DutyChanged, None),
        };
        match core.apply_agent_call(now, call) {
            Ok((effects, _)) => {
                self.tally.met(what);
                if let Some(time) = allowed {
                    self.note_allowance(index, time);
                }
                self.after_master(index, effects);
            }
            Err(refused) => self.history.note(self.now, format_args!("m{index} refuses: {refused}")),
        }
    }

    /// An operator gives up for good whoever is unreachable.
    pub fn give_up_unreachable(&mut self) {
        let Some(index) = self.leader().filter(|leader| self.masters[*leader].held.is_none()) else { return };
        let Some(books) = self.masters[index].core.as_ref().map(|core| core.snapshot()) else { return };
        let is_away = |state: &AgentState| matches!(state, AgentState::Unreachable { .. });
        for agent in books.agents.values().filter(|agent| is_away(&agent.state)) {
            self.call_about_agents(index, AgentCall::MarkGone { agent: agent.id.clone() });
        }
    }
}
