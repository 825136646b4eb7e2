//! Where things are, and how they get there: whole or not at all.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::digest::Digest;
use crate::unpack::FILES;

/// The directories of a store. All of one file system.
#[derive(Debug)]
pub(crate) struct Paths {
    root: PathBuf,
    next: AtomicU64,
}

impl Paths {
    /// Makes them; for root alone.
    pub(super) fn create(root: PathBuf) -> io::Result<Self> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        let paths = Self { root, next: AtomicU64::new(0) };
        for directory in [paths.layers(), paths.images(), paths.names(), paths.containers(), paths.staging()]
        {
            builder.create(directory)?;
        }
        builder.create(paths.trash())?;
        Ok(paths)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    pub(super) fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    pub(super) fn names(&self) -> PathBuf {
        self.root.join("names")
    }

    pub(super) fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// What is in the making; empty at the start.
    pub(super) fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }

    fn trash(&self) -> PathBuf {
        self.root.join("trash")
    }

    pub(crate) fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.layers().join(diff_id.file_name())
    }

    pub(super) fn files(&self, diff_id: &Digest) -> PathBuf {
        self.layer(diff_id).join(FILES)
    }

    pub(super) fn record(&self, manifest: &Digest) -> PathBuf {
        self.images().join(manifest.file_name())
    }

    /// The directories that lie over all layers of an image, to give others their owner back.
    pub(super) fn top(&self, manifest: &Digest) -> PathBuf {
        self.images().join(format!("{}.top", manifest.file_name()))
    }

    pub(super) fn name(&self, name: &str) -> PathBuf {
        self.names().join(Digest::of(name.as_bytes()).hex())
    }

    pub(super) fn container(&self, id: &str) -> PathBuf {
        self.containers().join(id)
    }

    /// A path in the staging directory that nothing else has.
    pub(crate) fn stage(&self) -> Staged {
        Staged(self.staging().join(self.number()))
    }

    fn number(&self) -> String {
        self.next.fetch_add(1, Ordering::Relaxed).to_string()
    }

    /// Moves a directory to the trash, from where it is deleted; gone at once for everybody else.
    ///
    /// # Errors
    /// The kernel's; what is not there is no error.
    pub(super) fn discard(&self, path: &Path) -> io::Result<PathBuf> {
        let place = self.trash().join(self.number());
        match fs::rename(path, &place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(place),
        }
    }

    /// Deletes what an earlier process left half done.
    pub(super) fn clean_up(&self) -> io::Result<()> {
        for directory in [self.staging(), self.trash()] {
            for entry in fs::read_dir(directory)? {
                remove(&entry?.path())?;
            }
        }
        Ok(())
    }
}

/// A path whose content goes when it is dropped, unless it was moved away.
#[derive(Debug)]
pub(crate) struct Staged(PathBuf);

impl Staged {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove what was in the making");
        }
    }
}

/// Deletes a file or a directory with all that is in it; what is not there is no error.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Writes a file that is there whole, or as it was before, whatever happens meanwhile.
pub(super) fn write_whole(staged: &Path, place: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(staged)?;
    file.write_all(content)?;
    file.sync_all()?;
    rename(staged, place)
}

/// Renames, and sees that to the disk.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    let parent = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
    File::open(parent)?.sync_all()
}
