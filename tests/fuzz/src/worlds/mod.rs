//! What the cores are fuzzed in: a master with agents, frameworks, offers and tasks, and a machine around an agent. Both carry
//! out what the cores ask for at once, and everything they send is written as it would cross a connection.

pub(crate) mod agent;
pub(crate) mod master;

use chapada_wire::recordio::Decoder;

/// The most steps of one input: what a few cannot show, a thousand only repeat.
pub(crate) const MAX_STEPS: usize = 16;
/// The longest record of an input.
const MAX_RECORD: usize = 1 << 20;

/// The records of an input up to its first error.
pub(crate) fn records(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut decoder = Decoder::new(MAX_RECORD);
    decoder.push(bytes);
    let records = std::iter::from_fn(|| decoder.next_record().ok().flatten());
    records.take(MAX_STEPS).map(|record| record.to_vec()).collect()
}
