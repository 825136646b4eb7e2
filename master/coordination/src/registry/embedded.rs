//! The registry in one redb file that a single process holds open.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use redb::{ReadTransaction, WriteTransaction};

use super::{Backup, Change, Found, OpenRegistryError, Record, RecordKey, Schema, WriteError};

const META: TableDefinition<&str, &str> = TableDefinition::new("meta");
const RECORDS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("records");
const SCHEMA_NAME: &str = "schema-name";
const SCHEMA_VERSION: &str = "schema-version";
const EPOCH: &str = "epoch";
/// What was noted when it was restored.
const RESTORED: &str = "restored";
/// Memory for pages of the file; the records are few and small.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// An open file. Other processes are kept out for as long as this lives.
#[derive(Debug)]
pub(crate) struct EmbeddedStore {
    database: Database,
    file: PathBuf,
}

impl EmbeddedStore {
    pub(crate) fn open(file: &Path) -> Result<Self, OpenRegistryError> {
        let place = || file.display().to_string();
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(|error| OpenRegistryError::Storage {
                doing: "create the folder of",
                place: place(),
                message: error.to_string(),
            })?;
        }
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(file).map_err(|e| match e {
            DatabaseError::DatabaseAlreadyOpen => OpenRegistryError::InUse(place()),
            DatabaseError::Storage(redb::StorageError::Corrupted(what)) => {
                OpenRegistryError::Damaged { place: place(), what }
            }
            error => OpenRegistryError::Storage { doing: "open", place: place(), message: error.to_string() },
        })?;
        Ok(Self { database, file: file.to_owned() })
    }

    pub(super) async fn open_schema(self: Arc<Self>, schema: Schema) -> Result<Found, OpenRegistryError> {
        let place = self.place();
        let found = tokio::task::spawn_blocking(move || {
            let epoch_and_version = self.raise_epoch(schema)?;
            self.load(epoch_and_version).map_err(|error| self.opening(error))
        });
        found.await.unwrap_or_else(|error| {
            Err(OpenRegistryError::Storage { doing: "read", place, message: error.to_string() })
        })
    }

    fn raise_epoch(&self, schema: Schema) -> Result<(u64, u32), OpenRegistryError> {
        let Head { name, version, epoch, .. } = self.head().map_err(|error| self.opening(error))?;
        if let Some(found) = name.filter(|name| name != schema.name) {
            return Err(OpenRegistryError::OtherSchema { place: self.place(), found, expected: schema.name });
        }
        let damaged = |what: String| OpenRegistryError::Damaged { place: self.place(), what };
        let version = match version {
            None => schema.version,
            Some(text) => text.parse().map_err(|_| damaged(format!("version {text:?}")))?,
        };
        if version > schema.version {
            let (place, name) = (self.place(), schema.name.to_owned());
            return Err(OpenRegistryError::NewerVersion {
                place,
                name,
                found: version,
                known: schema.version,
            });
        }
        let epoch: u64 = match epoch {
            None => 0,
            Some(text) => text.parse().map_err(|_| damaged(format!("epoch {text:?}")))?,
        };
        let epoch = epoch + 1;
        self.set_head(schema.name, version, epoch).map_err(|error| self.opening(error))?;
        Ok((epoch, version))
    }

    /// Begins a change. Its commit syncs twice and not once, so that the file of a process that was killed opens at once: to repair one
    /// of 200,000 records takes half a second.
    fn begin(&self) -> Result<WriteTransaction, redb::Error> {
        let mut write = self.database.begin_write()?;
        write.set_quick_repair(true);
        Ok(write)
    }

    fn head(&self) -> Result<Head, redb::Error> {
        Self::head_in(&self.database.begin_read()?)
    }

    fn head_in(read: &ReadTransaction) -> Result<Head, redb::Error> {
        let meta = match read.open_table(META) {
            Ok(meta) => meta,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Head::default()),
            Err(error) => return Err(error.into()),
        };
        let text = |key| meta.get(key).map(|found| found.map(|guard| guard.value().to_owned()));
        let (name, version) = (text(SCHEMA_NAME)?, text(SCHEMA_VERSION)?);
        Ok(Head { name, version, epoch: text(EPOCH)?, restored: text(RESTORED)? })
    }

    fn set_head(&self, name: &str, version: u32, epoch: u64) -> Result<(), redb::Error> {
        let write = self.begin()?;
        {
            write.open_table(RECORDS)?;
            let mut meta = write.open_table(META)?;
            meta.insert(SCHEMA_NAME, name)?;
            meta.insert(SCHEMA_VERSION, version.to_string().as_str())?;
            meta.insert(EPOCH, epoch.to_string().as_str())?;
        }
        Ok(write.commit()?)
    }

    fn load(&self, (epoch, version): (u64, u32)) -> Result<Found, redb::Error> {
        let read = self.database.begin_read()?;
        let mut records = Vec::new();
        for entry in read.open_table(RECORDS)?.iter()? {
            let (key, value) = entry?;
            let (kind, key) = key.value();
            records.push(Record { key: RecordKey::new(kind, key), value: value.value().into() });
        }
        let restored = Self::head_in(&read)?.restored;
        Ok(Found { epoch, version, restored, records })
    }

    /// All of it, without a trace; none when nobody has written any.
    pub(super) fn everything(&self) -> Result<Option<Backup>, OpenRegistryError> {
        let head = self.head().map_err(|error| self.opening(error))?;
        let Some(schema) = head.name else { return Ok(None) };
        let damaged = |what: &str| OpenRegistryError::Damaged { place: self.place(), what: what.to_owned() };
        let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok());
        let version = number(head.version).and_then(|version| u32::try_from(version).ok());
        let version = version.ok_or_else(|| damaged("its version is no number"))?;
        let epoch = number(head.epoch).unwrap_or(0);
        let found = self.load((epoch, version)).map_err(|error| self.opening(error))?;
        Ok(Some(Backup { schema, version, epoch, taken: String::new(), records: found.records }))
    }

    /// This instead of everything, or nothing changes.
    pub(super) fn replace(&self, backup: &Backup, epoch: u64, note: &str) -> Result<(), OpenRegistryError> {
        self.replaced(backup, epoch, note).map_err(|error| OpenRegistryError::Storage {
            doing: "write",
            place: self.place(),
            message: error.to_string(),
        })
    }

    fn replaced(&self, backup: &Backup, epoch: u64, note: &str) -> Result<(), redb::Error> {
        let write = self.begin()?;
        write.delete_table(RECORDS)?;
        {
            let mut meta = write.open_table(META)?;
            meta.insert(SCHEMA_NAME, backup.schema.as_str())?;
            meta.insert(SCHEMA_VERSION, backup.version.to_string().as_str())?;
            meta.insert(EPOCH, epoch.to_string().as_str())?;
            meta.insert(RESTORED, note)?;
            let mut records = write.open_table(RECORDS)?;
            for record in &backup.records {
                records.insert((record.key.kind.as_str(), record.key.key.as_str()), &*record.value)?;
            }
        }
        Ok(write.commit()?)
    }

    /// All changes in one transaction, in order. Afterwards the file is of this version at least.
    pub(super) async fn commit(
        self: Arc<Self>,
        version: u32,
        changes: Vec<Vec<Change>>,
    ) -> Result<(), WriteError> {
        let place = self.place();
        let written = tokio::task::spawn_blocking(move || self.apply(version, &changes));
        let message = match written.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        Err(WriteError::Storage { place, message })
    }

    fn apply(&self, version: u32, changes: &[Vec<Change>]) -> Result<(), redb::Error> {
        let write = self.begin()?;
        if version > 0 {
            let mut meta = write.open_table(META)?;
            let stored = meta.get(SCHEMA_VERSION)?.and_then(|stored| stored.value().parse::<u32>().ok());
            // What is no number was refused when the file was opened.
            if stored.is_some_and(|stored| stored < version) {
                meta.insert(SCHEMA_VERSION, version.to_string().as_str())?;
            }
        }
        {
            let mut records = write.open_table(RECORDS)?;
            for change in changes.iter().flatten() {
                let name = (change.key().kind.as_str(), change.key().key.as_str());
                match change {
                    Change::Put(record) => drop(records.insert(name, &*record.value)?),
                    Change::Delete(_) => drop(records.remove(name)?),
                }
            }
        }
        Ok(write.commit()?)
    }

    fn place(&self) -> String {
        self.file.display().to_string()
    }

    fn opening(&self, error: redb::Error) -> OpenRegistryError {
        OpenRegistryError::Storage { doing: "read", place: self.place(), message: error.to_string() }
    }
}

#[derive(Default)]
struct Head {
    name: Option<String>,
    version: Option<String>,
    epoch: Option<String>,
    restored: Option<String>,
}
