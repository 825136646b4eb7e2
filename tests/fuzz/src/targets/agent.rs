//! The agent's core behind its decoder.

use chapada_wire::recordio::frame;

use crate::worlds::agent::Machine;
use crate::worlds::master::World;
use crate::worlds::records;

/// Messages of a master, as records, to an agent that runs tasks.
pub(super) fn commands(bytes: &[u8]) {
    let mut machine = Machine::busy();
    for record in records(bytes) {
        machine.receive(&record);
    }
    machine.wait();
}

pub(super) fn commands_seeds() -> Vec<Vec<u8>> {
    let sent: Vec<Vec<u8>> = World::busy().sent.iter().map(|bytes| frame(bytes).to_vec()).collect();
    let all = sent.concat();
    sent.into_iter().chain([all]).collect()
}
