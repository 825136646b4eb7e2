//! Machines that operators take away at random: agents given up for good, maintenance scheduled, begun and ended; and what frameworks
//! answer when they are asked to leave.

use std::time::Duration;

use chapada_master_core::{
    Agent, AgentCall, AgentState, Call, FrameworkState, MaintenanceCall, MaintenanceWindow, Snapshot,
};
use chapada_model::{AgentId, Filters, FrameworkId, MachineId, OfferId, Unavailability};

use crate::sim::Sim;

impl Sim {
    /// Something about a machine, or what a framework answers that is asked to leave one.
    pub(super) fn about_machines(&mut self, leader: usize) {
        match self.rng.below(8) {
            0 => {
                if let Some(agent) = self.switch_off(|_| true) {
                    self.call_about_agents(leader, AgentCall::MarkGone { agent });
                }
            }
            1 | 2 => {
                let windows = self.windows();
                // What a master refuses is in the history.
                _ = self.maintain(MaintenanceCall::UpdateSchedule { windows });
            }
            3 => self.take_down(),
            4 | 5 => self.end_downtime(),
            _ => self.answer_inverse_offer(),
        }
    }

    /// Whether no machine is in the schedule any more.
    pub(super) fn end_maintenance(&mut self) -> bool {
        if self.registry.state.machines.is_empty() {
            return true;
        }
        self.end_downtime();
        // What is down now cannot be left out of a schedule.
        let is_down_somewhere = self.registry.state.machines.values().any(|machine| machine.is_down);
        if !is_down_somewhere {
            _ = self.maintain(MaintenanceCall::UpdateSchedule { windows: Vec::new() });
        }
        false
    }

    fn end_downtime(&mut self) {
        let machines = self.registry.state.machines.iter().filter(|(_, machine)| machine.is_down);
        let machines: Vec<MachineId> = machines.map(|(id, _)| id.clone()).collect();
        if !machines.is_empty() {
            _ = self.maintain(MaintenanceCall::Stop { machines });
        }
    }

    /// Switches a machine off for a while, and names its agent. An operator who gives an agent up has done so or looked: what still ran
    /// there, or was on its way, would run beside what its framework starts instead. Nothing is kept there that an owner waits for.
    fn switch_off(&mut self, may_go: impl Fn(&Agent) -> bool) -> Option<AgentId> {
        let books = self.books()?;
        let spare = |index: &usize| {
            let id = self.agents[*index].core.as_ref()?.id()?.clone();
            let agent = books.agents.get(&id)?;
            (is_spare(agent) && is_told(&books, &id) && may_go(agent)).then_some((*index, id))
        };
        let spare: Vec<(usize, AgentId)> = (0..self.agents.len()).filter_map(|index| spare(&index)).collect();
        let (index, id) = self.rng.pick(&spare)?.clone();
        let away = self.rng.between(Duration::from_secs(1), Duration::from_secs(60));
        self.reboot_agent(index, away);
        Some(id)
    }

    /// Takes a machine of the schedule down.
    fn take_down(&mut self) {
        let scheduled = self.registry.state.machines.clone();
        let machine_of = |agent: &Agent| MachineId::new(&agent.description.hostname, "").ok();
        let is_up = |agent: &Agent| {
            machine_of(agent).and_then(|id| scheduled.get(&id)).is_some_and(|machine| !machine.is_down)
        };
        let Some(id) = self.switch_off(is_up) else { return };
        let agent = self.books().and_then(|books| books.agents.get(&id).cloned());
        if let Some(machine) = agent.and_then(|agent| machine_of(&agent)) {
            _ = self.maintain(MaintenanceCall::Start { machines: vec![machine] });
        }
    }

    /// A schedule of some machines, now and then of one that nobody knows. Those that are down stay in it, or it would be refused.
    fn windows(&mut self) -> Vec<MaintenanceWindow> {
        let machines = self.registry.state.machines.iter().filter(|(_, machine)| machine.is_down);
        let mut named: Vec<MachineId> = machines.map(|(id, _)| id.clone()).collect();
        for index in 0..=self.agents.len() {
            let machine = MachineId::new(&format!("host{index}"), "").expect("a valid name");
            if self.rng.once_in(2) && !named.contains(&machine) {
                named.push(machine);
            }
        }
        let unavailability = |start: u64| Unavailability {
            start: chapada_model::Wall(start * 1_000_000_000),
            duration: Some(Duration::from_secs(60)),
        };
        let later = named.split_off(self.rng.place(named.len() + 1));
        let windows =
            [(named, 1_000), (later, 5_000)].into_iter().filter(|(machines, _)| !machines.is_empty());
        windows
            .map(|(machines, start)| MaintenanceWindow { machines, unavailability: unavailability(start) })
            .collect()
    }

    /// A framework that is asked to leave says whether it will. It may ask not to be asked again for a while.
    fn answer_inverse_offer(&mut self) {
        let Some(books) = self.books() else { return };
        let asked: Vec<OfferId> = books.inverse_offers.keys().cloned().collect();
        let Some(offer) = self.rng.pick(&asked).and_then(|id| books.inverse_offers.get(id)) else { return };
        let framework = self.frameworks.iter().position(|node| node.id.as_ref() == Some(&offer.framework));
        let Some(framework) = framework else { return };
        let refuse = Duration::from_secs(self.rng.below(20));
        let will_leave = self.rng.once_in(2);
        let (offers, filters) = (vec![offer.id.clone()], Filters { refuse });
        self.framework_calls(framework, Call::AnswerInverse { offers, will_leave, filters });
    }
}

/// Whether everyone who has a task on an agent can be told of its end, and no end waits to be acknowledged: what a framework has not heard
/// when its agent is given up it hears only when it asks.
fn is_told(books: &Snapshot, agent: &AgentId) -> bool {
    let is_there = |framework: &FrameworkId| {
        let known = books.frameworks.get(framework);
        known.is_some_and(|known| matches!(known.state, FrameworkState::Active { .. }))
    };
    let mut tasks = books.tasks.values().filter(|task| task.agent == *agent);
    tasks.all(|task| task.is_live() && is_there(&task.framework))
}

/// Whether an agent is connected, and has nothing that is kept for an instance of an app.
fn is_spare(agent: &Agent) -> bool {
    let is_kept = |one: &chapada_model::Resource| {
        one.is_volume() || one.reservations.iter().any(|reservation| !reservation.labels.is_empty())
    };
    matches!(agent.state, AgentState::Active { .. }) && !agent.total.iter().any(is_kept)
}
