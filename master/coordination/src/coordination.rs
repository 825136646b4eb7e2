//! The two ways to coordinate, behind one type.

use std::path::Path;
use std::sync::Arc;

use crate::address::{MasterAddress, ZkAddress};
use crate::campaign::Campaign;
use crate::detect::Detector;
use crate::leader::LeaderInfo;
use crate::registry::{EmbeddedStore, MemoryStore, OpenRegistryError};
use crate::session::ZkOptions;

/// How the processes of one kind agree on a leader and keep their records.
#[derive(Clone, Debug)]
pub enum Coordination {
    /// Among several processes, through an ensemble.
    ZooKeeper {
        /// The ensemble, and the path of this election.
        address: ZkAddress,
        /// The session's.
        options: ZkOptions,
    },
    /// One process on one file; it always leads.
    Embedded(Embedded),
    /// Within one process, for tests: whoever runs for leader leads until it is deposed.
    Memory(MemoryStore),
}

/// A file that this process alone holds open.
#[derive(Clone, Debug)]
pub struct Embedded {
    pub(crate) store: Arc<EmbeddedStore>,
    pub(crate) leader: tokio::sync::watch::Sender<Option<LeaderInfo>>,
}

impl Coordination {
    /// Through ZooKeeper. Nothing is connected before a campaign or a detector begins.
    pub fn zookeeper(address: ZkAddress, options: ZkOptions) -> Self {
        Self::ZooKeeper { address, options }
    }

    /// On one file, made if there is none. Blocks on disk.
    ///
    /// # Errors
    /// When another process holds the file, or it cannot be read or made.
    pub fn embedded(file: &Path) -> Result<Self, OpenRegistryError> {
        let store = Arc::new(EmbeddedStore::open(file)?);
        Ok(Self::Embedded(Embedded { store, leader: tokio::sync::watch::Sender::new(None) }))
    }

    /// Runs for leader in a task of its own; must be called within a tokio runtime.
    pub fn campaign(&self, info: LeaderInfo) -> Campaign {
        match self {
            Self::ZooKeeper { address, options } => {
                Campaign::zookeeper(address.clone(), options.clone(), info)
            }
            Self::Embedded(embedded) => Campaign::embedded(embedded, info),
            Self::Memory(store) => Campaign::memory(store),
        }
    }

    /// Follows who leads; must be called within a tokio runtime.
    pub fn detect(&self) -> Detector {
        match self {
            Self::ZooKeeper { address, options } => {
                Detector::start(&MasterAddress::ZooKeeper(address.clone()), options.clone())
            }
            Self::Embedded(embedded) => Detector::following(embedded.leader.subscribe()),
            Self::Memory(_) => Detector::following(tokio::sync::watch::Sender::new(None).subscribe()),
        }
    }
}
