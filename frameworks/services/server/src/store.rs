//! Records in the SDK's store: a file, or ZooKeeper.

use std::time::Duration;

use chapada_sdk::{Change, Record, Store as SdkStore, WriteError};
use chapada_services_core::{ReadError, Recovered, Write};

use crate::actor::{Store, StoreLost};

/// Between two attempts to write, when the first failed for a reason that may pass (a full disk).
const RETRY: Duration = Duration::from_secs(1);

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
    async fn write(&mut self, writes: Vec<Write>) -> Result<(), StoreLost> {
        let mut parts = vec![writes];
        while let Some(part) = parts.pop() {
            let outcome = SdkStore::write(self, part.iter().map(change).collect()).await;
            match outcome {
                Ok(()) => {}
                // Their records stand in pages that do not fit one transaction. Each record is right by itself, and whoever
                // asked for the change is told only when all are durable.
                Err(WriteError::TooLarge { .. }) if part.len() > 1 => {
                    let half = part.len() / 2;
                    let mut first = part;
                    let second = first.split_off(half);
                    parts.extend([second, first]);
                }
                Err(error @ WriteError::Storage { .. }) => {
                    tracing::error!(%error, "a change is not durable yet; trying again");
                    tokio::time::sleep(RETRY).await;
                    parts.push(part);
                }
                Err(
                    error @ (WriteError::TooLarge { .. }
                    | WriteError::Deposed
                    | WriteError::OutcomeUnknown
                    | WriteError::BadRecord { .. }
                    | WriteError::Interfered(_)),
                ) => return Err(StoreLost(error.to_string())),
            }
        }
        Ok(())
    }
}
