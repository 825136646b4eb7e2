//! The registry in memory, for tests: what is in it outlives those who opened it, and its leader can be deposed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{Change, Found, OpenRegistryError, Record, RecordKey, Schema, WriteError};

/// Records in memory. Each opening shuts out those who opened it before. Clones are the same store.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
    deposals: watch::Sender<u64>,
    suspended: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Inner {
    head: Option<(String, u32)>,
    epoch: u64,
    records: BTreeMap<RecordKey, Arc<[u8]>>,
    /// Bytes of keys and values that one write may have.
    limit: Option<usize>,
    /// What the next writes fail with.
    refusals: VecDeque<WriteError>,
}

/// The store as opened by one leader.
#[derive(Clone, Debug)]
pub(crate) struct MemoryRegistry {
    store: MemoryStore,
    epoch: u64,
}

impl MemoryStore {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is durable now, sorted.
    pub fn records(&self) -> Vec<Record> {
        let record =
            |(key, value): (&RecordKey, &Arc<[u8]>)| Record { key: key.clone(), value: value.clone() };
        self.inner().records.iter().map(record).collect()
    }

    /// Another store that holds the same.
    pub fn copy(&self) -> Self {
        let inner = self.inner();
        let (head, records) = (inner.head.clone(), inner.records.clone());
        let copy = Inner { head, epoch: inner.epoch, records, limit: inner.limit, refusals: VecDeque::new() };
        Self { inner: Arc::new(Mutex::new(copy)), ..Self::default() }
    }

    /// Refuses writes whose keys and values have more bytes together from now on, as ZooKeeper does.
    pub fn limit_writes(&self, bytes: usize) {
        self.inner().limit = Some(bytes);
    }

    /// Refuses the next writes, each as it says, and stores nothing of them.
    pub fn refuse_writes(&self, refusals: impl IntoIterator<Item = WriteError>) {
        self.inner().refusals.extend(refusals);
    }

    /// Takes the place away from whoever leads: its writes fail from now on, and it is told.
    pub fn depose(&self) {
        self.depose_unheard();
        self.deposals.send_modify(|deposals| *deposals += 1);
    }

    /// As [`MemoryStore::depose`], but it is not told: only its writes fail.
    pub fn depose_unheard(&self) {
        self.inner().epoch += 1;
    }

    /// Whether whoever leads, or runs for it, is out of reach of the others: a leader is suspended and its writes wait.
    pub fn suspend(&self, suspended: bool) {
        self.suspended.send_if_modified(|now| std::mem::replace(now, suspended) != suspended);
    }

    /// Told of each beginning and end of a suspension from now on.
    pub(crate) fn suspensions(&self) -> watch::Receiver<bool> {
        self.suspended.subscribe()
    }

    /// Told of each deposal from now on.
    pub(crate) fn deposals(&self) -> watch::Receiver<u64> {
        self.deposals.subscribe()
    }

    pub(crate) fn registry(&self) -> MemoryRegistry {
        MemoryRegistry { store: self.clone(), epoch: 0 }
    }
}

impl MemoryRegistry {
    pub(super) fn open(&mut self, schema: Schema) -> Result<Found, OpenRegistryError> {
        let mut inner = self.store.inner();
        let place = || "the store in memory".to_owned();
        let (name, version) = inner.head.clone().unwrap_or((schema.name.to_owned(), schema.version));
        if name != schema.name {
            return Err(OpenRegistryError::OtherSchema {
                place: place(),
                found: name,
                expected: schema.name,
            });
        }
        if version > schema.version {
            return Err(OpenRegistryError::NewerVersion {
                place: place(),
                name,
                found: version,
                known: schema.version,
            });
        }
        inner.head = Some((name, version));
        inner.epoch += 1;
        self.epoch = inner.epoch;
        drop(inner);
        Ok(Found { epoch: self.epoch, version, restored: None, records: self.store.records() })
    }

    /// As many writes as there are, each with its outcome, once the store is within reach. Afterwards it is of this version at least.
    pub(super) async fn commit(&self, version: u32, writes: Vec<Vec<Change>>) -> Vec<Result<(), WriteError>> {
        // It cannot be closed: the store is ours.
        drop(self.store.suspensions().wait_for(|suspended| !suspended).await);
        writes.into_iter().map(|changes| self.commit_one(version, changes)).collect()
    }

    fn commit_one(&self, version: u32, changes: Vec<Change>) -> Result<(), WriteError> {
        let mut inner = self.store.inner();
        if inner.epoch != self.epoch {
            return Err(WriteError::Deposed);
        }
        if let Some(refusal) = inner.refusals.pop_front() {
            return Err(refusal);
        }
        let bytes = changes.iter().map(size).sum();
        if let Some(limit) = inner.limit.filter(|limit| bytes > *limit) {
            return Err(WriteError::TooLarge { bytes, limit });
        }
        if let Some((_, stored)) = &mut inner.head {
            *stored = version.max(*stored);
        }
        for change in changes {
            match change {
                Change::Put(record) => drop(inner.records.insert(record.key, record.value)),
                Change::Delete(key) => drop(inner.records.remove(&key)),
            }
        }
        Ok(())
    }
}

fn size(change: &Change) -> usize {
    let value = match change {
        Change::Put(record) => record.value.len(),
        Change::Delete(_) => 0,
    };
    change.key().key.len() + value
}
