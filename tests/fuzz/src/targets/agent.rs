//! The agent's core behind its decoder.

use chapada_wire::recordio::frame;
use chapada_wire::{Media, v1};

use crate::corpus::listed;
use crate::worlds::agent::Machine;
use crate::worlds::master::World;
use crate::worlds::{MAX_STEPS, records};

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

/// Calls of executors in JSON, one a line; or in protobuf, as records. To an agent that runs tasks of theirs.
pub(super) fn executors(bytes: &[u8]) {
    let mut machine = Machine::busy();
    if bytes.first() == Some(&b'{') {
        let lines = bytes.split(|byte| *byte == b'\n').take(MAX_STEPS);
        lines.for_each(|line| machine.hear(Media::Json, line));
    } else {
        records(bytes).iter().for_each(|record| machine.hear(Media::Protobuf, record));
    }
    machine.wait();
}

pub(super) fn executors_seeds() -> Vec<Vec<u8>> {
    super::master::seeds::<v1::executor::Call>(listed("executors.jsonl"), "executor.Call")
}
