//! Images on disk: layers by the sum of what is in them, shared by images; images by the sum of their manifest; names; and
//! what containers use. Whatever is here is whole: everything is made in `staging` and moved. Every function blocks.

mod collect;
mod copy;
mod paths;
mod pins;
mod probe;
mod record;
mod roots;
mod top;

pub use collect::Collected;
pub(crate) use paths::Paths;
pub(crate) use pins::{Pin, Pins};
pub(crate) use record::Record;
pub use roots::RootFs;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::digest::Digest;
use crate::settings::Settings;
use crate::unpack::{FILES, Format};
use record::Name;

/// Why the store cannot do something.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
pub struct StoreError {
    /// What was tried.
    pub operation: &'static str,
    /// On what.
    pub path: PathBuf,
    /// The kernel's answer.
    #[source]
    pub source: io::Error,
}

impl StoreError {
    fn at(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { operation, path, source }
    }
}

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) paths: Paths,
    pub(crate) format: Format,
    pub(crate) pins: Arc<Pins>,
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    images: BTreeMap<Digest, Arc<Record>>,
    names: BTreeMap<String, Digest>,
}

impl Store {
    /// Opens or makes it, and removes what was not finished.
    pub(crate) fn open(settings: &Settings) -> Result<Self, StoreError> {
        let directory = &settings.directory;
        fs::create_dir_all(directory).map_err(StoreError::at("make", directory))?;
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(directory, private).map_err(StoreError::at("keep others out of", directory))?;
        let format = format(settings).map_err(StoreError::at("try overlayfs in", directory))?;
        // The two keep deletions differently, so that neither may find the other's layers.
        let name = if format == Format::Overlay { "overlay" } else { "copy" };
        let root = directory.join(name);
        let failed = || StoreError::at("open", &root);
        let paths = Paths::create(root.clone()).map_err(failed())?;
        paths.clean_up().map_err(failed())?;
        let store = Self { paths, format, pins: Arc::default(), index: Mutex::default() };
        store.recall().map_err(failed())?;
        Ok(store)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is here. What refers to something that is not is removed.
    fn recall(&self) -> io::Result<()> {
        let mut index = Index::default();
        for path in entries(&self.paths.images())? {
            let Some(manifest) = path.file_name().and_then(|name| Digest::from_file_name(name.to_str()?))
            else {
                continue;
            };
            match read::<Record>(&path).filter(|record| self.is_whole(record, &manifest)) {
                Some(record) => drop(index.images.insert(manifest, Arc::new(record))),
                None => paths::remove(&path)?,
            }
        }
        for path in entries(&self.paths.names())? {
            match read::<Name>(&path).filter(|name| index.images.contains_key(&name.manifest)) {
                Some(name) => drop(index.names.insert(name.name, name.manifest)),
                None => paths::remove(&path)?,
            }
        }
        // One without a record was in the making.
        for path in entries(&self.paths.containers())? {
            if roots::tenancy(&path).is_none() {
                paths::remove(&path)?;
            }
        }
        *self.index() = index;
        Ok(())
    }

    fn is_whole(&self, record: &Record, manifest: &Digest) -> bool {
        record.manifest == *manifest
            && record.config().is_ok()
            && self.paths.top(manifest).is_dir()
            && record.layers.iter().all(|layer| self.has_layer(layer))
    }

    pub(crate) fn has_layer(&self, diff_id: &Digest) -> bool {
        self.paths.layer(diff_id).join(FILES).is_dir()
    }

    /// Takes an unpacked layer. If it is here already, the other one is as good.
    pub(crate) fn keep_layer(&self, staged: &Path, diff_id: &Digest) -> Result<(), StoreError> {
        let place = self.paths.layer(diff_id);
        match paths::rename(staged, &place) {
            Err(_) if self.has_layer(diff_id) => {
                paths::remove(staged).map_err(StoreError::at("remove", staged))
            }
            kept => kept.map_err(StoreError::at("keep", place)),
        }
    }

    /// Notes an image whose layers are all here, and are held by the caller.
    pub(crate) fn keep_image(&self, record: Record) -> Result<Arc<Record>, StoreError> {
        let place = self.paths.record(&record.manifest);
        let failed = || StoreError::at("write down the image", &place);
        let top = self.paths.top(&record.manifest);
        let staged = self.paths.stage();
        let layers: Vec<PathBuf> = record.layers.iter().map(|layer| self.paths.layer(layer)).collect();
        top::build(&layers, staged.path()).map_err(failed())?;
        // An image that was removed a moment ago, or an attempt that failed after this point, may have left one.
        let old = self.paths.discard(&top).map_err(failed())?;
        paths::rename(staged.path(), &top).map_err(failed())?;
        paths::remove(&old).map_err(failed())?;
        let content = serde_json::to_vec(&record).map_err(|error| failed()(error.into()))?;
        paths::write_whole(self.paths.stage().path(), &place, &content).map_err(failed())?;
        let record = Arc::new(record);
        self.index().images.insert(record.manifest.clone(), record.clone());
        Ok(record)
    }

    /// Notes what a name means from now on.
    pub(crate) fn keep_name(&self, name: &str, manifest: &Digest) -> Result<(), StoreError> {
        if self.index().names.get(name) == Some(manifest) {
            return Ok(());
        }
        let place = self.paths.name(name);
        let failed = || StoreError::at("write down the name", &place);
        let known = Name { name: name.to_owned(), manifest: manifest.clone() };
        let content = serde_json::to_vec(&known).map_err(|error| failed()(error.into()))?;
        paths::write_whole(self.paths.stage().path(), &place, &content).map_err(failed())?;
        self.index().names.insert(name.to_owned(), manifest.clone());
        Ok(())
    }

    /// What a name meant when it was last asked for.
    pub(crate) fn meaning(&self, name: &str) -> Option<Digest> {
        self.index().names.get(name).cloned()
    }

    /// An image that is here. It is held, and its use noted.
    pub(crate) fn image(&self, manifest: &Digest) -> Option<(Arc<Record>, Pin)> {
        let pin = self.pins.pin(manifest);
        let record = self.index().images.get(manifest).cloned()?;
        roots::touch(&self.paths.record(manifest));
        Some((record, pin))
    }
}

fn format(settings: &Settings) -> io::Result<Format> {
    if settings.always_copy {
        return Ok(Format::List);
    }
    let staged = settings.directory.join("probe");
    paths::remove(&staged)?;
    match probe::obstacle(&settings.directory, &staged)? {
        None => Ok(Format::Overlay),
        Some(reason) => {
            tracing::warn!(reason, directory = %settings.directory.display(), "images are copied for each container");
            Ok(Format::List)
        }
    }
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect()
}

/// `None` for what is not there or was not written by this program.
fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests;
