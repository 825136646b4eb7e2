//! Which volumes the agent has made on disks that are not its own: links in the work directory,
//! `volumes/elsewhere/<role>/<id>`. What has no note there is not the agent's to delete.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use super::{entries, sync_above};

pub(super) struct Notes {
    root: PathBuf,
}

/// One volume.
pub(super) struct Note {
    pub(super) path: PathBuf,
    /// The volume's directory, or the root of the disk that it has to itself.
    pub(super) directory: PathBuf,
}

impl Notes {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Writes down where the volume of this name is. It is on disk afterwards.
    pub(super) fn write(&self, name: &Path, directory: &Path) -> io::Result<()> {
        let path = self.root.join(name);
        match fs::read_link(&path) {
            Ok(there) if there == directory => return Ok(()),
            Ok(there) => {
                let problem = format!("{} still says that it is {}", path.display(), there.display());
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, problem));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let above = path.parent().unwrap_or(&self.root);
        DirBuilder::new().recursive(true).mode(0o700).create(above)?;
        symlink(directory, &path)?;
        sync_above(&path, self.root.parent().unwrap_or(&self.root))
    }

    pub(super) fn all(&self) -> io::Result<Vec<Note>> {
        let mut notes = Vec::new();
        for role in entries(&self.root)? {
            for path in entries(&role)? {
                notes.push(Note { directory: fs::read_link(&path)?, path });
            }
        }
        Ok(notes)
    }
}

impl Note {
    /// The directory of the volumes on the volume's disk; nothing when it has the disk to itself.
    pub(super) fn shared_root(&self) -> Option<&Path> {
        let name = self.path.ancestors().nth(2).and_then(|root| self.path.strip_prefix(root).ok())?;
        let is_shared = self.directory.ends_with(Path::new("volumes/roles").join(name));
        is_shared.then(|| self.directory.ancestors().nth(3)).flatten()
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}
