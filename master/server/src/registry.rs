//! The books' records as values of the registry, and the task that writes them.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::time::Duration;

use chapada_coordination::{Change, OpenRegistryError, OpenedRegistry, Record, Registry, Schema, WriteError};
use chapada_master_core::{Event, Machine, Quota, REGISTRY_VERSION, RegistryChange, RegistryState, Ticket};
use chapada_model::{FrameworkId, MachineId, Role};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::core_loop::{Core, Stopped, Writing};
use crate::error::Error;

/// What a master's registry holds.
pub(crate) const SCHEMA: Schema = Schema { name: "chapada-master", version: REGISTRY_VERSION, grouped: &[] };

/// Changes in one write: they commit together, so a burst costs one sync.
const WRITE_BATCH: usize = 128;

/// What to do about a record that nobody can read.
const REMEDY: &str = "restore the registry from a backup with `chapada registry import`";

pub(crate) const AGENTS: &str = "agents";
pub(crate) const FRAMEWORKS: &str = "frameworks";
const WEIGHTS: &str = "weights";
const QUOTAS: &str = "quotas";
pub(crate) const MACHINES: &str = "machines";
pub(crate) const DRAINS: &str = "drains";
/// Named after the framework and the number of the part, with a dot between.
const UNCONFIRMED: &str = "unconfirmed";

/// Opens it for a new leader.
///
/// # Errors
/// [`Error::FetchedLate`] when that takes longer.
pub(crate) async fn fetched(
    within: Duration,
    opening: impl Future<Output = Result<OpenedRegistry, OpenRegistryError>>,
) -> Result<OpenedRegistry, Error> {
    let opened = tokio::time::timeout(within, opening).await.map_err(|_| Error::FetchedLate(within))?;
    Ok(opened?)
}

/// Reads what the registry has.
///
/// # Errors
/// [`Error::Record`] names a record that cannot be read.
pub(crate) fn read(opened: &OpenedRegistry) -> Result<RegistryState, Error> {
    read_records(opened.epoch, &opened.records)
}

/// Reads records of this term.
///
/// # Errors
/// [`Error::Record`] names a record that cannot be read.
pub(crate) fn read_records(epoch: u64, records: &[Record]) -> Result<RegistryState, Error> {
    let mut state = RegistryState { epoch, ..RegistryState::default() };
    for record in records {
        match record.key.kind.as_str() {
            AGENTS => drop(state.agents.insert(key(record)?, value(record)?)),
            FRAMEWORKS => drop(state.frameworks.insert(key(record)?, value(record)?)),
            WEIGHTS => drop(state.weights.insert(key(record)?, value(record)?)),
            QUOTAS => drop(state.quotas.insert(key(record)?, value(record)?)),
            MACHINES => drop(state.machines.insert(key(record)?, value(record)?)),
            DRAINS => drop(state.drains.insert(record.key.key.as_str().into(), value(record)?)),
            UNCONFIRMED => {
                let (framework, part) = part(record)?;
                let change = RegistryChange::PutUnconfirmed(framework, part, value(record)?);
                state.apply(change);
            }
            other => {
                let problem = format!("this build knows no records of kind {other}: run a newer chapada");
                return Err(damaged(record, problem));
            }
        }
    }
    Ok(state)
}

/// Has the registry say which builds can read it, where former ones have written more than it says.
///
/// # Errors
/// As [`write`].
pub(crate) async fn say_version(
    opened: &OpenedRegistry,
    state: &RegistryState,
    within: Duration,
) -> Result<(), Error> {
    match state.version() {
        version if version > opened.version => {
            stored(within, opened.registry.write_as(version, Vec::new())).await
        }
        _ => Ok(()),
    }
}

fn key<K: std::str::FromStr<Err: std::fmt::Display>>(record: &Record) -> Result<K, Error> {
    record.key.key.parse().map_err(|problem| damaged(record, format!("{problem}; {REMEDY}")))
}

/// Which part of whose agents a record holds.
fn part(record: &Record) -> Result<(FrameworkId, u32), Error> {
    let named = record.key.key.rsplit_once('.');
    let read = named.and_then(|(framework, part)| Some((framework.parse().ok()?, part.parse().ok()?)));
    read.ok_or_else(|| damaged(record, format!("not the name of a part; {REMEDY}")))
}

fn value<V: DeserializeOwned>(record: &Record) -> Result<V, Error> {
    serde_json::from_slice(&record.value).map_err(|problem| damaged(record, format!("{problem}; {REMEDY}")))
}

fn damaged(record: &Record, problem: String) -> Error {
    Error::Record { key: format!("{}/{}", record.key.kind, record.key.key), problem }
}

/// What a change is for the store. Several are one transaction.
fn changes(change: &RegistryChange) -> Vec<Change> {
    match change {
        RegistryChange::PutAgent(id, record) => vec![put(AGENTS, id.as_str(), record)],
        RegistryChange::DeleteAgent(id) => vec![Change::delete(AGENTS, id.as_str())],
        RegistryChange::PutFramework(id, record) => vec![put(FRAMEWORKS, id.as_str(), record)],
        RegistryChange::DeleteFramework(id) => vec![Change::delete(FRAMEWORKS, id.as_str())],
        RegistryChange::PutUnconfirmed(framework, part, agents) => {
            let key = format!("{framework}.{part}");
            match agents.is_empty() {
                true => vec![Change::delete(UNCONFIRMED, &key)],
                false => vec![put(UNCONFIRMED, &key, agents)],
            }
        }
        RegistryChange::PutWeights(weights) => {
            weights.iter().map(|(role, weight)| put(WEIGHTS, role.as_str(), weight)).collect()
        }
        RegistryChange::PutQuotas(quotas) => {
            let quota = |(role, quota): &(Role, Option<Quota>)| match quota {
                Some(quota) => put(QUOTAS, role.as_str(), quota),
                None => Change::delete(QUOTAS, role.as_str()),
            };
            quotas.iter().map(quota).collect()
        }
        RegistryChange::PutDrain(name, Some(plan)) => vec![put(DRAINS, name, plan)],
        RegistryChange::PutDrain(name, None) => vec![Change::delete(DRAINS, name)],
        RegistryChange::PutMachines(machines) => {
            let machine = |(id, machine): &(MachineId, Option<Machine>)| match machine {
                Some(machine) => put(MACHINES, &id.to_string(), machine),
                None => Change::delete(MACHINES, &id.to_string()),
            };
            machines.iter().map(machine).collect()
        }
    }
}

/// Bytes of the largest record that a change puts.
pub(crate) fn record_bytes(change: &RegistryChange) -> usize {
    let bytes = |change: &Change| match change {
        Change::Put(record) => record.value.len(),
        Change::Delete(_) => 0,
    };
    changes(change).iter().map(bytes).max().unwrap_or(0)
}

fn put(kind: &str, key: &str, value: &impl Serialize) -> Change {
    Change::put(
        kind,
        key,
        &serde_json::to_vec(value).expect("records have no maps with keys that are no strings"),
    )
}

/// Whether a change has a write of its own, because it may be of many records.
fn is_bulky(writing: &Writing) -> bool {
    match &writing.change {
        RegistryChange::PutWeights(_) | RegistryChange::PutQuotas(_) | RegistryChange::PutMachines(_) => true,
        RegistryChange::PutAgent(..)
        | RegistryChange::DeleteAgent(_)
        | RegistryChange::PutDrain(..)
        | RegistryChange::PutUnconfirmed(..)
        | RegistryChange::PutFramework(..)
        | RegistryChange::DeleteFramework(_) => false,
    }
}

/// Writes changes in order and tells the loop of each that is durable. Returns when the leadership has ended.
///
/// # Errors
/// The write that failed, or took longer than that: after it this master must not lead any longer.
pub(crate) async fn write(
    registry: Registry,
    within: Duration,
    queue: mpsc::Receiver<Writing>,
    core: Core,
) -> Result<(), Error> {
    write_and_tell(registry, within, queue, |ticket| core.event(Event::Recorded { ticket })).await
}

async fn write_and_tell<F>(
    registry: Registry,
    within: Duration,
    mut queue: mpsc::Receiver<Writing>,
    tell: impl Fn(Ticket) -> F,
) -> Result<(), Error>
where
    F: Future<Output = Result<(), Stopped>>,
{
    let mut batch = Vec::with_capacity(WRITE_BATCH);
    while queue.recv_many(&mut batch, WRITE_BATCH).await > 0 {
        for writes in batch.chunk_by(|former, next| !is_bulky(former) && !is_bulky(next)) {
            let version = writes.iter().map(|writing| writing.change.version()).max().unwrap_or_default();
            let changes = writes.iter().flat_map(|writing| changes(&writing.change)).collect();
            stored(within, write_in_parts(&registry, version, changes)).await?;
            for writing in writes {
                if tell(writing.ticket).await.is_err() {
                    return Ok(());
                }
            }
        }
        batch.clear();
    }
    Ok(())
}

/// What is given up for being late may be carried out all the same, as when its connection breaks: nobody was told that it is durable.
async fn stored(within: Duration, write: impl Future<Output = Result<(), WriteError>>) -> Result<(), Error> {
    let written = tokio::time::timeout(within, write).await.map_err(|_| Error::StoredLate(within))?;
    written.map_err(Error::Write)
}

/// Writes in order, halving what does not fit one transaction: a record alone always fits. Should this leader fall between two
/// parts, nobody was told that any of it is durable.
async fn write_in_parts(registry: &Registry, version: u32, changes: Vec<Change>) -> Result<(), WriteError> {
    let mut parts = vec![changes];
    while let Some(part) = parts.pop() {
        match registry.write_as(version, part.clone()).await {
            Err(WriteError::TooLarge { .. }) if part.len() > 1 => {
                let mut first = part;
                let second = first.split_off(first.len() / 2);
                parts.extend([second, first]);
            }
            written => written?,
        }
    }
    Ok(())
}
