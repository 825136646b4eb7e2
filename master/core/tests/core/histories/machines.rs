//! Maintenance in random histories, most of it of machines that have agents.

use chapada_master_core::{AgentCommand, Call, MaintenanceCall, RefusedReason};
use chapada_model::{FrameworkId, MachineId, OfferId};

use super::Run;
use crate::maintenance::{machine, window};

impl Run<'_> {
    pub(super) fn about_machines(&mut self) {
        let some: Vec<MachineId> = (0..1 + self.draw() % 2).map(|_| self.some_machine()).collect();
        let scheduled: Vec<MachineId> = self.world.books().machines.keys().cloned().collect();
        let books = self.world.books();
        let down: Vec<MachineId> =
            books.machines.iter().filter(|(_, machine)| machine.is_down).map(|(id, _)| id.clone()).collect();
        let (name, call) = match self.draw() % 6 {
            // What is down is so seldom that it has to be seized.
            kind if kind < 4 && !down.is_empty() => {
                ("STOP_MAINTENANCE", MaintenanceCall::Stop { machines: down })
            }
            0 | 1 => {
                let known = self.pick(&scheduled, some[0].clone());
                ("START_MAINTENANCE", MaintenanceCall::Start { machines: vec![known] })
            }
            2 => ("STOP_MAINTENANCE", MaintenanceCall::Stop { machines: some }),
            _ => {
                let mut later = window(9, &[]);
                later.machines = some;
                let mut windows = vec![later];
                if self.once_in(2) {
                    windows.push(window(1 + (self.draw() % 2) as u64, &["127.0.0.1/"]));
                }
                ("UPDATE_MAINTENANCE_SCHEDULE", MaintenanceCall::UpdateSchedule { windows })
            }
        };
        let is_taken = self.world.maintenance(call).is_ok();
        let (taken, refused) = *self.tally.borrow().roles.get(name).unwrap_or(&(0, 0));
        let counts = if is_taken { (taken + 1, refused) } else { (taken, refused + 1) };
        self.tally.borrow_mut().roles.insert(name, counts);
    }

    fn some_machine(&mut self) -> MachineId {
        machine(["host0", "HOST1", "host2", "host3/127.0.0.1", "nobody"][self.draw() % 5])
    }

    pub(super) fn answer_inverse(&mut self, framework: &FrameworkId) -> (&'static str, Call) {
        let books = self.world.books();
        let own = books.inverse_offers.values().filter(|offer| offer.framework == *framework);
        let own: Vec<OfferId> = own.map(|offer| offer.id.clone()).collect();
        let made_up = self.offer(framework);
        let offers = vec![self.pick(&own, made_up)];
        let (will_leave, filters) = (self.once_in(2), self.filters());
        ("ANSWER_INVERSE", Call::AnswerInverse { offers, will_leave, filters })
    }

    /// An agent that was told that its id is gone has ended all it had, and comes back as a new one.
    pub(super) fn forget_if_gone(&mut self, index: usize) {
        let agent = &mut self.world.agents[index];
        let is_gone = |command: &AgentCommand| {
            matches!(command, AgentCommand::Refused { reason: RefusedReason::Gone, .. })
        };
        if agent.commands.last().is_some_and(is_gone) {
            agent.commands.clear();
            agent.tasks.clear();
            agent.executors.clear();
            agent.operations.clear();
            agent.description.id = None;
        }
    }
}
