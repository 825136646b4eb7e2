//! What may be asked about machines. Source: the rules of Mesos, each with a word on what to do instead.

use std::collections::{BTreeMap, BTreeSet};

use chapada_model::MachineId;

use super::{Changes, Machine, MaintenanceWindow};

/// How many machines the schedule may have (I8).
pub const MAX_MACHINES: usize = 10_000;

/// How many machines one call may change: they become durable in one transaction.
pub const MAX_MACHINES_PER_CALL: usize = 500;

type Machines = BTreeMap<MachineId, Machine>;

/// The changes from the schedule as it is to this one.
pub(super) fn schedule(known: &Machines, windows: Vec<MaintenanceWindow>) -> Result<Changes, String> {
    let mut wanted = Machines::new();
    for window in windows {
        if window.machines.is_empty() {
            return Err(
                "List of machines in the maintenance window is empty: name some, or leave the window out"
                    .to_owned(),
            );
        }
        for id in window.machines {
            let is_down = known.get(&id).is_some_and(|machine| machine.is_down);
            let machine = Machine { unavailability: window.unavailability, is_down };
            if wanted.insert(id.clone(), machine).is_some() {
                return Err(format!(
                    "Machine '{id}' appears more than once in the schedule: name it in one window"
                ));
            }
        }
    }
    if wanted.len() > MAX_MACHINES {
        let count = wanted.len();
        return Err(format!("{count} machines in the schedule, at most {MAX_MACHINES}: schedule some later"));
    }
    let is_left_out = |(id, machine): &(&MachineId, &Machine)| machine.is_down && !wanted.contains_key(*id);
    if let Some((id, _)) = known.iter().find(is_left_out) {
        return Err(format!(
            "Machine '{id}' is deactivated and cannot be removed from the schedule: bring it up first (STOP_MAINTENANCE)"
        ));
    }
    let removed = known.keys().filter(|id| !wanted.contains_key(*id)).map(|id| (id.clone(), None));
    let put = wanted.iter().filter(|(id, machine)| known.get(*id) != Some(machine));
    bounded(removed.chain(put.map(|(id, machine)| (id.clone(), Some(*machine)))).collect())
}

/// The changes that take machines down.
pub(super) fn start(known: &Machines, named: Vec<MachineId>) -> Result<Changes, String> {
    let down = |id: MachineId| match known.get(&id) {
        None => Err(format!(
            "Machine '{id}' is not part of a maintenance schedule: put it there first (UPDATE_MAINTENANCE_SCHEDULE)"
        )),
        Some(machine) if machine.is_down => Err(format!(
            "Machine '{id}' is not in DRAINING mode and cannot be brought down: it is down already"
        )),
        Some(machine) => Ok((id, Some(Machine { is_down: true, ..*machine }))),
    };
    bounded(each_once(named)?.into_iter().map(down).collect::<Result<_, _>>()?)
}

/// The changes that bring machines up.
pub(super) fn stop(known: &Machines, named: Vec<MachineId>) -> Result<Changes, String> {
    let up = |id: MachineId| match known.get(&id) {
        None => Err(format!("Machine '{id}' is not part of a maintenance schedule: it is up already")),
        Some(machine) if !machine.is_down => Err(format!(
            "Machine '{id}' is not in DOWN mode and cannot be brought up: leave it out of the schedule instead (UPDATE_MAINTENANCE_SCHEDULE)"
        )),
        Some(_) => Ok((id, None)),
    };
    bounded(each_once(named)?.into_iter().map(up).collect::<Result<_, _>>()?)
}

fn each_once(named: Vec<MachineId>) -> Result<Vec<MachineId>, String> {
    if named.is_empty() {
        return Err("List of machines is empty: name some".to_owned());
    }
    let mut seen = BTreeSet::new();
    match named.iter().find(|id| !seen.insert(*id)) {
        Some(id) => Err(format!("Machine '{id}' appears more than once: name it once")),
        None => Ok(named),
    }
}

fn bounded(changes: Changes) -> Result<Changes, String> {
    let count = changes.len();
    match count > MAX_MACHINES_PER_CALL {
        true => {
            Err(format!("{count} machines change in one call, at most {MAX_MACHINES_PER_CALL}: make several"))
        }
        false => Ok(changes),
    }
}
