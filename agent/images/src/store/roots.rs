//! The root file systems of containers: an image's layers with a directory to write to, or a copy.

use std::fs::{self, DirBuilder, File, FileTimes};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::record::Tenancy;
use super::{Record, Store, StoreError, copy, entries, paths, read, top};
use crate::unpack::{Format, Watch};

/// What a container's root is made of. The directories belong to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootFs {
    /// To be mounted by overlayfs.
    Overlay {
        /// The layers, the uppermost first; shared, never written to.
        lower: Vec<PathBuf>,
        /// What the container writes; empty, with the owner and mode of the image's root.
        upper: PathBuf,
        /// Empty, for overlayfs.
        work: PathBuf,
    },
    /// A copy, for this container alone.
    Directory(PathBuf),
}

impl Store {
    /// Makes a root for a container, whose id is a plain name. From here on the image is in use until the release.
    pub(crate) fn prepare(&self, record: &Record, id: &str, watch: &Watch) -> Result<RootFs, StoreError> {
        let place = self.paths.container(id);
        let failed = || StoreError::at("prepare the root of the container in", &place);
        if id.is_empty() || id.contains('/') || id.starts_with('.') {
            return Err(failed()(io::ErrorKind::InvalidInput.into()));
        }
        let layers: Vec<PathBuf> = record.layers.iter().map(|layer| self.paths.layer(layer)).collect();
        DirBuilder::new().mode(0o700).create(&place).map_err(failed())?;
        let root = self.fill(record, &layers, &place, watch);
        let tenancy = Tenancy { manifest: record.manifest.clone(), layers: record.layers.clone() };
        let noted = root.and_then(|root| {
            let content = serde_json::to_vec(&tenancy)?;
            paths::write_whole(self.paths.stage().path(), &place.join(TENANCY), &content)?;
            Ok(root)
        });
        noted.map_err(|error| {
            if let Err(error) = self.release(id) {
                tracing::warn!(container_id = id, %error, "cannot remove a root in the making");
            }
            failed()(error)
        })
    }

    fn fill(&self, record: &Record, layers: &[PathBuf], place: &Path, watch: &Watch) -> io::Result<RootFs> {
        let directory = |name: &str| {
            let path = place.join(name);
            DirBuilder::new().mode(0o755).create(&path).map(|()| path)
        };
        let (root, work) = match self.format {
            Format::Overlay => (directory(UPPER)?, Some(directory("work")?)),
            Format::List => (directory("root")?, None),
        };
        // Mode as it is meant, whatever the umask.
        fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        if let Some(like) = top::root(layers)? {
            top::own(&root, &like)?;
        }
        let Some(work) = work else {
            for layer in layers {
                copy::apply(layer, &root, watch)?;
            }
            return Ok(RootFs::Directory(root));
        };
        let top = self.paths.top(&record.manifest);
        let has_top = fs::read_dir(&top)?.next().is_some();
        let layers = record.layers.iter().rev().map(|layer| self.paths.files(layer));
        let lower: Vec<PathBuf> = has_top.then_some(top).into_iter().chain(layers).collect();
        // An image without layers is an empty root, and overlayfs wants one directory below.
        let lower = if lower.is_empty() { vec![self.paths.top(&record.manifest)] } else { lower };
        Ok(RootFs::Overlay { lower, upper: root, work })
    }

    /// Removes what a container had. One that had nothing is no error.
    pub(crate) fn release(&self, id: &str) -> Result<(), StoreError> {
        let place = self.paths.container(id);
        let failed = || StoreError::at("remove the root of the container in", &place);
        let gone = self.paths.discard(&place).map_err(failed())?;
        paths::remove(&gone).map_err(failed())
    }

    /// Where what a container writes over its image is kept apart from it, if it is.
    pub(crate) fn upper(&self, id: &str) -> Option<PathBuf> {
        let upper = self.paths.container(id).join(UPPER);
        upper.is_dir().then_some(upper)
    }

    /// The image that a container uses.
    pub(crate) fn record_of(&self, id: &str) -> Option<Arc<Record>> {
        let manifest = tenancy(&self.paths.container(id))?.manifest;
        self.index().images.get(&manifest).cloned()
    }

    /// The containers that have a root here.
    pub(crate) fn containers(&self) -> Result<Vec<String>, StoreError> {
        let found = entries(&self.paths.containers());
        let found = found.map_err(StoreError::at("list", self.paths.containers()))?;
        Ok(found.iter().filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    /// What containers use.
    pub(super) fn tenancies(&self) -> io::Result<Vec<Tenancy>> {
        Ok(entries(&self.paths.containers())?.iter().filter_map(|path| tenancy(path)).collect())
    }
}

/// In a container's directory, where layers are shared.
const UPPER: &str = "upper";
/// In a container's directory, once it is whole.
const TENANCY: &str = "image";

pub(super) fn tenancy(container: &Path) -> Option<Tenancy> {
    read(&container.join(TENANCY))
}

/// Notes that an image was used now. What cannot be noted makes it look unused a little longer.
pub(super) fn touch(record: &Path) {
    let times = FileTimes::new().set_modified(SystemTime::now());
    let touched = File::options().write(true).open(record).and_then(|file| file.set_times(times));
    if let Err(error) = touched {
        tracing::debug!(path = %record.display(), %error, "cannot note the use of an image");
    }
}
