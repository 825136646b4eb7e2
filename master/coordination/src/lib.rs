//! Who leads, and what must outlive the leader: contend, detect and registry over ZooKeeper or an embedded file.
//!
//! Start at [`Coordination`]: [`Coordination::campaign`] runs for leader, the [`Term`] won opens the
//! [`Registry`], and a [`Detector`] tells anybody who leads. Knows nothing of what the records mean.
#![forbid(unsafe_code)]

mod address;
mod backoff;
mod campaign;
mod coordination;
mod detect;
mod leader;
mod registry;
mod session;

pub use address::{AddressError, HostPort, MasterAddress, ZkAddress};
pub use campaign::{Campaign, Leadership, Lease, LostReason, Term};
pub use coordination::Coordination;
pub use detect::{DetectError, Detector};
pub use leader::{InvalidLeaderInfo, LeaderInfo};
pub use registry::{
    Backup, BackupError, Change, EPOCH_LEAP, Imported, MAX_RECORD_BYTES, MemoryStore, OpenRegistryError,
    OpenedRegistry, Record, RecordKey, Registry, RegistryPlace, Schema, TransferError, WriteError,
    decode_page,
};
pub use session::{SessionError, ZkOptions};
