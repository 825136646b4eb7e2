//! Taking a registry out of where it is kept, and putting one there.

mod embedded;
mod zookeeper;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Backup, OpenRegistryError, Record, RecordKey};
use crate::address::ZkAddress;
use crate::session::{SessionError, ZkOptions};

/// How much higher than any known epoch that of an imported registry is. A backup is older than what it is put in place of: the
/// agents have obeyed leaders that it knows nothing of, and obey none of a lower epoch. So many leaders no cluster has between
/// two backups.
pub const EPOCH_LEAP: u64 = 1_000_000;

/// Where a registry is kept.
#[derive(Clone, Debug)]
pub enum RegistryPlace {
    /// Below this path.
    ZooKeeper {
        /// The ensemble, and the path of the election.
        address: ZkAddress,
        /// The session's.
        options: ZkOptions,
    },
    /// In this file.
    File(PathBuf),
}

/// Why a registry was not taken out or put in place. What was there is unchanged unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The place cannot be read or written.
    #[error(transparent)]
    Place(#[from] OpenRegistryError),
    /// There is none.
    #[error("there is no registry at {0}")]
    Nothing(String),
    /// It changes faster than it can be read.
    #[error("the registry at {0} changes while it is read: try again when less happens")]
    Restless(String),
    /// One that runs would know nothing of the change and go on with what it has read.
    #[error("{candidates} of its processes run at {place}: stop them all first")]
    InUse {
        /// Where.
        place: String,
        /// How many.
        candidates: usize,
    },
    /// The place has a registry.
    #[error(
        "{place} holds a registry of epoch {epoch}; putting another in its place loses {loss}; --force does it all the same"
    )]
    NotEmpty {
        /// Where.
        place: String,
        /// Its epoch.
        epoch: u64,
        /// What only this one has.
        loss: String,
    },
    /// The place has something that is no registry.
    #[error(
        "{place} cannot be read as a registry ({why}), so nobody knows what would be lost; --force puts another in its place all the same"
    )]
    Unreadable {
        /// Where.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// A record that no registry takes.
    #[error("the backup cannot be stored: {0}")]
    BadRecord(#[from] super::WriteError),
}

/// What an import did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Where.
    pub place: String,
    /// The epoch from which the next leader counts on.
    pub epoch: u64,
    /// How many records it holds now.
    pub records: usize,
    /// What was there before and is no more; none when nothing was.
    pub lost: Option<String>,
}

/// What is found at a place.
#[derive(Debug)]
enum Present {
    Nothing,
    /// An import that broke off: it is done again.
    HalfImported {
        epoch: u64,
    },
    Registry(Backup),
    Damaged {
        epoch: u64,
        why: String,
    },
}

impl RegistryPlace {
    /// Reads everything, as it was at one moment. Changes nothing; those who use the registry go on.
    ///
    /// # Errors
    /// [`TransferError`] names the place and the remedy.
    pub async fn export(&self, taken: &str) -> Result<Backup, TransferError> {
        let present = match self {
            Self::ZooKeeper { address, options } => zookeeper::export(address, options).await?,
            Self::File(file) => embedded::export(file.clone()).await?,
        };
        match present {
            Present::Registry(backup) => Ok(Backup { taken: taken.to_owned(), ..backup }),
            Present::Nothing => Err(TransferError::Nothing(self.to_string())),
            Present::HalfImported { .. } => Err(OpenRegistryError::BeingImported(self.to_string()).into()),
            Present::Damaged { why, .. } => {
                Err(OpenRegistryError::Damaged { place: self.to_string(), what: why }.into())
            }
        }
    }

    /// Puts a backup in place of what is there, under an epoch that is higher than any before; `note` is kept with it, and told
    /// by each leader that opens it.
    ///
    /// # Errors
    /// [`TransferError`]; without `force` when anything would be lost, and in any case while a process uses the registry.
    pub async fn import(&self, backup: &Backup, note: &str, force: bool) -> Result<Imported, TransferError> {
        for record in &backup.records {
            super::Change::Put(record.clone()).check()?;
        }
        match self {
            Self::ZooKeeper { address, options } => {
                zookeeper::import(address, options, backup, note, force).await
            }
            Self::File(file) => embedded::import(file.clone(), backup.clone(), note.to_owned(), force).await,
        }
    }
}

impl std::fmt::Display for RegistryPlace {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ZooKeeper { address, .. } => write!(out, "{address}"),
            Self::File(file) => write!(out, "{}", file.display()),
        }
    }
}

/// The epoch that stays behind, and what is lost. Refuses without `force` when that is anything.
fn weigh(
    place: &str,
    present: &Present,
    backup: &Backup,
    force: bool,
) -> Result<(u64, Option<String>), TransferError> {
    match present {
        Present::Nothing => Ok((0, None)),
        Present::HalfImported { epoch } => Ok((*epoch, None)),
        Present::Registry(there) => {
            let loss = loss(there, backup);
            if !force {
                return Err(TransferError::NotEmpty { place: place.to_owned(), epoch: there.epoch, loss });
            }
            Ok((there.epoch, Some(loss)))
        }
        Present::Damaged { epoch, why } => {
            if !force {
                return Err(TransferError::Unreadable { place: place.to_owned(), why: why.clone() });
            }
            Ok((*epoch, Some(format!("what could not be read ({why})"))))
        }
    }
}

/// The epoch of what is imported.
fn leap(there: u64, backup: &Backup) -> u64 {
    there.max(backup.epoch).saturating_add(EPOCH_LEAP)
}

/// What one has that another has not, in words.
fn loss(there: &Backup, backup: &Backup) -> String {
    let kept: BTreeMap<&RecordKey, &Record> =
        backup.records.iter().map(|record| (&record.key, record)).collect();
    let mut gone: BTreeMap<&str, usize> = BTreeMap::new();
    let mut older: BTreeMap<&str, usize> = BTreeMap::new();
    for record in &there.records {
        match kept.get(&record.key) {
            None => *gone.entry(&record.key.kind).or_default() += 1,
            Some(same) if same.value == record.value => {}
            Some(_) => *older.entry(&record.key.kind).or_default() += 1,
        }
    }
    let count = |counts: BTreeMap<&str, usize>, what: &str| {
        counts.into_iter().map(|(kind, count)| format!("{count} of {kind}{what}")).collect::<Vec<_>>()
    };
    let all = [count(gone, ""), count(older, " as they are now")].concat();
    if all.is_empty() { "no record".to_owned() } else { all.join(", ") }
}

impl From<SessionError> for TransferError {
    fn from(error: SessionError) -> Self {
        Self::Place(error.into())
    }
}
