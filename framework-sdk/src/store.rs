//! What must outlive a scheduler: its framework id, and records of its own.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use chapada_coordination::{
    AddressError, Change, Coordination, OpenRegistryError, OpenedRegistry, Record, Registry, Schema, Term,
    WriteError, ZkAddress, ZkOptions,
};
use chapada_model::FrameworkId;

use crate::parts::in_parts;

/// Between two attempts to write, when the first failed for a reason that may pass.
const RETRY: Duration = Duration::from_secs(1);
/// The kind of record in which the driver keeps what is its own.
const DRIVER: &str = "sdk-driver";
const FRAMEWORK_ID: &str = "framework-id";

/// Where a scheduler keeps its state: a file, or `zk://host:port/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAddress {
    /// A file that one process holds open.
    File(PathBuf),
    /// Below this path, for several processes of which one leads. The path is this framework's alone.
    ZooKeeper(ZkAddress),
}

/// Durable records. Writes fail once another process leads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    registry: Registry,
}

/// A store as found.
#[derive(Clone, Debug)]
pub struct OpenedStore {
    /// For writing.
    pub store: Store,
    /// The id under which the framework was subscribed before.
    pub framework_id: Option<FrameworkId>,
    /// The version found, at most the schema's.
    pub version: u32,
    /// The scheduler's own records, sorted by kind and key.
    pub records: Vec<Record>,
    /// Grows with each opening.
    pub epoch: u64,
}

impl FromStr for StoreAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text {
            "" => Err(AddressError::Empty),
            text if text.starts_with("zk://") => text.parse().map(Self::ZooKeeper),
            text => Ok(Self::File(text.into())),
        }
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(out, "{}", file.display()),
            Self::ZooKeeper(address) => address.fmt(out),
        }
    }
}

impl StoreAddress {
    /// The election that goes with this store. Blocks on disk for a file.
    ///
    /// # Errors
    /// When the file is held by another process, or cannot be read or made.
    pub fn coordination(&self, options: ZkOptions) -> Result<Coordination, OpenRegistryError> {
        match self {
            Self::File(file) => Coordination::embedded(file),
            Self::ZooKeeper(address) => Ok(Coordination::zookeeper(address.clone(), options)),
        }
    }
}

impl Store {
    /// Reads everything, for the one that leads.
    ///
    /// # Errors
    /// When the store is of a newer version or of another framework, is damaged, or another process leads by now.
    pub async fn open(term: &Term, schema: Schema) -> Result<OpenedStore, OpenRegistryError> {
        let OpenedRegistry { registry, epoch, version, records, .. } = term.open_registry(schema).await?;
        let (own, records): (Vec<_>, Vec<_>) = records.into_iter().partition(|r| r.key.kind == DRIVER);
        let framework_id =
            own.iter().find(|record| record.key.key == FRAMEWORK_ID).map(read_id).transpose()?;
        Ok(OpenedStore { store: Self { registry }, framework_id, version, records, epoch })
    }

    /// Makes all changes or none, durably. The kind `sdk-driver` is the driver's.
    ///
    /// # Errors
    /// [`WriteError`]; nothing is stored then, unless it says that the outcome is unknown.
    pub async fn write(&self, changes: Vec<Change>) -> Result<(), WriteError> {
        self.registry.write(changes).await
    }

    /// Makes all changes durable, in their order and in as few transactions as they fit: each record is right by itself, and
    /// nothing rests on them before this returns. When the store refuses for a reason that may pass, tries again every second,
    /// for ever.
    ///
    /// # Errors
    /// [`WriteError`] when they never will be; some may be stored then.
    pub async fn write_in_parts(&self, changes: Vec<Change>) -> Result<(), WriteError> {
        in_parts(changes, RETRY, |part| self.write(part)).await
    }

    /// Makes or replaces one record.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn put(&self, kind: &str, key: &str, value: &[u8]) -> Result<(), WriteError> {
        self.registry.put(kind, key, value).await
    }

    /// Removes one record, which need not be there.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn delete(&self, kind: &str, key: &str) -> Result<(), WriteError> {
        self.registry.delete(kind, key).await
    }

    /// The next run is a new framework. For when the master has removed this one.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn forget_framework_id(&self) -> Result<(), WriteError> {
        self.delete(DRIVER, FRAMEWORK_ID).await
    }

    pub(crate) async fn save_framework_id(&self, id: &FrameworkId) -> Result<(), WriteError> {
        self.write_in_parts(vec![Change::put(DRIVER, FRAMEWORK_ID, id.as_str().as_bytes())]).await
    }
}

fn read_id(record: &Record) -> Result<FrameworkId, OpenRegistryError> {
    let text = String::from_utf8_lossy(&record.value);
    text.parse().map_err(|error| OpenRegistryError::Damaged {
        place: format!("record {DRIVER}/{FRAMEWORK_ID}"),
        what: format!("{error}"),
    })
}
