//! The registry in ZooKeeper: `<path>/registry/<kind>/<bucket>`, each a page; `<path>/registry/epoch` a number.
//!
//! `registry` sorts after `json.info_…`, because some clients take the smallest child for the leader.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use zookeeper_client::{CheckWriteError, CheckWriter, CreateMode, CreateOptions, Error};

use super::page::{Page, bucket_of};
use super::{Change, Found, OpenRegistryError, Record, RecordKey, Schema, WriteError};
use crate::campaign::Fence;
use crate::session::{SessionError, outcome_unknown, private_acls, reconnected, session_over};

/// The child that holds the epoch; no kind of records may be called so.
pub(super) const EPOCH: &str = "epoch";
/// Bytes of one transaction, well below the servers' 1 MiB (a larger one would only look like a lost connection).
const MAX_TRANSACTION_BYTES: usize = 900_000;
/// Writes are put together up to so many bytes only: a server keeps the last 500 transactions in memory.
const GATHERED_BYTES: usize = 200_000;
/// Path, flags and ACL of one operation.
const ZNODE_OVERHEAD: usize = 256;
/// Tries of one transaction whose connection broke before it was carried out.
const MAX_TRIES: usize = 5;

type PageKey = (String, u32);

#[derive(Debug)]
pub(crate) struct ZkStore {
    fence: Fence,
    root: String,
    kinds: BTreeSet<String>,
    pages: HashMap<PageKey, StoredPage>,
}

#[derive(Clone, Debug)]
struct StoredPage {
    page: Page,
    /// The znode's version.
    version: i32,
}

/// Pages as they are to be after a transaction.
type Staged = BTreeMap<PageKey, Page>;

#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
}

/// What re-reading says of a transaction whose outcome was unknown.
enum Reread {
    Done,
    NotDone,
}

impl ZkStore {
    pub(super) fn new(fence: Fence) -> Self {
        let root = format!("{}/registry", fence.address.path);
        Self { fence, root, kinds: BTreeSet::new(), pages: HashMap::new() }
    }

    pub(super) fn ended(&self) -> CancellationToken {
        self.fence.ended.clone()
    }

    pub(super) async fn open(&mut self, schema: Schema) -> Result<Found, OpenRegistryError> {
        let ended = self.ended();
        let opening = async {
            let version = self.ensure_header(schema).await?;
            let epoch = self.raise_epoch().await?;
            let records = self.load().await?;
            Ok(Found { epoch, version, records })
        };
        ended.run_until_cancelled(opening).await.unwrap_or(Err(OpenRegistryError::Deposed))
    }

    async fn ensure_header(&self, schema: Schema) -> Result<u32, OpenRegistryError> {
        let fresh = Header { format: schema.name.to_owned(), version: schema.version };
        let fresh = serde_json::to_vec(&fresh).expect("a string and a number always serialise");
        let data = match self.fence.client.get_data(&self.root).await {
            Ok((data, _)) => data,
            Err(Error::NoNode) => {
                let mut writer = self.fenced()?;
                writer
                    .add_create(&self.root, &fresh, &self.create_options())
                    .map_err(|e| self.failed("create", e))?;
                writer.commit().await.map_err(|error| self.refused("create", error))?;
                fresh
            }
            Err(error) => return Err(self.failed("read", error)),
        };
        let header: Header = serde_json::from_slice(&data).map_err(|error| OpenRegistryError::Damaged {
            place: self.znode(&self.root),
            what: error.to_string(),
        })?;
        if header.format != schema.name {
            let (place, found) = (self.znode(&self.root), header.format);
            return Err(OpenRegistryError::OtherSchema { place, found, expected: schema.name });
        }
        if header.version > schema.version {
            let (place, found, known) = (self.znode(&self.root), header.version, schema.version);
            return Err(OpenRegistryError::NewerVersion { place, name: header.format, found, known });
        }
        Ok(header.version)
    }

    /// By compare-and-set, checking the election znode in the same transaction. Its outcome unknown, another is taken:
    /// a number left out harms nobody.
    async fn raise_epoch(&self) -> Result<u64, OpenRegistryError> {
        let path = format!("{}/{EPOCH}", self.root);
        for _ in 0..MAX_TRIES {
            let mut writer = self.fenced()?;
            let epoch = match self.fence.client.get_data(&path).await {
                Ok((data, stat)) => {
                    let text = String::from_utf8_lossy(&data).into_owned();
                    let epoch = text.parse::<u64>().ok().and_then(|epoch| epoch.checked_add(1));
                    let epoch = epoch.ok_or_else(|| OpenRegistryError::Damaged {
                        place: self.znode(&path),
                        what: format!("{:?} is not an epoch", text.chars().take(40).collect::<String>()),
                    })?;
                    let added = writer.add_set_data(&path, epoch.to_string().as_bytes(), Some(stat.version));
                    added.map_err(|error| self.failed("write", error))?;
                    epoch
                }
                Err(Error::NoNode) => {
                    let added = writer.add_create(&path, b"1", &self.create_options());
                    added.map_err(|error| self.failed("create", error))?;
                    1
                }
                Err(error) if outcome_unknown(&error) && reconnected(&self.fence.client).await => continue,
                Err(error) => return Err(self.failed("read", error)),
            };
            match writer.commit().await {
                Ok(_) => return Ok(epoch),
                Err(CheckWriteError::RequestFailed { source })
                    if outcome_unknown(&source) && reconnected(&self.fence.client).await => {}
                Err(error) => return Err(self.refused("raise the epoch of", error)),
            }
        }
        Err(self.failed("raise the epoch of", Error::ConnectionLoss))
    }

    async fn load(&mut self) -> Result<Vec<Record>, OpenRegistryError> {
        let client = self.fence.client.clone();
        let kinds = client.list_children(&self.root).await.map_err(|error| self.failed("list", error))?;
        let mut records = Vec::new();
        for kind in kinds.into_iter().filter(|name| name != EPOCH) {
            let folder = format!("{}/{kind}", self.root);
            let names = client.list_children(&folder).await.map_err(|error| self.failed("list", error))?;
            let paths: Vec<String> = names.iter().map(|name| format!("{folder}/{name}")).collect();
            // Each request is sent when it is made; only the answers are awaited one after the other.
            let reads: Vec<_> = paths.iter().map(|path| client.get_data(path)).collect();
            for ((name, path), read) in names.iter().zip(&paths).zip(reads) {
                let (data, stat) = read.await.map_err(|error| self.failed("read", error))?;
                let place = self.znode(path);
                let bucket = u32::from_str_radix(name, 16).map_err(|_| OpenRegistryError::Damaged {
                    place: place.clone(),
                    what: "not the name of a page".to_owned(),
                })?;
                let page = Page::decode(&data, &place)?;
                for (key, value) in page.records() {
                    records.push(Record { key: RecordKey::new(&kind, key), value: value.clone() });
                }
                self.pages.insert((kind.clone(), bucket), StoredPage { page, version: stat.version });
            }
            self.kinds.insert(kind);
        }
        Ok(records)
    }

    /// Carries out the writes in order, as many per transaction as fit; one outcome for each.
    pub(super) async fn commit(&mut self, writes: &[Vec<Change>]) -> Vec<Result<(), WriteError>> {
        let mut outcomes = Vec::with_capacity(writes.len());
        let mut staged = Staged::new();
        let (mut waiting, mut bytes) = (0, 0);
        for write in writes {
            let more = self.bytes_touched(&staged, write);
            if bytes + more > GATHERED_BYTES {
                let outcome = self.transact(std::mem::take(&mut staged)).await;
                outcomes.extend(std::iter::repeat_n(outcome, std::mem::take(&mut waiting)));
                bytes = 0;
            }
            let more = self.bytes_touched(&staged, write);
            if more > MAX_TRANSACTION_BYTES {
                outcomes.push(Err(WriteError::TooLarge { bytes: more, limit: MAX_TRANSACTION_BYTES }));
                continue;
            }
            self.stage(&mut staged, write);
            bytes += more;
            waiting += 1;
        }
        let outcome = self.transact(staged).await;
        outcomes.extend(std::iter::repeat_n(outcome, waiting));
        outcomes
    }

    /// At most how many bytes a transaction grows by this write.
    fn bytes_touched(&self, staged: &Staged, write: &[Change]) -> usize {
        let mut touched = BTreeSet::new();
        let mut bytes = 0;
        for change in write {
            let RecordKey { kind, key } = change.key();
            let page_key = (kind.clone(), bucket_of(key));
            if let Change::Put(record) = change {
                bytes += 8 + key.len() + record.value.len();
            }
            if !staged.contains_key(&page_key) {
                touched.insert(page_key);
            }
        }
        let pages =
            touched.iter().map(|key| self.pages.get(key).map_or(0, |stored| stored.page.encoded_len()));
        bytes + pages.map(|len| len + ZNODE_OVERHEAD).sum::<usize>()
    }

    fn stage(&self, staged: &mut Staged, write: &[Change]) {
        for change in write {
            let RecordKey { kind, key } = change.key();
            let page_key = (kind.clone(), bucket_of(key));
            let page = staged.entry(page_key).or_insert_with_key(|page_key| {
                self.pages.get(page_key).map(|stored| stored.page.clone()).unwrap_or_default()
            });
            match change {
                Change::Put(record) => page.put(key, record.value.clone()),
                Change::Delete(_) => page.delete(key),
            }
        }
    }

    /// One transaction, followed to its outcome.
    async fn transact(&mut self, staged: Staged) -> Result<(), WriteError> {
        let staged: Staged = staged.into_iter().filter(|(key, page)| self.differs(key, page)).collect();
        if staged.is_empty() {
            return Ok(());
        }
        for _ in 0..MAX_TRIES {
            match self.send(&staged).await {
                Ok(()) => {
                    self.remember(staged);
                    return Ok(());
                }
                Err(CheckWriteError::CheckFailed { .. }) => return Err(WriteError::Deposed),
                Err(CheckWriteError::OperationFailed { index, source }) => {
                    return Err(self.interfered(&staged, index, &source));
                }
                Err(CheckWriteError::RequestFailed { source }) if session_over(&source) => {
                    return Err(WriteError::OutcomeUnknown);
                }
                Err(CheckWriteError::RequestFailed { source }) if outcome_unknown(&source) => {
                    if let Reread::Done = self.reread(&staged).await? {
                        self.remember(staged);
                        return Ok(());
                    }
                }
                Err(CheckWriteError::RequestFailed { source }) => return Err(self.not_written(&source)),
            }
        }
        Err(self.not_written(&Error::ConnectionLoss))
    }

    fn differs(&self, key: &PageKey, page: &Page) -> bool {
        match self.pages.get(key) {
            Some(stored) => stored.page != *page,
            None => !page.is_empty(),
        }
    }

    async fn send(&self, staged: &Staged) -> Result<(), CheckWriteError> {
        let mut writer = self.fence.client.new_check_writer(&self.fence.path, None)?;
        for kind in self.new_kinds(staged) {
            writer.add_create(&format!("{}/{kind}", self.root), b"", &self.create_options())?;
        }
        for (key, page) in staged {
            let path = self.page_path(key);
            match self.pages.get(key) {
                Some(stored) if page.is_empty() => writer.add_delete(&path, Some(stored.version))?,
                Some(stored) => writer.add_set_data(&path, &page.encode(), Some(stored.version))?,
                None => writer.add_create(&path, &page.encode(), &self.create_options())?,
            }
        }
        writer.commit().await.map(drop)
    }

    fn new_kinds(&self, staged: &Staged) -> BTreeSet<String> {
        staged.keys().map(|(kind, _)| kind).filter(|kind| !self.kinds.contains(*kind)).cloned().collect()
    }

    /// Reads one page of the transaction again; it was carried out for all of them or for none.
    async fn reread(&self, staged: &Staged) -> Result<Reread, WriteError> {
        let Some((key, wanted)) = staged.first_key_value() else { return Ok(Reread::Done) };
        let path = self.page_path(key);
        loop {
            if !reconnected(&self.fence.client).await {
                return Err(WriteError::OutcomeUnknown);
            }
            let before = self.pages.get(key).map(|stored| stored.version);
            match self.fence.client.get_data(&path).await {
                Ok((_, stat)) if Some(stat.version) == before => return Ok(Reread::NotDone),
                Ok((data, _)) if data == wanted.encode() => return Ok(Reread::Done),
                Err(Error::NoNode) if before.is_none() => return Ok(Reread::NotDone),
                Err(Error::NoNode) if wanted.is_empty() => return Ok(Reread::Done),
                Ok(_) | Err(Error::NoNode) => return Err(WriteError::Interfered(self.znode(&path))),
                Err(error) if session_over(&error) => return Err(WriteError::OutcomeUnknown),
                Err(error) if outcome_unknown(&error) => {}
                Err(error) => return Err(self.not_written(&error)),
            }
        }
    }

    fn remember(&mut self, staged: Staged) {
        self.kinds.extend(staged.keys().map(|(kind, _)| kind.clone()));
        for (key, page) in staged {
            if page.is_empty() {
                self.pages.remove(&key);
            } else {
                let version = self.pages.get(&key).map_or(0, |stored| stored.version.wrapping_add(1));
                self.pages.insert(key, StoredPage { page, version });
            }
        }
    }

    fn interfered(&self, staged: &Staged, index: usize, source: &Error) -> WriteError {
        let new_kinds = self.new_kinds(staged).len();
        match (index.checked_sub(new_kinds).and_then(|index| staged.keys().nth(index)), source) {
            (Some(key), Error::BadVersion | Error::NoNode | Error::NodeExists) => {
                WriteError::Interfered(self.znode(&self.page_path(key)))
            }
            (None, Error::NodeExists | Error::NoNode) => WriteError::Interfered(self.znode(&self.root)),
            (_, source) => self.not_written(source),
        }
    }

    fn fenced(&self) -> Result<CheckWriter<'_>, OpenRegistryError> {
        self.fence
            .client
            .new_check_writer(&self.fence.path, None)
            .map_err(|error| self.failed("check", error))
    }

    fn create_options(&self) -> CreateOptions<'static> {
        CreateMode::Persistent.with_acls(private_acls(&self.fence.address))
    }

    fn page_path(&self, (kind, bucket): &PageKey) -> String {
        format!("{}/{kind}/{bucket:03x}", self.root)
    }

    fn znode(&self, path: &str) -> String {
        format!("znode {path}")
    }

    fn refused(&self, doing: &'static str, error: CheckWriteError) -> OpenRegistryError {
        match error {
            CheckWriteError::CheckFailed { .. } => OpenRegistryError::Deposed,
            error => self.failed(doing, error.into()),
        }
    }

    fn failed(&self, doing: &'static str, error: Error) -> OpenRegistryError {
        if session_over(&error) {
            return OpenRegistryError::Deposed;
        }
        SessionError::new(doing, &self.root, error).into()
    }

    fn not_written(&self, error: &Error) -> WriteError {
        WriteError::Storage { place: self.znode(&self.root), message: error.to_string() }
    }
}
