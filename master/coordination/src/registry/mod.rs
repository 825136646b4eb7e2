//! What must outlive a leader: small opaque records under (kind, key), changed in fenced transactions.

mod backup;
mod census;
mod embedded;
mod memory;
mod page;
mod place;
mod transfer;
mod writer;
mod zookeeper;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

pub use backup::{Backup, BackupError};
pub(crate) use embedded::EmbeddedStore;
pub(crate) use memory::MemoryRegistry;
pub use memory::MemoryStore;
pub use transfer::{EPOCH_LEAP, Imported, RegistryPlace, TransferError};
use writer::{Request, Writer};

use crate::campaign::Fence;
use crate::session::SessionError;

/// Largest value of one record. Pages of several must stay below ZooKeeper's limit of 1 MiB.
pub const MAX_RECORD_BYTES: usize = 256 * 1024;
/// Longest key, as for ids everywhere.
const MAX_KEY_BYTES: usize = 1024;
/// Writes that may wait for the one under way: a burst of every agent of a rack, and then the writers wait instead.
const WRITE_QUEUE: usize = 1024;

/// Reads one page of records of a kind as it lies in a znode; `place` names it in errors.
///
/// # Errors
/// [`OpenRegistryError::Damaged`] and [`OpenRegistryError::NewerVersion`] name the place.
pub fn decode_page(kind: &str, data: &[u8], place: &str) -> Result<Vec<Record>, OpenRegistryError> {
    let page = page::Page::decode(data, place)?;
    let key = |key: &String| RecordKey { kind: kind.to_owned(), key: key.clone() };
    Ok(page.records().map(|(name, value)| Record { key: key(name), value: value.clone() }).collect())
}

/// What a registry holds and in which version; both are written beside the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// For example `chapada-master`. A registry of another name is refused.
    pub name: &'static str,
    /// The newest that this build understands. A newer one is refused; an older one is the caller's to migrate. What a registry is said
    /// to be is what it began as, until something is written that needs more ([`Registry::write_as`]).
    pub version: u32,
    /// Kinds of which those records are written together whose keys are alike up to their last dot: a change of one rewrites
    /// none of another such group. Matters where records share pages. Records that a build which did not group them
    /// wrote are read where they are, and join their group when they are next written.
    pub grouped: &'static [&'static str],
}

/// Names one record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// Lower-case letters, digits and hyphens, for example `agents`. A few of them, fixed by the caller.
    pub kind: String,
    /// Anything up to 1,024 bytes, for example an agent's id.
    pub key: String,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub key: RecordKey,
    /// Opaque here; at most [`MAX_RECORD_BYTES`].
    pub value: Arc<[u8]>,
}

/// One change of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Makes or replaces a record.
    Put(Record),
    /// Removes a record; it need not be there.
    Delete(RecordKey),
}

/// A registry just opened.
#[derive(Debug)]
pub struct OpenedRegistry {
    /// For writing.
    pub registry: Registry,
    /// This term's number: higher than any before. At least 1.
    pub epoch: u64,
    /// The version found, at most the schema's.
    pub version: u32,
    /// What was noted when it was restored from a backup, if it ever was.
    pub restored: Option<String>,
    /// Everything there is, sorted.
    pub records: Vec<Record>,
}

/// Writes records for as long as its term lasts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry {
    requests: mpsc::Sender<Request>,
    epoch: u64,
}

/// Why a registry could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenRegistryError {
    /// Another process holds the file.
    #[error("{0} is in use by another process: stop that one, or give this one a directory of its own")]
    InUse(String),
    /// Written by a newer build.
    #[error("{place} holds {name} in version {found}, this build knows up to {known}: run a newer chapada")]
    NewerVersion {
        /// File or znode.
        place: String,
        /// What is in a newer version: the schema's name, or the format of the store.
        name: String,
        /// Its version.
        found: u32,
        /// The newest known here.
        known: u32,
    },
    /// Something of another name.
    #[error("{place} holds {found:?}, not {expected:?}: point each at a place of its own")]
    OtherSchema {
        /// File or znode.
        place: String,
        /// Name found.
        found: String,
        /// Name wanted.
        expected: &'static str,
    },
    /// Unreadable content.
    #[error("{place} is damaged ({what}): restore it from a backup with `chapada registry import`")]
    Damaged {
        /// File or znode.
        place: String,
        /// What is wrong.
        what: String,
    },
    /// A backup is being put in its place, or that broke off.
    #[error("a backup is being imported at {0}: wait for it, or import it again if that broke off")]
    BeingImported(String),
    /// Leaders have written it, and it is not there.
    #[error(
        "the registry {place} is gone, although there were leaders up to epoch {epoch}: restore it from a backup with \
         `chapada registry import`, or, to begin with nothing and give up all agents that run, empty znode {mark}"
    )]
    Gone {
        /// The znode.
        place: String,
        /// Of the last leader.
        epoch: u64,
        /// The znode that remembers it.
        mark: String,
    },
    /// Pages of it were deleted, or others put there, by somebody who is no leader.
    #[error(
        "the registry {root} is not as its last leader left it ({what}): restore it from a backup with \
         `chapada registry import`, or, to go on with what is there, write {uncounted} into znode {root}"
    )]
    Tampered {
        /// The znode.
        root: String,
        /// The difference.
        what: String,
        /// What the znode holds where nobody has counted.
        uncounted: String,
    },
    /// The term was over before the registry was open.
    #[error("no longer leading")]
    Deposed,
    /// ZooKeeper.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The disk.
    #[error("failed to {doing} {place}: {message}")]
    Storage {
        /// The operation.
        doing: &'static str,
        /// The file.
        place: String,
        /// What the store said.
        message: String,
    },
}

/// Why a write was refused. Nothing of it is stored, except where said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The term is over, or the registry's task has ended.
    #[error("no longer leading: nothing was written")]
    Deposed,
    /// The session ended before the outcome could be read again: it may or may not be stored.
    #[error("the ZooKeeper session ended while writing: the outcome is unknown")]
    OutcomeUnknown,
    /// A value, key or kind breaks a limit.
    #[error("record {kind}/{key} cannot be stored: {why}")]
    BadRecord {
        /// The record's kind.
        kind: String,
        /// The record's key.
        key: String,
        /// The limit it breaks.
        why: String,
    },
    /// More in one write than fits one transaction.
    #[error(
        "a write touches {bytes} bytes of pages, at most {limit} fit one transaction: write less at once"
    )]
    TooLarge {
        /// Size.
        bytes: usize,
        /// Limit.
        limit: usize,
    },
    /// A znode is not as this leader left it: somebody writes by hand.
    #[error("znode {0} was changed by somebody else: step down and read again")]
    Interfered(String),
    /// The store said no.
    #[error("failed to write to {place}: {message}")]
    Storage {
        /// File or znode.
        place: String,
        /// What the store said.
        message: String,
    },
}

impl OpenRegistryError {
    /// Whether the next run for leader may open it: the term is over, or ZooKeeper was not there for as long as it took.
    pub fn ends_term(&self) -> bool {
        matches!(
            self,
            Self::Deposed | Self::Session(SessionError::Unreachable { .. } | SessionError::Failed { .. })
        )
    }
}

impl WriteError {
    /// Whether nothing more can be written in this term, but may be in the next one: another process leads, or may lead, or what is
    /// stored is to be read again.
    pub fn ends_term(&self) -> bool {
        matches!(self, Self::Deposed | Self::OutcomeUnknown | Self::Interfered(_))
    }
}

/// One backend.
#[derive(Debug)]
pub(crate) enum Store {
    ZooKeeper(Box<zookeeper::ZkStore>),
    Embedded(Arc<EmbeddedStore>),
    Memory(MemoryRegistry),
}

/// What opening a backend finds.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) epoch: u64,
    pub(crate) version: u32,
    pub(crate) restored: Option<String>,
    pub(crate) records: Vec<Record>,
}

impl Store {
    pub(crate) fn zookeeper(fence: Fence) -> Self {
        Self::ZooKeeper(Box::new(zookeeper::ZkStore::new(fence)))
    }

    async fn open(&mut self, schema: Schema) -> Result<Found, OpenRegistryError> {
        match self {
            Self::ZooKeeper(store) => store.open(schema).await,
            Self::Embedded(store) => store.clone().open_schema(schema).await,
            Self::Memory(store) => store.open(schema),
        }
    }
}

impl OpenedRegistry {
    pub(crate) async fn open(mut store: Store, schema: Schema) -> Result<Self, OpenRegistryError> {
        let Found { epoch, version, restored, mut records } = store.open(schema).await?;
        records.sort_by(|a, b| a.key.cmp(&b.key));
        let (requests, queue) = mpsc::channel(WRITE_QUEUE);
        tokio::spawn(Writer::new(store, queue).run());
        tracing::info!(epoch, records = records.len(), registry = schema.name, "registry open");
        if let Some(restored) = &restored {
            tracing::warn!("this registry was restored: {restored}");
        }
        Ok(Self { registry: Registry { requests, epoch }, epoch, version, restored, records })
    }
}

impl Registry {
    /// The epoch of the term that opened it.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Makes all changes or none, durably, and after every write that was called before it returned.
    /// Waits for room when many writes are waiting already.
    ///
    /// # Errors
    /// [`WriteError`]; after [`WriteError::Deposed`] no later write succeeds.
    pub async fn write(&self, changes: Vec<Change>) -> Result<(), WriteError> {
        self.write_as(0, changes).await
    }

    /// The same with records that builds of an older version would misread: before they are there the registry is said to be of this
    /// version, which keeps such builds out by name, and stays so. No changes: only that is done.
    ///
    /// # Errors
    /// As [`Registry::write`].
    pub async fn write_as(&self, version: u32, changes: Vec<Change>) -> Result<(), WriteError> {
        changes.iter().try_for_each(Change::check)?;
        if changes.is_empty() && version == 0 {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { version, changes, reply }).await.map_err(|_| WriteError::Deposed)?;
        answer.await.unwrap_or(Err(WriteError::OutcomeUnknown))
    }

    /// Makes or replaces one record.
    ///
    /// # Errors
    /// As [`Registry::write`].
    pub async fn put(&self, kind: &str, key: &str, value: &[u8]) -> Result<(), WriteError> {
        self.write(vec![Change::put(kind, key, value)]).await
    }

    /// Removes one record, which need not be there.
    ///
    /// # Errors
    /// As [`Registry::write`].
    pub async fn delete(&self, kind: &str, key: &str) -> Result<(), WriteError> {
        self.write(vec![Change::delete(kind, key)]).await
    }
}

impl Change {
    /// Makes or replaces a record.
    pub fn put(kind: &str, key: &str, value: &[u8]) -> Self {
        Self::Put(Record { key: RecordKey::new(kind, key), value: value.into() })
    }

    /// Removes a record.
    pub fn delete(kind: &str, key: &str) -> Self {
        Self::Delete(RecordKey::new(kind, key))
    }

    /// The record it concerns.
    pub fn key(&self) -> &RecordKey {
        match self {
            Self::Put(record) => &record.key,
            Self::Delete(key) => key,
        }
    }

    fn check(&self) -> Result<(), WriteError> {
        let RecordKey { kind, key } = self.key();
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let bytes = match self {
            Self::Put(record) => record.value.len(),
            Self::Delete(_) => 0,
        };
        let why =
            if kind.is_empty() || kind.len() > 64 || !kind.bytes().all(legal) || kind == zookeeper::EPOCH {
                "a kind is lower-case letters, digits and hyphens".to_owned()
            } else if key.is_empty() || key.len() > MAX_KEY_BYTES {
                format!("a key has 1 to {MAX_KEY_BYTES} bytes")
            } else if bytes > MAX_RECORD_BYTES {
                format!("it has {bytes} bytes, the limit is {MAX_RECORD_BYTES}")
            } else {
                return Ok(());
            };
        Err(WriteError::BadRecord { kind: kind.clone(), key: key.chars().take(80).collect(), why })
    }
}

impl RecordKey {
    /// Names a record.
    pub fn new(kind: &str, key: &str) -> Self {
        Self { kind: kind.to_owned(), key: key.to_owned() }
    }
}
