//! Records in the SDK's store: a file, or ZooKeeper.

use chapada_sdk::{Change, Record, Store as SdkStore, WriteError};
use chapada_services_core::{ReadError, Recovered, Write};

use crate::actor::Store;

/// The name of a record in the store: a kind and a key.
fn split(name: &str) -> (&str, &str) {
    name.split_once('.').unwrap_or(("other", name))
}

/// Reads all records, on every core: a start waits for nothing else as long.
pub(crate) fn read(records: &[Record]) -> Result<Vec<Recovered>, ReadError> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = records.len().div_ceil(threads).max(1);
    let read = |part: &[Record]| -> Result<Vec<Recovered>, ReadError> {
        part.iter().map(|record| Recovered::read(&name(record), &record.value)).collect()
    };
    let parts: Vec<Result<Vec<Recovered>, ReadError>> = std::thread::scope(|scope| {
        let started: Vec<_> = records.chunks(share).map(|part| scope.spawn(move || read(part))).collect();
        started
            .into_iter()
            .map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut all = Vec::with_capacity(records.len());
    for part in parts {
        all.extend(part?);
    }
    Ok(all)
}

/// The name of a record as the core gave it.
fn name(record: &Record) -> String {
    format!("{}.{}", record.key.kind, record.key.key)
}

fn change(write: &Write) -> Change {
    match write {
        Write::Put { key, value } => {
            let (kind, key) = split(key);
            Change::put(kind, key, value)
        }
        Write::Delete { key } => {
            let (kind, key) = split(key);
            Change::delete(kind, key)
        }
    }
}

impl Store for SdkStore {
    async fn write(&mut self, writes: Vec<Write>) -> Result<(), WriteError> {
        self.write_in_parts(writes.iter().map(change).collect()).await
    }
}
