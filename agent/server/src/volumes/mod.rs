//! Directories of persistent volumes, as Mesos lays them out: `volumes/roles/<role>/<id>` in the work directory or on the
//! PATH disk that they are made of, and all of a MOUNT disk. A slash in a role's name is a space there, which no role has.

mod clearing;
mod notes;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chapada_model::{DiskKind, Resource, Resources};

use crate::disks::Disks;
use clearing::Clearing;
use notes::Notes;

/// Where the directories of volumes are.
#[derive(Clone, Debug)]
pub(crate) struct Volumes {
    /// Those on the agent's own disk, and what is known of the others.
    root: PathBuf,
    disks: Disks,
    clearing: Arc<Clearing>,
}

/// The directory of a volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// A directory that no container sees.
    pub(crate) root: PathBuf,
    /// Beneath it; empty for a volume that has all of it.
    pub(crate) path: PathBuf,
}

impl Place {
    fn is_whole(&self) -> bool {
        self.path.as_os_str().is_empty()
    }

    pub(crate) fn directory(&self) -> PathBuf {
        if self.is_whole() { self.root.clone() } else { self.root.join(&self.path) }
    }
}

impl Volumes {
    pub(crate) fn new(work_dir: &Path, disks: Disks) -> Self {
        let root = work_dir.join("volumes");
        Self { clearing: Arc::new(Clearing::new(root.join("clearing"))), root, disks }
    }

    /// What no container may see but for the volumes that it has.
    pub(crate) fn hidden(&self) -> impl Iterator<Item = PathBuf> {
        self.disks.hidden()
    }

    fn notes(&self) -> Notes {
        Notes::new(self.root.join("elsewhere"))
    }

    /// The place of a volume; nothing for what is none.
    pub(crate) fn place(&self, volume: &Resource) -> Option<Place> {
        let name = Path::new("roles").join(name_of(volume)?);
        let Some(source) = volume.disk.as_ref()?.source.as_deref() else {
            return Some(Place { root: self.root.clone(), path: name });
        };
        let root = Path::new(source.root.as_deref()?);
        match source.kind {
            DiskKind::Path => Some(Place { root: root.join("volumes"), path: name }),
            DiskKind::Mount => Some(Place { root: root.to_owned(), path: PathBuf::new() }),
            DiskKind::Block | DiskKind::Raw => None,
        }
    }

    /// Makes the directories that are missing. They are on disk afterwards.
    pub(crate) fn make(&self, volumes: &Resources) -> io::Result<()> {
        let notes = self.notes();
        for volume in volumes {
            let (Some(name), Some(place)) = (name_of(volume), self.place(volume)) else { continue };
            if place.root != self.root {
                notes.write(&name, &place.directory())?;
            }
            if !place.is_whole() {
                make_directory(&place)?;
            }
        }
        Ok(())
    }

    /// Takes all other volumes out of the way, for [`Volumes::delete`]. On disks that are not the agent's own, that is what
    /// the agent has made there and nothing else. Those that are `absent` stay as they are.
    pub(crate) fn set_others_aside(&self, volumes: &Resources, absent: &Resources) -> io::Result<()> {
        let kept = volumes.iter().chain(absent).filter_map(|volume| self.place(volume));
        let kept: BTreeSet<Place> = kept.collect();
        let kept: BTreeSet<PathBuf> = kept.iter().map(Place::directory).collect();
        for role in entries(&self.root.join("roles"))? {
            for volume in entries(&role)?.into_iter().filter(|volume| !kept.contains(volume)) {
                set_aside(&volume, &self.root)?;
            }
        }
        for note in self.notes().all()? {
            if kept.contains(&note.directory) {
                continue;
            }
            match note.shared_root() {
                Some(root) => set_aside(&note.directory, root).and_then(|()| note.remove())?,
                None => self.clearing.begin(&note)?,
            }
        }
        self.clearing.resume()
    }

    /// Deletes what was set aside. Blocks for as long as that takes.
    pub(crate) fn delete(&self) -> io::Result<()> {
        for root in self.disks.shared().chain([self.root.clone()]) {
            match fs::remove_dir_all(ended(&root)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        self.clearing.finish()
    }

    /// Whether any disk is being cleared of the volume that had it.
    pub(crate) fn is_clearing(&self) -> bool {
        self.clearing.is_busy()
    }

    /// Waits until the disks that these volumes have to themselves are cleared of what was there before.
    ///
    /// # Errors
    /// Why one of them cannot be cleared.
    pub(crate) async fn cleared(&self, resources: &[Resources]) -> Result<(), String> {
        let places = resources.iter().flatten().filter_map(|volume| self.place(volume));
        let roots: Vec<PathBuf> = places.filter(Place::is_whole).map(|place| place.root).collect();
        self.clearing.ended(&roots).await
    }
}

/// The directories of volumes that an agent with this work directory has made on disks that are not its own.
pub(crate) fn elsewhere(work_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let notes = Notes::new(work_dir.join("volumes/elsewhere")).all()?;
    Ok(notes.into_iter().map(|note| note.directory).collect())
}

/// The role and the id of a volume.
fn name_of(volume: &Resource) -> Option<PathBuf> {
    let id = &volume.disk.as_ref()?.persistence.as_ref()?.id;
    let role = volume.reserved_role()?.as_str().replace('/', " ");
    Some(Path::new(&role).join(&**id))
}

fn make_directory(place: &Place) -> io::Result<()> {
    let directory = place.directory();
    if directory.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o755).create(&directory)?;
    sync_above(&directory, &place.root)
}

/// What was made below `root`, down to `path`, is on disk afterwards.
fn sync_above(path: &Path, root: &Path) -> io::Result<()> {
    path.ancestors()
        .skip(1)
        .take_while(|above| above.starts_with(root))
        .try_for_each(|above| File::open(above)?.sync_all())
}

/// Removed volumes on their way out.
fn ended(root: &Path) -> PathBuf {
    root.join("ended")
}

/// Moves a volume to the ended ones of its disk.
fn set_aside(volume: &Path, root: &Path) -> io::Result<()> {
    if !volume.exists() {
        return Ok(());
    }
    let ended = ended(root);
    DirBuilder::new().recursive(true).mode(0o700).create(&ended)?;
    let mut name = OsString::from(format!("{}-", std::process::id()));
    name.push(volume.file_name().unwrap_or_default());
    fs::rename(volume, free_name(&ended, &name))
}

/// A path below `directory` that is not taken.
fn free_name(directory: &Path, name: &OsString) -> PathBuf {
    let mut path = directory.join(name);
    while path.symlink_metadata().is_ok() {
        path.as_mut_os_string().push("+");
    }
    path
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(found) => found.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
