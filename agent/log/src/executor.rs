//! Records of executors as bytes, and what a task's record says of its executor.

use std::time::Duration;

use chapada_agent_core::{ExecutorRecord, Runner};
use chapada_model::{ExecutorKey, ExecutorKind, Wall};

use crate::record::nanos;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ExecutorKeyEntry {
    #[prost(string, tag = "1")]
    framework: String,
    #[prost(string, tag = "2")]
    executor: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ExecutorEntry {
    #[prost(message, optional, tag = "1")]
    key: Option<ExecutorKeyEntry>,
    /// The built-in one for task groups; otherwise the framework's own.
    #[prost(bool, tag = "2")]
    is_pod: bool,
    #[prost(string, tag = "3")]
    container: String,
    #[prost(uint64, tag = "4")]
    shutdown_grace_ns: u64,
    #[prost(uint64, tag = "5")]
    launched_ns: u64,
    #[prost(bytes = "vec", tag = "6")]
    info: Vec<u8>,
}

pub(crate) fn executor_entry(record: &ExecutorRecord) -> ExecutorEntry {
    ExecutorEntry {
        key: Some(executor_key(&record.key)),
        is_pod: record.is_pod(),
        container: record.container.to_string(),
        shutdown_grace_ns: nanos(record.shutdown_grace),
        launched_ns: record.launched.0,
        info: record.info.as_bytes().to_vec(),
    }
}

pub(crate) fn executor_of(entry: ExecutorEntry) -> Option<ExecutorRecord> {
    Some(ExecutorRecord {
        key: executor_key_of(entry.key?)?,
        kind: if entry.is_pod { ExecutorKind::Default } else { ExecutorKind::Custom },
        container: entry.container.parse().ok()?,
        shutdown_grace: Duration::from_nanos(entry.shutdown_grace_ns),
        launched: Wall(entry.launched_ns),
        info: entry.info.into(),
    })
}

pub(crate) fn executor_key(key: &ExecutorKey) -> ExecutorKeyEntry {
    ExecutorKeyEntry { framework: key.framework.to_string(), executor: key.executor.to_string() }
}

pub(crate) fn executor_key_of(entry: ExecutorKeyEntry) -> Option<ExecutorKey> {
    Some(ExecutorKey { framework: entry.framework.parse().ok()?, executor: entry.executor.parse().ok()? })
}

/// The group of a task, and the container that its own is beneath.
pub(crate) fn place_of(runner: &Runner) -> (Option<String>, Option<String>) {
    match runner {
        Runner::Command => (None, None),
        Runner::Custom { group, .. } => (group.as_ref().map(ToString::to_string), None),
        Runner::Pod { group, parent, .. } => (Some(group.to_string()), Some(parent.to_string())),
    }
}

pub(crate) fn runner_of(
    executor: Option<String>,
    group: Option<String>,
    parent: Option<String>,
) -> Option<Runner> {
    let Some(executor) = executor else { return Some(Runner::Command) };
    let executor = executor.parse().ok()?;
    Some(match (parent, group) {
        (None, None) => Runner::Custom { executor, group: None },
        (None, Some(group)) => Runner::Custom { executor, group: Some(group.parse().ok()?) },
        (Some(parent), group) => {
            Runner::Pod { executor, parent: parent.parse().ok()?, group: group?.parse().ok()? }
        }
    })
}
