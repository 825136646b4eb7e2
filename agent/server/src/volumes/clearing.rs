//! Disks that a volume had to itself are cleared of it in their place; until that is done no container may have them.
//! Links in the work directory, `volumes/clearing/…`, say which they are also after a crash.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::notes::Note;
use super::{entries, free_name, sync_above};
use crate::disks;

#[derive(Debug)]
pub(super) struct Clearing {
    directory: PathBuf,
    /// By root: what keeps it from being cleared, if anything.
    roots: watch::Sender<BTreeMap<PathBuf, Option<String>>>,
    /// Held while a link and its entry in `roots` change together.
    links: Mutex<()>,
    /// Held by the one who clears.
    work: Mutex<()>,
}

impl Clearing {
    pub(super) fn new(directory: PathBuf) -> Self {
        let (links, work) = (Mutex::default(), Mutex::default());
        Self { directory, roots: watch::Sender::default(), links, work }
    }

    /// From now on what is on the disk of this note is on its way out.
    pub(super) fn begin(&self, note: &Note) -> io::Result<()> {
        let _links = held(&self.links);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let link = match self.link_to(&note.directory)? {
            Some(link) => link,
            None => free_name(&self.directory, &OsString::from("disk")),
        };
        self.note(&note.directory, None);
        fs::rename(&note.path, &link)?;
        // Were the note back after a crash, the disk would be cleared of the next volume.
        sync_above(&link, self.directory.parent().unwrap_or(&self.directory))?;
        note.path.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())
    }

    /// Takes up what an earlier process left, and what failed.
    pub(super) fn resume(&self) -> io::Result<()> {
        let _links = held(&self.links);
        for link in entries(&self.directory)? {
            self.note(&fs::read_link(link)?, None);
        }
        Ok(())
    }

    /// Clears all disks that are to be cleared; gives the first error when it has tried each.
    pub(super) fn finish(&self) -> io::Result<()> {
        let _work = held(&self.work);
        let mut first = Ok(());
        for link in entries(&self.directory)? {
            let root = fs::read_link(&link)?;
            let done = clear(&root).and_then(|()| self.end(&link, &root));
            if let Err(error) = &done {
                self.note(&root, Some(error.to_string()));
            }
            first = first.and(done);
        }
        first
    }

    fn end(&self, link: &Path, root: &Path) -> io::Result<()> {
        let _links = held(&self.links);
        fs::remove_file(link)?;
        File::open(&self.directory)?.sync_all()?;
        self.roots.send_modify(|roots| drop(roots.remove(root)));
        Ok(())
    }

    fn link_to(&self, root: &Path) -> io::Result<Option<PathBuf>> {
        for link in entries(&self.directory)? {
            if fs::read_link(&link)? == root {
                return Ok(Some(link));
            }
        }
        Ok(None)
    }

    fn note(&self, root: &Path, problem: Option<String>) {
        self.roots.send_modify(|roots| drop(roots.insert(root.to_owned(), problem)));
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.roots.borrow().is_empty()
    }

    /// Waits until none of these is being cleared.
    ///
    /// # Errors
    /// Why one of them cannot be.
    pub(super) async fn ended(&self, wanted: &[PathBuf]) -> Result<(), String> {
        let mut roots = self.roots.subscribe();
        let found = roots.wait_for(|roots| {
            let mut states = wanted.iter().filter_map(|root| roots.get(root));
            states.all(Option::is_some)
        });
        let found = found.await.map_err(|error| error.to_string())?;
        let problem = wanted.iter().find_map(|root| Some((root, found.get(root)?.as_ref()?)));
        problem.map_or(Ok(()), |(root, problem)| {
            Err(format!("disk {} cannot be cleared of the volume before: {problem}", root.display()))
        })
    }
}

fn held(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes all that is on a disk. It is gone from the disk afterwards.
fn clear(root: &Path) -> io::Result<()> {
    if !disks::is_mounted(root)? {
        return Err(io::Error::other(format!("nothing is mounted at {}", root.display())));
    }
    for path in entries(root)? {
        if path.symlink_metadata()?.is_dir() {
            fs::remove_dir_all(&path)?;
        } else {
            fs::remove_file(&path)?;
        }
    }
    chown(root, Some(0), Some(0))?;
    fs::set_permissions(root, fs::Permissions::from_mode(0o755))?;
    Ok(rustix::fs::syncfs(File::open(root)?)?)
}
