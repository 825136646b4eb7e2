//! Machines that operators take out of service for a while: scheduled, then down, then up again.
//!
//! A machine is up (not in the schedule), draining (in it: its frameworks are asked to leave) or down (its agents are gone, and
//! none may register). Only operators move it on; nothing happens by itself when a window begins. Source: Mesos' maintenance
//! primitives.

mod check;
mod down;
mod leave;

use std::net::IpAddr;

use chapada_model::{AgentDescription, AgentId, MachineId, Now, Unavailability};

pub use check::{MAX_MACHINES, MAX_MACHINES_PER_CALL};
pub use down::MAX_GONE_AGENTS;
pub use leave::{InverseAnswer, InverseOffer};

pub(crate) use leave::Leaving;

use crate::pending::Pending;
use crate::{Effect, Master, OperatorRefused, RegistryChange, Ticket};

/// A machine in the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Machine {
    /// When it will be away.
    pub unavailability: Unavailability,
    /// Whether an operator has taken it down; else it is draining.
    pub is_down: bool,
}

/// Machines that are away together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenanceWindow {
    /// Which.
    pub machines: Vec<MachineId>,
    /// When.
    pub unavailability: Unavailability,
}

/// A call about maintenance, already parsed.
#[derive(Clone, Debug, PartialEq)]
pub enum MaintenanceCall {
    /// The schedule is this from now on. All of it or nothing.
    UpdateSchedule {
        /// Each machine once.
        windows: Vec<MaintenanceWindow>,
    },
    /// Draining machines are down from now on. All of them or none.
    Start {
        /// Each once.
        machines: Vec<MachineId>,
    },
    /// Machines that are down are up from now on, and no longer in the schedule. All of them or none.
    Stop {
        /// Each once.
        machines: Vec<MachineId>,
    },
}

/// What becomes of machines; `None` takes one out of the schedule.
type Changes = Vec<(MachineId, Option<Machine>)>;

impl Master {
    /// Takes a call about maintenance. It is in force, and its caller may be answered, once the ticket is recorded; at once when
    /// there is none, for then nothing changes.
    ///
    /// # Errors
    /// [`OperatorRefused`] says why; nothing has changed then, apart from what time alone has changed.
    pub fn apply_maintenance(
        &mut self,
        now: Now,
        call: MaintenanceCall,
    ) -> Result<(Vec<Effect>, Option<Ticket>), OperatorRefused> {
        self.begin(now);
        let machines = &self.registry.machines;
        let changes = match call {
            MaintenanceCall::UpdateSchedule { windows } => check::schedule(machines, windows),
            MaintenanceCall::Start { machines: named } => check::start(machines, named),
            MaintenanceCall::Stop { machines: named } => check::stop(machines, named),
        };
        let changes = changes.map_err(OperatorRefused::Invalid)?;
        let ticket = (!changes.is_empty()).then(|| {
            self.record_then(RegistryChange::PutMachines(changes.clone()), Pending::Machines(changes))
        });
        Ok((self.finish(), ticket))
    }

    /// The schedule is durable: it is in force, and everyone whom it concerns is told.
    pub(crate) fn on_machines_recorded(&mut self, changes: Changes) {
        let before = self.books.machines.clone();
        for (id, machine) in changes {
            match machine {
                Some(machine) => drop(self.books.machines.insert(id, machine)),
                None => drop(self.books.machines.remove(&id)),
            }
        }
        let mut down = Vec::new();
        let mut changed = Vec::new();
        for (id, agent) in &self.books.agents {
            let then = machine_of(&before, &agent.description);
            let now = machine_of(&self.books.machines, &agent.description);
            match now {
                Some((_, machine)) if machine.is_down => down.push(id.clone()),
                _ if then.map(|(_, machine)| machine) != now.map(|(_, machine)| machine) => {
                    changed.push(id.clone());
                }
                _ => {}
            }
        }
        for agent in down {
            self.take_down(&agent);
        }
        for agent in changed {
            self.on_unavailability_changed(&agent);
        }
    }

    /// The schedule of a new leader, before anything is offered.
    pub(crate) fn recover_machines(&mut self) {
        let machines = self.registry.machines.iter();
        self.books.machines = machines.map(|(id, machine)| (id.clone(), *machine)).collect();
    }

    /// When an agent will be away, if that is said: because it is drained, or because its machine is scheduled to go.
    pub(crate) fn unavailability_of(&self, agent: &AgentId) -> Option<Unavailability> {
        if let Some(notice) = self.notice_of(agent) {
            return Some(notice);
        }
        if self.books.machines.is_empty() {
            return None;
        }
        let agent = self.books.agents.get(agent)?;
        machine_of(&self.books.machines, &agent.description).map(|(_, machine)| machine.unavailability)
    }
}

/// The machine that an agent is on, if it is in the schedule. Of several entries that fit, one that is down counts, then the one
/// that says most.
pub fn machine_of(
    machines: &imbl::OrdMap<MachineId, Machine>,
    agent: &AgentDescription,
) -> Option<(MachineId, Machine)> {
    if machines.is_empty() {
        return None;
    }
    let ip = agent.address.rsplit_once(':').map_or(&*agent.address, |(ip, _)| ip);
    let ip: Option<IpAddr> = ip.trim_matches(['[', ']']).parse().ok();
    let names = MachineId::names_of(&agent.hostname, ip);
    let known: Vec<_> = names.filter_map(|id| machines.get(&id).map(|machine| (id, *machine))).collect();
    let down = known.iter().find(|(_, machine)| machine.is_down);
    down.or(known.first()).cloned()
}
