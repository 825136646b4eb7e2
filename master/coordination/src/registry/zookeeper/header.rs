//! The header: what a registry is, and which pages it has; and the epoch, which is raised before anything else is read.

use serde::{Deserialize, Serialize};
use zookeeper_client::{CheckWriteError, Error};

use super::{EPOCH, MAX_TRIES, ZkStore};
use crate::registry::census::Census;
use crate::registry::{OpenRegistryError, Schema, WriteError};
use crate::session::{SessionError, outcome_unknown, reconnected, session_over};

/// What the header says instead of the schema while a backup is put in place.
pub(in crate::registry) const IMPORTING: &str = "chapada-import-under-way";

/// What lies in the root of a registry.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::registry) struct Header {
    pub(in crate::registry) format: String,
    pub(in crate::registry) version: u32,
    /// What was noted when it was restored from a backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::registry) restored: Option<String>,
    /// Which pages there are; absent where no leader has counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::registry) pages: Option<Census>,
}

/// The header as it lies in the root.
#[derive(Clone, Debug, Default)]
pub(super) struct StoredHeader {
    pub(super) header: Header,
    /// The znode's version.
    pub(super) version: i32,
}

/// What lies in the znode of the election: should the registry be deleted, nobody takes that for a beginning.
#[derive(Serialize, Deserialize)]
struct Mark {
    epoch: u64,
}

impl Header {
    pub(in crate::registry) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers always serialise")
    }

    /// Refuses pages that are not those the last leader left. `root` names the znode.
    pub(in crate::registry) fn check(&self, root: &str, found: &Census) -> Result<(), OpenRegistryError> {
        let Some(what) = self.pages.as_ref().and_then(|left| left.difference(found)) else { return Ok(()) };
        let uncounted = Self { pages: None, ..self.clone() }.encode();
        let uncounted = String::from_utf8_lossy(&uncounted).into_owned();
        Err(OpenRegistryError::Tampered { root: root.to_owned(), what, uncounted })
    }
}

impl ZkStore {
    pub(super) async fn ensure_header(&self, schema: Schema) -> Result<Header, OpenRegistryError> {
        let pages = Some(Census::of(0, []));
        let fresh = Header { format: schema.name.to_owned(), version: schema.version, restored: None, pages }
            .encode();
        let header = self.read_header(&self.patiently_found_or_made(&fresh).await?)?;
        if header.format == IMPORTING {
            return Err(OpenRegistryError::BeingImported(self.fence.address.to_string()));
        }
        if header.format != schema.name {
            let (place, found) = (self.znode(&self.root), header.format);
            return Err(OpenRegistryError::OtherSchema { place, found, expected: schema.name });
        }
        if header.version > schema.version {
            let (place, found, known) = (self.znode(&self.root), header.version, schema.version);
            return Err(OpenRegistryError::NewerVersion { place, name: header.format, found, known });
        }
        Ok(header)
    }

    /// Over a broken connection again, once it is back: what was made after all is found then.
    async fn patiently_found_or_made(&self, fresh: &[u8]) -> Result<Vec<u8>, OpenRegistryError> {
        for _ in 1..MAX_TRIES {
            match self.found_or_made(fresh).await {
                Err(error) if connection_broke(&error) && reconnected(&self.fence.client).await => {}
                outcome => return outcome,
            }
        }
        self.found_or_made(fresh).await
    }

    /// What lies in the root; `fresh` is put there when nothing does, and nothing ever did.
    async fn found_or_made(&self, fresh: &[u8]) -> Result<Vec<u8>, OpenRegistryError> {
        match self.fence.client.get_data(&self.root).await {
            Ok((data, _)) => return Ok(data),
            Err(Error::NoNode) => self.refuse_if_gone().await?,
            Err(error) => return Err(self.failed("read", error)),
        }
        let mut writer = self.fenced()?;
        // Both or none: a registry without an epoch is one from which it was deleted.
        let epoch = format!("{}/{EPOCH}", self.root);
        for (path, data) in [(&self.root, fresh), (&epoch, b"0")] {
            let added = writer.add_create(path, data, &self.create_options());
            added.map_err(|error| self.failed("create", error))?;
        }
        writer.commit().await.map_err(|error| self.refused("create", error))?;
        Ok(fresh.to_vec())
    }

    fn read_header(&self, data: &[u8]) -> Result<Header, OpenRegistryError> {
        let damaged = |error: serde_json::Error| OpenRegistryError::Damaged {
            place: self.znode(&self.root),
            what: error.to_string(),
        };
        serde_json::from_slice(data).map_err(damaged)
    }

    /// Refuses to begin anew where there were leaders before.
    async fn refuse_if_gone(&self) -> Result<(), OpenRegistryError> {
        let path = &self.fence.address.path;
        let (data, _) = self.fence.client.get_data(path).await.map_err(|error| self.failed("read", error))?;
        match serde_json::from_slice::<Mark>(&data) {
            Ok(Mark { epoch }) => {
                Err(OpenRegistryError::Gone { place: self.znode(&self.root), epoch, mark: path.clone() })
            }
            // Somebody else's, or nobody's.
            Err(_) => Ok(()),
        }
    }

    /// Writes the epoch where the registry's deletion does not reach; over a broken connection again, once it is back. Where we may
    /// not write it is done without.
    pub(super) async fn mark(&self, epoch: u64) {
        let path = &self.fence.address.path;
        let mark = serde_json::to_vec(&Mark { epoch }).expect("a number always serialises");
        let mut written = self.fence.client.set_data(path, &mark, None).await;
        for _ in 1..MAX_TRIES {
            match &written {
                Err(error) if outcome_unknown(error) && reconnected(&self.fence.client).await => {}
                _ => break,
            }
            written = self.fence.client.set_data(path, &mark, None).await;
        }
        if let Err(error) = written {
            tracing::warn!(%error, znode = path, "failed to note the epoch; a deleted registry would look like a new one");
        }
    }

    /// By compare-and-set, checking the election znode in the same transaction. Its outcome unknown, another is taken:
    /// a number left out harms nobody. The census of the last leader goes on under the new epoch; that of one before is left.
    pub(super) async fn raise_epoch(&mut self) -> Result<u64, OpenRegistryError> {
        let path = format!("{}/{EPOCH}", self.root);
        for _ in 0..MAX_TRIES {
            let (last, header) =
                tokio::join!(self.fence.client.get_data(&path), self.fence.client.get_data(&self.root));
            let ((data, stat), (header, header_stat)) = match (last, header) {
                (Ok(last), Ok(header)) => (last, header),
                (Err(Error::NoNode), _) => {
                    let (place, what) = (self.znode(&path), "it is gone".to_owned());
                    return Err(OpenRegistryError::Damaged { place, what });
                }
                (Err(error), _) | (_, Err(error)) => {
                    if outcome_unknown(&error) && reconnected(&self.fence.client).await {
                        continue;
                    }
                    return Err(self.failed("read", error));
                }
            };
            let last = self.parse_epoch(&path, &data)?;
            let epoch = last + 1;
            let mut header = self.read_header(&header)?;
            let counted = header.pages.take().filter(|census| census.is_of(last));
            header.pages = counted.map(|census| census.taken_over(epoch));
            let mut writer = self.fenced()?;
            let added = writer.add_set_data(&path, epoch.to_string().as_bytes(), Some(stat.version));
            added.map_err(|error| self.failed("write", error))?;
            let mut version = header_stat.version;
            if header.pages.is_some() {
                let added = writer.add_set_data(&self.root, &header.encode(), Some(version));
                added.map_err(|error| self.failed("write", error))?;
                version = version.wrapping_add(1);
            }
            match writer.commit().await {
                Ok(_) => {
                    self.header = StoredHeader { header, version };
                    return Ok(epoch);
                }
                Err(CheckWriteError::RequestFailed { source })
                    if outcome_unknown(&source) && reconnected(&self.fence.client).await => {}
                Err(error) => return Err(self.refused("raise the epoch of", error)),
            }
        }
        Err(self.failed("raise the epoch of", Error::ConnectionLoss))
    }

    /// One that another can follow.
    fn parse_epoch(&self, path: &str, data: &[u8]) -> Result<u64, OpenRegistryError> {
        let text = String::from_utf8_lossy(data);
        let epoch = text.parse::<u64>().ok().filter(|epoch| *epoch < u64::MAX);
        epoch.ok_or_else(|| OpenRegistryError::Damaged {
            place: self.znode(path),
            what: format!("{:?} is not an epoch", text.chars().take(40).collect::<String>()),
        })
    }

    /// Has the header say that the registry is of this version, if it is of an older one.
    pub(in crate::registry) async fn raise_version(&mut self, version: u32) -> Result<(), WriteError> {
        if version <= self.header.header.version {
            return Ok(());
        }
        let header = Header { version, ..self.header.header.clone() };
        for _ in 0..MAX_TRIES {
            match self.send_header(&header).await {
                Ok(()) => {}
                Err(CheckWriteError::CheckFailed { .. }) => return Err(WriteError::Deposed),
                Err(CheckWriteError::OperationFailed { .. }) => {
                    return Err(WriteError::Interfered(self.znode(&self.root)));
                }
                Err(CheckWriteError::RequestFailed { source }) if session_over(&source) => {
                    return Err(WriteError::OutcomeUnknown);
                }
                Err(CheckWriteError::RequestFailed { source }) if outcome_unknown(&source) => {
                    if !self.has_header(&header).await? {
                        continue;
                    }
                }
                Err(CheckWriteError::RequestFailed { source }) => return Err(self.not_written(&source)),
            }
            tracing::info!(registry = self.root, version, "the registry is of a newer version from now on");
            self.header = StoredHeader { header, version: self.header.version.wrapping_add(1) };
            return Ok(());
        }
        Err(self.not_written(&Error::ConnectionLoss))
    }

    async fn send_header(&self, header: &Header) -> Result<(), CheckWriteError> {
        let mut writer = self.fence.client.new_check_writer(&self.fence.path, None)?;
        writer.add_set_data(&self.root, &header.encode(), Some(self.header.version))?;
        writer.commit().await.map(drop)
    }

    /// Whether a header whose write had an unknown outcome is there, as nobody but this leader writes one.
    async fn has_header(&self, header: &Header) -> Result<bool, WriteError> {
        loop {
            if !reconnected(&self.fence.client).await {
                return Err(WriteError::OutcomeUnknown);
            }
            match self.fence.client.get_data(&self.root).await {
                Ok((_, stat)) if stat.version == self.header.version => return Ok(false),
                Ok((data, _)) if data == header.encode() => return Ok(true),
                Ok(_) | Err(Error::NoNode) => return Err(WriteError::Interfered(self.znode(&self.root))),
                Err(error) if session_over(&error) => return Err(WriteError::OutcomeUnknown),
                Err(error) if outcome_unknown(&error) => {}
                Err(error) => return Err(self.not_written(&error)),
            }
        }
    }

    /// Holds what was loaded against what the last leader left. After one that did not count, a page that is gone is not missed.
    pub(super) async fn count_pages(&mut self, epoch: u64) -> Result<(), OpenRegistryError> {
        let found = Census::of(epoch, self.pages.keys());
        if self.header.header.pages.is_some() {
            return self.header.header.check(&self.root, &found);
        }
        tracing::info!(
            registry = self.root,
            "the last leader did not count the registry's pages: they are now"
        );
        for _ in 0..MAX_TRIES {
            let (data, stat) = match self.fence.client.get_data(&self.root).await {
                Ok(found) => found,
                Err(error) if outcome_unknown(&error) && reconnected(&self.fence.client).await => continue,
                Err(error) => return Err(self.failed("read", error)),
            };
            let header = Header { pages: Some(found.clone()), ..self.read_header(&data)? };
            let mut writer = self.fenced()?;
            let added = writer.add_set_data(&self.root, &header.encode(), Some(stat.version));
            added.map_err(|error| self.failed("write", error))?;
            match writer.commit().await {
                Ok(_) => {
                    self.header = StoredHeader { header, version: stat.version.wrapping_add(1) };
                    return Ok(());
                }
                Err(CheckWriteError::RequestFailed { source })
                    if outcome_unknown(&source) && reconnected(&self.fence.client).await => {}
                Err(error) => return Err(self.refused("write the header of", error)),
            }
        }
        Err(self.failed("write the header of", Error::ConnectionLoss))
    }
}

fn connection_broke(error: &OpenRegistryError) -> bool {
    matches!(error, OpenRegistryError::Session(SessionError::Failed { source, .. }) if outcome_unknown(source))
}
