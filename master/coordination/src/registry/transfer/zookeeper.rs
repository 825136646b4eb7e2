//! Of ZooKeeper.

use std::collections::BTreeMap;

use zookeeper_client::{Client, CreateMode, CreateOptions, Error};

use super::super::census::Census;
use super::super::page::{Page, check_folder, folder};
use super::super::place::{BUCKET_BYTES, PAGE_BYTES, PageKey, group_of};
use super::super::zookeeper::{EPOCH, Header, IMPORTING};
use super::{Backup, Imported, OpenRegistryError, Present, Record, RecordKey, TransferError, leap, weigh};
use crate::address::ZkAddress;
use crate::detect::in_line;
use crate::session::{SessionError, ZkOptions, connect, private_acls, public_acls};

/// Readings until two in a row are the same.
const TRIES: usize = 5;

/// What was read of each znode: its path and version.
type Seen = BTreeMap<String, (Vec<u8>, i32)>;

struct Place<'a> {
    client: Client,
    address: &'a ZkAddress,
    root: String,
}

pub(super) async fn export(address: &ZkAddress, options: &ZkOptions) -> Result<Present, TransferError> {
    Place::connect(address, options).await?.present().await
}

pub(super) async fn import(
    address: &ZkAddress,
    options: &ZkOptions,
    backup: &Backup,
    note: &str,
    force: bool,
) -> Result<Imported, TransferError> {
    let place = Place::connect(address, options).await?;
    place.refuse_while_used().await?;
    let present = match place.present().await {
        // Whoever writes is told from what runs: nothing does, so somebody writes by hand.
        Err(TransferError::Place(
            OpenRegistryError::Damaged { what, .. } | OpenRegistryError::Tampered { what, .. },
        )) => Present::Damaged { epoch: place.epoch().await?.unwrap_or(0), why: what },
        other => other?,
    };
    let (there, lost) = weigh(&address.to_string(), &present, backup, force)?;
    let epoch = leap(there, backup);
    place.replace(backup, epoch, note).await?;
    Ok(Imported { place: address.to_string(), epoch, records: backup.records.len(), lost })
}

impl<'a> Place<'a> {
    async fn connect(address: &'a ZkAddress, options: &ZkOptions) -> Result<Self, TransferError> {
        let client = connect(address, options).await?;
        Ok(Self { client, address, root: format!("{}/registry", address.path) })
    }

    /// A leader holds everything in memory, and one that stands in line may lead the next moment.
    async fn refuse_while_used(&self) -> Result<(), TransferError> {
        match in_line(&self.client, &self.address.path).await {
            Ok(0) | Err(Error::NoNode) => Ok(()),
            Err(error) => Err(self.failed("list", error)),
            Ok(candidates) => Err(TransferError::InUse { place: self.address.to_string(), candidates }),
        }
    }

    /// Reads until nothing has changed between two readings.
    async fn present(&self) -> Result<Present, TransferError> {
        let mut last = None;
        for _ in 0..TRIES {
            let Some(seen) = self.read().await? else { return Ok(Present::Nothing) };
            if last.as_ref() == Some(&seen) {
                return self.understand(&seen);
            }
            last = Some(seen);
        }
        Err(TransferError::Restless(self.address.to_string()))
    }

    /// Every znode of the registry; none when there is no registry.
    async fn read(&self) -> Result<Option<Seen>, TransferError> {
        let mut seen = Seen::new();
        match self.client.get_data(&self.root).await {
            Ok((data, stat)) => drop(seen.insert(self.root.clone(), (data, stat.version))),
            Err(Error::NoNode) => return Ok(None),
            Err(error) => return Err(self.failed("read", error)),
        }
        let kinds = self.children(&self.root).await?;
        let mut paths: Vec<String> = Vec::new();
        for kind in kinds {
            let folder = format!("{}/{kind}", self.root);
            match kind.as_str() {
                EPOCH => paths.push(folder),
                _ => {
                    for page in self.children(&folder).await? {
                        let page = format!("{folder}/{page}");
                        if is_folder(&page) {
                            let own = self.children(&page).await?;
                            paths.extend(own.iter().map(|name| format!("{page}/{name}")));
                        }
                        paths.push(page);
                    }
                }
            }
        }
        // Each request is sent when it is made; only the answers are awaited one after the other.
        let reads: Vec<_> = paths.iter().map(|path| self.client.get_data(path)).collect();
        for (path, read) in paths.iter().zip(reads) {
            match read.await {
                Ok((data, stat)) => drop(seen.insert(path.clone(), (data, stat.version))),
                // Deleted since it was listed: the next reading does not list it.
                Err(Error::NoNode) => {}
                Err(error) => return Err(self.failed("read", error)),
            }
        }
        Ok(Some(seen))
    }

    fn understand(&self, seen: &Seen) -> Result<Present, TransferError> {
        let place = |path: &str| format!("znode {path}");
        let epoch_path = format!("{}/{EPOCH}", self.root);
        // A registry without its epoch can be taken out all the same: putting it back gives it one.
        let epoch = seen.get(&epoch_path).and_then(|(data, _)| read_epoch(data)).unwrap_or(0);
        let (mut records, mut pages) = (Vec::new(), Vec::new());
        let mut header = None;
        for (path, (data, _)) in seen {
            if *path == self.root {
                let read = serde_json::from_slice::<Header>(data);
                header = Some(read.map_err(|error| damaged(place(path), error.to_string()))?);
            } else if *path != epoch_path {
                let mut parts = path.trim_start_matches(&self.root).split('/').skip(1);
                let kind = parts.next().unwrap_or_default();
                if parts.count() == 1 && is_folder(path) {
                    check_folder(data, &place(path))?;
                    continue;
                }
                let page = Page::decode(data, &place(path))?;
                pages.extend(page_key(kind, path));
                records.extend(
                    page.records()
                        .map(|(key, value)| Record { key: RecordKey::new(kind, key), value: value.clone() }),
                );
            }
        }
        let Some(header) = header else { return Ok(Present::Nothing) };
        if header.format == IMPORTING {
            return Ok(Present::HalfImported { epoch });
        }
        if header.pages.as_ref().is_some_and(|census| census.is_of(epoch)) {
            header.check(&self.root, &Census::of(epoch, &pages))?;
        }
        records.sort_by(|a, b| a.key.cmp(&b.key));
        let (schema, version) = (header.format, header.version);
        Ok(Present::Registry(Backup { schema, version, epoch, taken: String::new(), records }))
    }

    async fn epoch(&self) -> Result<Option<u64>, TransferError> {
        match self.client.get_data(&format!("{}/{EPOCH}", self.root)).await {
            Ok((data, _)) => Ok(read_epoch(&data)),
            Err(Error::NoNode) => Ok(None),
            Err(error) => Err(self.failed("read", error)),
        }
    }

    /// From the first step to the last the header says what is under way, so that nobody takes half of it for all.
    async fn replace(&self, backup: &Backup, epoch: u64, note: &str) -> Result<(), TransferError> {
        let header = |format: &str, restored: Option<String>, pages: Option<Census>| {
            Header { format: format.to_owned(), version: backup.version, restored, pages }.encode()
        };
        let parent = CreateMode::Persistent.with_acls(public_acls(self.address));
        let made = self.client.mkdir(&self.address.path, &parent).await;
        made.map_err(|error| self.failed("create", error))?;
        self.put(&self.root, &header(IMPORTING, None, None)).await?;
        self.put(&format!("{}/{EPOCH}", self.root), epoch.to_string().as_bytes()).await?;
        for kind in self.children(&self.root).await?.into_iter().filter(|kind| kind != EPOCH) {
            self.delete(&format!("{}/{kind}", self.root)).await?;
        }
        let pages = spread(&backup.records);
        let (mut last_kind, mut last_folder) = (None, None);
        for (key, page) in &pages {
            if last_kind.replace(&key.kind) != Some(&key.kind) {
                self.put(&format!("{}/{}", self.root, key.kind), b"").await?;
            }
            let new = key.folder().filter(|folder| last_folder.as_ref() != Some(folder));
            if let Some(new) = new {
                self.put(&format!("{}/{new}", self.root), &folder()).await?;
                last_folder = Some(new);
            }
            self.put(&format!("{}/{}", self.root, key.path()), &page.encode()).await?;
        }
        let counted = Census::of(epoch, pages.keys());
        self.put(&self.root, &header(&backup.schema, Some(note.to_owned()), Some(counted))).await
    }

    async fn put(&self, path: &str, data: &[u8]) -> Result<(), TransferError> {
        let options: CreateOptions<'_> = CreateMode::Persistent.with_acls(private_acls(self.address));
        match self.client.create(path, data, &options).await {
            Ok(_) => return Ok(()),
            Err(Error::NodeExists) => {}
            Err(error) => return Err(self.failed("create", error)),
        }
        self.client.set_data(path, data, None).await.map_err(|error| self.failed("write", error))?;
        Ok(())
    }

    /// A kind, with its pages and folders of pages.
    async fn delete(&self, folder: &str) -> Result<(), TransferError> {
        let children = self.children(folder).await?;
        let paths: Vec<String> = children.iter().map(|child| format!("{folder}/{child}")).collect();
        for path in paths.iter().filter(|path| is_folder(path)) {
            let own = self.children(path).await?;
            let pages: Vec<String> = own.iter().map(|name| format!("{path}/{name}")).collect();
            let deletions: Vec<_> = pages.iter().map(|page| self.client.delete(page, None)).collect();
            for deletion in deletions {
                deletion.await.map_err(|error| self.failed("delete", error))?;
            }
        }
        let deletions: Vec<_> = paths.iter().map(|path| self.client.delete(path, None)).collect();
        for deletion in deletions {
            deletion.await.map_err(|error| self.failed("delete", error))?;
        }
        self.client.delete(folder, None).await.map_err(|error| self.failed("delete", error))
    }

    async fn children(&self, path: &str) -> Result<Vec<String>, TransferError> {
        match self.client.list_children(path).await {
            Ok(children) => Ok(children),
            Err(Error::NoNode) => Ok(Vec::new()),
            Err(error) => Err(self.failed("list", error)),
        }
    }

    fn failed(&self, doing: &'static str, error: Error) -> TransferError {
        SessionError::new(doing, &self.root, error).into()
    }
}

/// The pages that hold these records: those that the hashes of their keys name, and, where these have no room, such of their own.
fn spread(records: &[Record]) -> BTreeMap<PageKey, Page> {
    let mut pages: BTreeMap<PageKey, Page> = BTreeMap::new();
    for Record { key: RecordKey { kind, key }, value } in records {
        let fits = |place: &PageKey, most: usize| {
            pages.get(place).is_none_or(|page| page.encoded_len() + 8 + key.len() + value.len() <= most)
        };
        let bucket = PageKey::bucket(kind, key);
        let place = match fits(&bucket, BUCKET_BYTES) {
            true => bucket,
            false => {
                let own = (0..).map(|number| PageKey::own(kind, group_of(key), number));
                own.into_iter().find(|own| fits(own, PAGE_BYTES)).unwrap_or(bucket)
            }
        };
        pages.entry(place).or_default().put(key, value.clone());
    }
    pages
}

/// Whether a child of a kind is a folder of pages: the names of pages have three digits.
fn is_folder(path: &str) -> bool {
    path.rsplit_once('/').is_some_and(|(_, name)| name.len() > 3)
}

/// The page that lies there, if its name is that of one.
fn page_key(kind: &str, path: &str) -> Option<PageKey> {
    let (_, name) = path.rsplit_once('/')?;
    let bucket = || u32::from_str_radix(name, 16).ok().map(|bucket| PageKey::at(kind, bucket));
    PageKey::in_folder(kind, name).or_else(bucket)
}

fn read_epoch(data: &[u8]) -> Option<u64> {
    std::str::from_utf8(data).ok()?.parse().ok()
}

fn damaged(place: String, what: String) -> TransferError {
    OpenRegistryError::Damaged { place, what }.into()
}
