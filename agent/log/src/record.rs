//! Records as bytes: protobuf messages of our own, so that a field can be added without a new format. What an older
//! version would have to guess gets a new kind, which it refuses.

use std::sync::Arc;
use std::time::Duration;

use chapada_agent_core::{FrameworkRecord, Record, TaskRecord, Update};
use chapada_model::{Milli, Reason, Resource, Resources, Source, TaskKey, TaskState, UpdateUuid, Wall};
use chapada_wire::convert::{ReservationFormat, resources_from_wire, resources_to_wire};
use chapada_wire::v1;
use prost::Message;

use super::checks::{CheckEntry, cause_number, cause_of, check_entry, check_of, watched};
use super::executor::{
    ExecutorEntry, ExecutorKeyEntry, executor_entry, executor_key, executor_key_of, executor_of, place_of,
    runner_of,
};
use super::operation::{MadeEntry, OperationEntry, made_entry, made_of, operation_entry, operation_of};

#[derive(Clone, PartialEq, prost::Message)]
struct Frame {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(string, tag = "1")]
    Boot(String),
    #[prost(uint64, tag = "2")]
    Epoch(u64),
    /// Empty: none.
    #[prost(string, tag = "3")]
    Agent(String),
    #[prost(message, tag = "4")]
    Framework(FrameworkEntry),
    #[prost(string, tag = "5")]
    FrameworkShutdown(String),
    #[prost(string, tag = "6")]
    FrameworkForgotten(String),
    #[prost(message, tag = "7")]
    Task(TaskEntry),
    #[prost(message, tag = "8")]
    Kill(KillEntry),
    #[prost(message, tag = "9")]
    Update(UpdateEntry),
    #[prost(message, tag = "10")]
    Acknowledged(AcknowledgedEntry),
    #[prost(message, tag = "11")]
    TaskForgotten(KeyEntry),
    #[prost(message, tag = "12")]
    Made(MadeEntry),
    #[prost(message, tag = "13")]
    Operation(OperationEntry),
    #[prost(string, tag = "14")]
    OperationAcknowledged(String),
    #[prost(message, tag = "15")]
    Executor(ExecutorEntry),
    #[prost(message, tag = "16")]
    ExecutorSubscribed(ExecutorKeyEntry),
    #[prost(message, tag = "17")]
    ExecutorShutdown(ExecutorKeyEntry),
    #[prost(message, tag = "18")]
    ExecutorForgotten(ExecutorKeyEntry),
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeyEntry {
    #[prost(string, tag = "1")]
    framework: String,
    #[prost(string, tag = "2")]
    task: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FrameworkEntry {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(bool, tag = "2")]
    knows_killing: bool,
    #[prost(bool, tag = "3")]
    partition_aware: bool,
    #[prost(bytes = "vec", tag = "4")]
    info: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TaskEntry {
    #[prost(message, optional, tag = "1")]
    key: Option<KeyEntry>,
    #[prost(string, optional, tag = "2")]
    executor: Option<String>,
    #[prost(string, tag = "3")]
    container: String,
    #[prost(uint64, tag = "4")]
    kill_grace_ns: u64,
    #[prost(uint64, tag = "5")]
    launched_ns: u64,
    #[prost(bytes = "vec", tag = "6")]
    info: Vec<u8>,
    /// The first task of its group.
    #[prost(string, optional, tag = "7")]
    group: Option<String>,
    /// The container of its executor, when its own is beneath it.
    #[prost(string, optional, tag = "8")]
    parent: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KillEntry {
    #[prost(message, optional, tag = "1")]
    key: Option<KeyEntry>,
    #[prost(uint64, tag = "2")]
    grace_ns: u64,
    /// 0 when it was asked for, 1 when it is unhealthy, 2 when it ran for too long.
    #[prost(uint32, tag = "3")]
    cause: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct UpdateEntry {
    #[prost(message, optional, tag = "1")]
    key: Option<KeyEntry>,
    #[prost(bytes = "vec", tag = "2")]
    uuid: Vec<u8>,
    #[prost(int32, tag = "3")]
    state: i32,
    #[prost(int32, tag = "4")]
    source: i32,
    #[prost(int32, optional, tag = "5")]
    reason: Option<i32>,
    #[prost(string, tag = "6")]
    message: String,
    #[prost(uint64, tag = "7")]
    at_ns: u64,
    #[prost(uint32, optional, tag = "8")]
    pid: Option<u32>,
    /// Of former versions: what is in `exceeded` now.
    #[prost(message, optional, tag = "9")]
    memory: Option<MemoryEntry>,
    /// An executor's own words.
    #[prost(bytes = "vec", optional, tag = "10")]
    details: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "11")]
    healthy: Option<bool>,
    #[prost(message, optional, tag = "12")]
    check: Option<CheckEntry>,
    #[prost(message, repeated, tag = "13")]
    exceeded: Vec<v1::Resource>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct MemoryEntry {
    #[prost(uint64, tag = "1")]
    limit_bytes: u64,
    #[prost(uint64, tag = "2")]
    peak_bytes: u64,
}

impl MemoryEntry {
    fn resources(self) -> Resources {
        let used = Milli(u64::try_from((u128::from(self.peak_bytes) * 1000) >> 20).unwrap_or(u64::MAX));
        Resources::from(vec![Resource::scalar("mem", used)])
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct AcknowledgedEntry {
    #[prost(message, optional, tag = "1")]
    key: Option<KeyEntry>,
    #[prost(bytes = "vec", tag = "2")]
    uuid: Vec<u8>,
}

/// Appends a record to the body of a frame.
pub(crate) fn encode(record: &Record, body: &mut Vec<u8>) {
    let frame = Frame { entries: vec![Entry { kind: Some(kind_of(record)) }] };
    body.reserve(frame.encoded_len());
    // Frames of one entry each, one after the other, are a frame of all of them.
    body.extend_from_slice(&frame.encode_to_vec());
}

/// The records of a frame's body; `None` when one of them is unknown or makes no sense.
pub(crate) fn decode_all(body: &[u8]) -> Option<Vec<Record>> {
    let frame = Frame::decode(body).ok()?;
    frame.entries.into_iter().map(|entry| entry.kind.and_then(record_of)).collect()
}

fn kind_of(record: &Record) -> Kind {
    match record {
        Record::Boot { boot_id } => Kind::Boot(boot_id.clone()),
        Record::Epoch(epoch) => Kind::Epoch(*epoch),
        Record::Agent(id) => Kind::Agent(id.as_ref().map(ToString::to_string).unwrap_or_default()),
        Record::Framework(framework) => Kind::Framework(FrameworkEntry {
            id: framework.id.to_string(),
            knows_killing: framework.knows_killing,
            partition_aware: framework.partition_aware,
            info: framework.info.as_bytes().to_vec(),
        }),
        Record::FrameworkShutdown(id) => Kind::FrameworkShutdown(id.to_string()),
        Record::FrameworkForgotten(id) => Kind::FrameworkForgotten(id.to_string()),
        Record::Executor(executor) => Kind::Executor(executor_entry(executor)),
        Record::ExecutorSubscribed(key) => Kind::ExecutorSubscribed(executor_key(key)),
        Record::ExecutorShutdown(key) => Kind::ExecutorShutdown(executor_key(key)),
        Record::ExecutorForgotten(key) => Kind::ExecutorForgotten(executor_key(key)),
        Record::Task(task) => Kind::Task(task_entry(task)),
        Record::Kill { task, grace, cause } => Kind::Kill(KillEntry {
            key: Some(key_entry(task)),
            grace_ns: nanos(*grace),
            cause: cause_number(*cause),
        }),
        Record::Update { task, update } => Kind::Update(update_entry(task, update)),
        Record::Acknowledged { task, uuid } => {
            Kind::Acknowledged(AcknowledgedEntry { key: Some(key_entry(task)), uuid: uuid.0.to_vec() })
        }
        Record::TaskForgotten(key) => Kind::TaskForgotten(key_entry(key)),
        Record::Made(made) => Kind::Made(made_entry(made)),
        Record::Operation { made, status } => Kind::Operation(operation_entry(made, status)),
        Record::OperationAcknowledged(key) => Kind::OperationAcknowledged(key.to_string()),
    }
}

fn record_of(kind: Kind) -> Option<Record> {
    Some(match kind {
        Kind::Boot(boot_id) => Record::Boot { boot_id },
        Kind::Epoch(epoch) => Record::Epoch(epoch),
        Kind::Agent(id) if id.is_empty() => Record::Agent(None),
        Kind::Agent(id) => Record::Agent(Some(id.parse().ok()?)),
        Kind::Framework(entry) => Record::Framework(Arc::new(FrameworkRecord {
            id: entry.id.parse().ok()?,
            knows_killing: entry.knows_killing,
            partition_aware: entry.partition_aware,
            info: entry.info.into(),
        })),
        Kind::FrameworkShutdown(id) => Record::FrameworkShutdown(id.parse().ok()?),
        Kind::FrameworkForgotten(id) => Record::FrameworkForgotten(id.parse().ok()?),
        Kind::Executor(entry) => Record::Executor(Arc::new(executor_of(entry)?)),
        Kind::ExecutorSubscribed(entry) => Record::ExecutorSubscribed(executor_key_of(entry)?),
        Kind::ExecutorShutdown(entry) => Record::ExecutorShutdown(executor_key_of(entry)?),
        Kind::ExecutorForgotten(entry) => Record::ExecutorForgotten(executor_key_of(entry)?),
        Kind::Task(entry) => Record::Task(Arc::new(TaskRecord {
            key: key_of(entry.key)?,
            runner: runner_of(entry.executor, entry.group, entry.parent)?,
            container: entry.container.parse().ok()?,
            kill_grace: Duration::from_nanos(entry.kill_grace_ns),
            launched: Wall(entry.launched_ns),
            watch: watched(&entry.info),
            info: entry.info.into(),
        })),
        Kind::Kill(entry) => Record::Kill {
            task: key_of(entry.key)?,
            grace: Duration::from_nanos(entry.grace_ns),
            cause: cause_of(entry.cause)?,
        },
        Kind::Update(entry) => update_of(entry)?,
        Kind::Acknowledged(entry) => {
            Record::Acknowledged { task: key_of(entry.key)?, uuid: UpdateUuid::from_slice(&entry.uuid)? }
        }
        Kind::TaskForgotten(entry) => Record::TaskForgotten(key_of(Some(entry))?),
        Kind::Made(entry) => Record::Made(made_of(&entry)?),
        Kind::Operation(entry) => operation_of(&entry)?,
        Kind::OperationAcknowledged(key) => Record::OperationAcknowledged(key.parse().ok()?),
    })
}

fn task_entry(task: &TaskRecord) -> TaskEntry {
    let (group, parent) = place_of(&task.runner);
    TaskEntry {
        key: Some(key_entry(&task.key)),
        executor: task.executor().map(ToString::to_string),
        container: task.container.to_string(),
        kill_grace_ns: nanos(task.kill_grace),
        launched_ns: task.launched.0,
        info: task.info.as_bytes().to_vec(),
        group,
        parent,
    }
}

fn update_entry(task: &TaskKey, update: &Update) -> UpdateEntry {
    UpdateEntry {
        key: Some(key_entry(task)),
        uuid: update.uuid.0.to_vec(),
        state: update.state.number(),
        source: update.source.number(),
        reason: update.reason.map(Reason::number),
        message: update.message.clone(),
        at_ns: update.at.0,
        pid: update.pid,
        memory: None,
        exceeded: resources_to_wire(&update.exceeded, ReservationFormat::Single),
        details: update.details.as_ref().map(|details| details.as_bytes().to_vec()),
        healthy: update.healthy,
        check: update.check.map(check_entry),
    }
}

fn update_of(entry: UpdateEntry) -> Option<Record> {
    let reason = match entry.reason {
        Some(number) => Some(Reason::try_from(number).ok()?),
        None => None,
    };
    let check = match entry.check {
        Some(entry) => Some(check_of(entry)?),
        None => None,
    };
    let update = Update {
        uuid: UpdateUuid::from_slice(&entry.uuid)?,
        state: TaskState::try_from(entry.state).ok()?,
        source: Source::try_from(entry.source).ok()?,
        reason,
        message: entry.message,
        at: Wall(entry.at_ns),
        pid: entry.pid,
        exceeded: match entry.memory {
            Some(memory) => memory.resources(),
            None => resources_from_wire("exceeded", &entry.exceeded).ok()?,
        },
        details: entry.details.map(Into::into),
        healthy: entry.healthy,
        check,
    };
    Some(Record::Update { task: key_of(entry.key)?, update: Arc::new(update) })
}

fn key_entry(key: &TaskKey) -> KeyEntry {
    KeyEntry { framework: key.framework.to_string(), task: key.task.to_string() }
}

fn key_of(entry: Option<KeyEntry>) -> Option<TaskKey> {
    let entry = entry?;
    Some(TaskKey { framework: entry.framework.parse().ok()?, task: entry.task.parse().ok()? })
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
