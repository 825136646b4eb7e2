//! What makes one piece of disk different from another.

use crate::{Label, Text};

/// Where a disk comes from and what is kept on it.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Disk {
    /// Set on a persistent volume.
    pub persistence: Option<Persistence>,
    /// Where the volume shows in the container.
    pub volume: Option<DiskVolume>,
    /// Absent for the disk that the agent's work directory is on. Rare, so that it takes no room where it is absent.
    pub source: Option<Box<DiskSource>>,
}

/// A volume that outlives its task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Persistence {
    /// Unique per role and agent.
    pub id: Text,
    /// Who made it.
    pub principal: Option<Text>,
}

/// Where a volume shows in the container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct DiskVolume {
    /// The path in the container.
    pub container_path: Text,
    /// The path on the host, when one was given.
    pub host_path: Option<Text>,
    /// Whether the container may only read.
    pub read_only: bool,
}

/// The kind of a disk that is not the agent's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum DiskKind {
    /// A directory; can be split.
    Path,
    /// A mounted file system; only as a whole.
    Mount,
    /// A block device; only as a whole.
    Block,
    /// Storage of which something else can be made.
    Raw,
}

/// Where a disk comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct DiskSource {
    /// Its kind.
    pub kind: DiskKind,
    /// The directory or mount point.
    pub root: Option<Text>,
    /// The storage vendor.
    pub vendor: Option<Text>,
    /// The vendor's name for it.
    pub id: Option<Text>,
    /// The profile it was made by.
    pub profile: Option<Text>,
    /// What else the vendor says.
    pub metadata: Vec<Label>,
}

impl Disk {
    /// Whether it is one thing that cannot be split or merged: a persistent volume, a mount or block device, or raw
    /// storage that has an id.
    pub fn is_whole(&self) -> bool {
        let source_is_whole = self.source.as_ref().is_some_and(|source| match source.kind {
            DiskKind::Mount | DiskKind::Block => true,
            DiskKind::Raw => source.id.is_some(),
            DiskKind::Path => false,
        });
        self.persistence.is_some() || source_is_whole
    }
}
