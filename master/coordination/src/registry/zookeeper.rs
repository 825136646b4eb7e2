//! The registry in ZooKeeper: `<path>/registry/<kind>/<bucket>`, each a page, or `<path>/registry/<kind>/<folder>/<group>.<n>` where
//! records are grouped; `<path>/registry/epoch` a number.
//!
//! `registry` sorts after `json.info_…`, because some clients take the smallest child for the leader.

mod header;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio_util::sync::CancellationToken;
use zookeeper_client::{CheckWriteError, CheckWriter, CreateMode, CreateOptions, Error, Stat};

use self::header::StoredHeader;
pub(super) use self::header::{Header, IMPORTING};
use super::page::{self, BUCKETS, Page};
use super::place::{BUCKET_BYTES, PAGE_BYTES, PAGE_RECORDS, PageKey, Places};
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

#[derive(Debug)]
pub(crate) struct ZkStore {
    fence: Fence,
    root: String,
    header: StoredHeader,
    /// Below the root: those of kinds, and those of groups in them.
    folders: BTreeSet<String>,
    pages: HashMap<PageKey, StoredPage>,
    places: Places,
}

#[derive(Clone, Debug)]
struct StoredPage {
    page: Page,
    /// The znode's version.
    version: i32,
}

/// Pages as they are to be after a transaction.
type Staged = BTreeMap<PageKey, Page>;

/// What re-reading says of a transaction whose outcome was unknown.
enum Reread {
    Done,
    NotDone,
}

impl ZkStore {
    pub(super) fn new(fence: Fence) -> Self {
        let root = format!("{}/registry", fence.address.path);
        let (folders, pages, places) = (BTreeSet::new(), HashMap::new(), Places::default());
        Self { fence, root, header: StoredHeader::default(), folders, pages, places }
    }

    pub(super) fn ended(&self) -> CancellationToken {
        self.fence.ended.clone()
    }

    pub(super) async fn open(&mut self, schema: Schema) -> Result<Found, OpenRegistryError> {
        let ended = self.ended();
        let opening = async {
            let Header { version, restored, .. } = self.ensure_header(schema).await?;
            let epoch = self.raise_epoch().await?;
            schema.grouped.iter().for_each(|kind| self.places.group(kind));
            let records = self.load().await?;
            self.count_pages(epoch).await?;
            self.mark(epoch).await;
            Ok(Found { epoch, version, restored, records })
        };
        ended.run_until_cancelled(opening).await.unwrap_or(Err(OpenRegistryError::Deposed))
    }

    async fn load(&mut self) -> Result<Vec<Record>, OpenRegistryError> {
        let client = self.fence.client.clone();
        let root = std::slice::from_ref(&self.root);
        let kinds = self.answers("list", root, |path| client.list_children(path)).await?;
        let kinds: Vec<String> = kinds.into_iter().flatten().filter(|name| name != EPOCH).collect();
        let mut records = Vec::new();
        for kind in kinds {
            let pages = self.load_kind(&kind).await?;
            for (key, page) in pages {
                let each = page.page.records();
                records.extend(
                    each.map(|(name, value)| Record {
                        key: RecordKey::new(&kind, name),
                        value: value.clone(),
                    }),
                );
                self.places.note(&key, None, &page.page);
                self.pages.insert(key, page);
            }
            self.folders.insert(kind);
        }
        Ok(records)
    }

    /// All pages of a kind, those in folders included.
    async fn load_kind(&mut self, kind: &str) -> Result<Vec<(PageKey, StoredPage)>, OpenRegistryError> {
        let names = self.list(vec![kind.to_owned()]).await?;
        let (mut pages, mut folders) = (Vec::new(), Vec::new());
        for (path, data, version) in self.read(names).await? {
            let place = self.znode(&format!("{}/{path}", self.root));
            let bucket = path.rsplit_once('/').and_then(|(_, name)| u32::from_str_radix(name, 16).ok());
            match bucket {
                Some(bucket) if bucket < BUCKETS => {
                    let page = Page::decode(&data, &place)?;
                    pages.push((PageKey::at(kind, bucket), StoredPage { page, version }));
                }
                Some(_) => {
                    page::check_folder(&data, &place)?;
                    folders.push(path);
                }
                None => return Err(not_a_page(place)),
            }
        }
        if !folders.is_empty() {
            self.places.group(kind);
        }
        let names = self.list(folders.clone()).await?;
        for (path, data, version) in self.read(names).await? {
            let place = self.znode(&format!("{}/{path}", self.root));
            let name = path.rsplit_once('/').map_or("", |(_, name)| name);
            let key = PageKey::in_folder(kind, name).filter(|key| key.path() == path);
            let key = key.ok_or_else(|| not_a_page(place.clone()))?;
            pages.push((key, StoredPage { page: Page::decode(&data, &place)?, version }));
        }
        self.folders.extend(folders);
        Ok(pages)
    }

    /// The paths below the root of all that is in these folders.
    async fn list(&self, folders: Vec<String>) -> Result<Vec<String>, OpenRegistryError> {
        let whole: Vec<String> = folders.iter().map(|folder| format!("{}/{folder}", self.root)).collect();
        let lists = self.answers("list", &whole, |path| self.fence.client.list_children(path)).await?;
        let in_folder = |(folder, names): (&String, Vec<String>)| {
            names.into_iter().map(|name| format!("{folder}/{name}")).collect::<Vec<_>>()
        };
        Ok(folders.iter().zip(lists).flat_map(in_folder).collect())
    }

    /// What these znodes below the root hold, each with its path and version.
    async fn read(&self, paths: Vec<String>) -> Result<Vec<(String, Vec<u8>, i32)>, OpenRegistryError> {
        let whole: Vec<String> = paths.iter().map(|path| format!("{}/{path}", self.root)).collect();
        let reads = self.answers("read", &whole, |path| self.fence.client.get_data(path)).await?;
        let of_znode = |(path, (data, stat)): (String, (Vec<u8>, Stat))| (path, data, stat.version);
        Ok(paths.into_iter().zip(reads).map(of_znode).collect())
    }

    /// Asks the same of each of these znodes. What a connection that breaks leaves unanswered is asked again once it is back.
    async fn answers<'a, T, F: Future<Output = Result<T, Error>>>(
        &self,
        doing: &'static str,
        paths: &'a [String],
        ask: impl Fn(&'a str) -> F,
    ) -> Result<Vec<T>, OpenRegistryError> {
        let mut answers: Vec<Option<T>> = paths.iter().map(|_| None).collect();
        for _ in 0..MAX_TRIES {
            let open = answers.iter_mut().zip(paths).filter(|(answer, _)| answer.is_none());
            // Each request is sent when it is made; only the answers are awaited one after the other.
            let asked: Vec<_> = open.map(|(answer, path)| (answer, ask(path))).collect();
            let mut broke = false;
            for (answer, asked) in asked {
                match asked.await {
                    Ok(said) => *answer = Some(said),
                    Err(error) if outcome_unknown(&error) => broke = true,
                    Err(error) => return Err(self.failed(doing, error)),
                }
            }
            if !broke {
                return Ok(answers.into_iter().flatten().collect());
            }
            if !reconnected(&self.fence.client).await {
                return Err(OpenRegistryError::Deposed);
            }
        }
        Err(self.failed(doing, Error::ConnectionLoss))
    }

    /// Carries out the writes in order, as many per transaction as fit; one outcome for each.
    pub(super) async fn commit(&mut self, writes: &[Vec<Change>]) -> Vec<Result<(), WriteError>> {
        let mut outcomes = Vec::with_capacity(writes.len());
        let mut staged = Staged::new();
        let (mut waiting, mut bytes) = (0, 0);
        for write in writes {
            let mut touched = self.stage(&staged, write);
            let mut together = bytes - size_of_same(&touched, &staged) + size(&touched);
            if waiting > 0 && together > GATHERED_BYTES {
                let outcome = self.transact(std::mem::take(&mut staged)).await;
                outcomes.extend(std::iter::repeat_n(outcome, std::mem::take(&mut waiting)));
                bytes = 0;
                touched = self.stage(&staged, write);
                together = size(&touched);
            }
            if together > MAX_TRANSACTION_BYTES {
                let (bytes, limit) = (together, MAX_TRANSACTION_BYTES);
                outcomes.push(Err(WriteError::TooLarge { bytes, limit }));
                continue;
            }
            staged.extend(touched);
            bytes = together;
            waiting += 1;
        }
        let outcome = self.transact(staged).await;
        outcomes.extend(std::iter::repeat_n(outcome, waiting));
        outcomes
    }

    /// The pages that a write touches, as they are to be after it and after what is staged already.
    fn stage(&mut self, staged: &Staged, write: &[Change]) -> Staged {
        let mut touched = Staged::new();
        for change in write {
            let RecordKey { kind, key } = change.key();
            let bucket = PageKey::bucket(kind, key);
            if self.stays_in_bucket(&touched, staged, &bucket, change) {
                self.touch(&mut touched, staged, bucket).change(change);
                continue;
            }
            // There it was put by a build that did not group it, or when there was room.
            if self.view(&touched, staged, &bucket).is_some_and(|page| page.has(key)) {
                self.touch(&mut touched, staged, bucket).delete(key);
            }
            let mut place = self.places.of(kind, key);
            if let Change::Put(record) = change {
                place = Some(self.place(&mut touched, staged, record, place));
            }
            if let Some(place) = place {
                self.touch(&mut touched, staged, place).change(change);
            }
        }
        touched
    }

    /// Whether a change is one of the page that the key's hash names. It is not where records are grouped, and not of a record that
    /// has no room there: that moves to a page of its group, so that no page outgrows a transaction, whatever hashes into it.
    fn stays_in_bucket(&self, touched: &Staged, staged: &Staged, bucket: &PageKey, change: &Change) -> bool {
        let RecordKey { kind, key } = change.key();
        if self.places.is_grouped(kind) || self.places.of(kind, key).is_some() {
            return false;
        }
        let Change::Put(record) = change else { return true };
        let Some(page) = self.view(touched, staged, bucket) else { return true };
        page.encoded_len() - page.encoded_len_of(key) + 8 + key.len() + record.value.len() <= BUCKET_BYTES
    }

    /// The page of its group that a record is to be in. `now` has it, unless that is too large for it now.
    fn place(
        &mut self,
        touched: &mut Staged,
        staged: &Staged,
        record: &Record,
        now: Option<PageKey>,
    ) -> PageKey {
        let RecordKey { kind, key } = &record.key;
        let added = key.len() + record.value.len();
        if let Some(now) = now {
            let page = self.touch(touched, staged, now.clone());
            page.delete(key);
            if page.is_empty() || page.encoded_len() + added <= PAGE_BYTES {
                return now;
            }
        }
        let pages = &self.pages;
        let fits = |page: &PageKey| {
            let stored = || pages.get(page).map(|stored| &stored.page);
            let page = touched.get(page).or_else(|| staged.get(page)).or_else(stored);
            page.is_none_or(|page| {
                page.is_empty() || (page.len() < PAGE_RECORDS && page.encoded_len() + added <= PAGE_BYTES)
            })
        };
        self.places.choose(kind, key, fits)
    }

    /// A page as it is to be so far.
    fn view<'a>(&'a self, touched: &'a Staged, staged: &'a Staged, key: &PageKey) -> Option<&'a Page> {
        let stored = || self.pages.get(key).map(|stored| &stored.page);
        touched.get(key).or_else(|| staged.get(key)).or_else(stored)
    }

    /// A page that is to be changed, as it is to be so far.
    fn touch<'a>(&self, touched: &'a mut Staged, staged: &Staged, key: PageKey) -> &'a mut Page {
        touched.entry(key).or_insert_with_key(|key| {
            let stored = || self.pages.get(key).map(|stored| &stored.page);
            staged.get(key).or_else(stored).cloned().unwrap_or_default()
        })
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
        for (folder, data) in self.new_folders(staged) {
            writer.add_create(&format!("{}/{folder}", self.root), &data, &self.create_options())?;
        }
        for (key, page) in staged {
            let path = self.page_path(key);
            match self.pages.get(key) {
                Some(stored) if page.is_empty() => writer.add_delete(&path, Some(stored.version))?,
                Some(stored) => writer.add_set_data(&path, &page.encode(), Some(stored.version))?,
                None => writer.add_create(&path, &page.encode(), &self.create_options())?,
            }
        }
        if let Some(header) = self.header_after(staged) {
            writer.add_set_data(&self.root, &header.encode(), Some(self.header.version))?;
        }
        writer.commit().await.map(drop)
    }

    /// The header with pages counted as they are after a transaction, when that makes or deletes some.
    fn header_after(&self, staged: &Staged) -> Option<Header> {
        let before = self.header.header.pages.as_ref()?;
        let mut pages = before.clone();
        for (key, page) in staged {
            match (self.pages.contains_key(key), page.is_empty()) {
                (true, true) => pages.remove(key),
                (false, false) => pages.add(key),
                (true, false) | (false, true) => {}
            }
        }
        (pages != *before).then(|| Header { pages: Some(pages), ..self.header.header.clone() })
    }

    /// The folders that pages need and that are not there yet, each after the one that it is in.
    fn new_folders(&self, staged: &Staged) -> BTreeMap<String, Vec<u8>> {
        let kinds = staged.keys().map(|key| (key.kind.clone(), Vec::new()));
        let folders = staged.keys().filter_map(|key| Some((key.folder()?, page::folder())));
        kinds.chain(folders).filter(|(folder, _)| !self.folders.contains(folder)).collect()
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
        if let Some(header) = self.header_after(&staged) {
            let version = self.header.version.wrapping_add(1);
            self.header = StoredHeader { header, version };
        }
        let folders = self.new_folders(&staged);
        self.folders.extend(folders.into_keys());
        for (key, page) in staged {
            let before = self.pages.remove(&key);
            self.places.note(&key, before.as_ref().map(|stored| &stored.page), &page);
            if page.is_empty() {
                self.places.forget(&key, |other| self.pages.contains_key(other));
            } else {
                let version = before.map_or(0, |stored| stored.version.wrapping_add(1));
                self.pages.insert(key, StoredPage { page, version });
            }
        }
    }

    fn interfered(&self, staged: &Staged, index: usize, source: &Error) -> WriteError {
        let new_folders = self.new_folders(staged).len();
        match (index.checked_sub(new_folders).and_then(|index| staged.keys().nth(index)), source) {
            (Some(key), Error::BadVersion | Error::NoNode | Error::NodeExists) => {
                WriteError::Interfered(self.znode(&self.page_path(key)))
            }
            (None, Error::BadVersion | Error::NodeExists | Error::NoNode) => {
                WriteError::Interfered(self.znode(&self.root))
            }
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

    fn page_path(&self, key: &PageKey) -> String {
        format!("{}/{}", self.root, key.path())
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

/// Bytes of the operations that write these pages.
fn size(pages: &Staged) -> usize {
    pages.values().map(size_of).sum()
}

/// Of those staged pages that are replaced by the touched ones.
fn size_of_same(touched: &Staged, staged: &Staged) -> usize {
    touched.keys().filter_map(|key| staged.get(key)).map(size_of).sum()
}

fn size_of(page: &Page) -> usize {
    page.encoded_len() + ZNODE_OVERHEAD
}

fn not_a_page(place: String) -> OpenRegistryError {
    OpenRegistryError::Damaged { place, what: "not the name of a page".to_owned() }
}
