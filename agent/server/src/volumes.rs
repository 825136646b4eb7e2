//! Directories of persistent volumes: `<work-dir>/volumes/roles/<role>/<id>`, as Mesos lays them out. A slash in a role's
//! name is a space there, which no role has.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use chapada_model::{Resource, Resources};

/// Where the directories of volumes are.
#[derive(Clone, Debug)]
pub(crate) struct Volumes {
    root: PathBuf,
}

impl Volumes {
    pub(crate) fn new(work_dir: &Path) -> Self {
        Self { root: work_dir.join("volumes") }
    }

    fn roles(&self) -> PathBuf {
        self.root.join("roles")
    }

    /// Removed volumes on their way out.
    fn ended(&self) -> PathBuf {
        self.root.join("ended")
    }

    /// The directory of a volume; nothing for what is none.
    pub(crate) fn directory(&self, volume: &Resource) -> Option<PathBuf> {
        let id = &volume.disk.as_ref()?.persistence.as_ref()?.id;
        let role = volume.reserved_role()?.as_str().replace('/', " ");
        Some(self.roles().join(role).join(&**id))
    }

    /// Makes the directories that are missing. They are on disk afterwards.
    pub(crate) fn make(&self, volumes: &Resources) -> io::Result<()> {
        for directory in volumes.iter().filter_map(|volume| self.directory(volume)) {
            if directory.is_dir() {
                continue;
            }
            DirBuilder::new().recursive(true).mode(0o755).create(&directory)?;
            let above = directory.ancestors().skip(1).take_while(|path| path.starts_with(&self.root));
            for path in above {
                File::open(path)?.sync_all()?;
            }
        }
        Ok(())
    }

    /// Takes all other directories out of the way, and gives what is to be deleted.
    pub(crate) fn set_others_aside(&self, volumes: &Resources) -> io::Result<PathBuf> {
        let kept: BTreeSet<PathBuf> = volumes.iter().filter_map(|volume| self.directory(volume)).collect();
        let ended = self.ended();
        for role in entries(&self.roles())? {
            for (number, volume) in entries(&role)?.into_iter().enumerate() {
                if kept.contains(&volume) {
                    continue;
                }
                DirBuilder::new().recursive(true).mode(0o700).create(&ended)?;
                let mut name = OsString::from(format!("{number}-{}-", std::process::id()));
                name.push(volume.file_name().unwrap_or_default());
                fs::rename(&volume, free_name(&ended, &name))?;
            }
        }
        Ok(ended)
    }
}

/// Deletes what was set aside.
pub(crate) fn delete(ended: &Path) -> io::Result<()> {
    match fs::remove_dir_all(ended) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A path below `directory` that is not taken.
fn free_name(directory: &Path, name: &OsString) -> PathBuf {
    let mut path = directory.join(name);
    while path.exists() {
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
mod tests {
    use super::*;
    use chapada_model::{Disk, Milli, Persistence, Reservation};

    fn volume(role: &str, id: &str) -> Resource {
        let mut volume = Resource::scalar("disk", Milli::whole(1));
        volume.reservations.push(Reservation::fixed(role.parse().unwrap()));
        let persistence = Persistence { id: id.into(), principal: None };
        volume.disk = Some(Disk { persistence: Some(persistence), ..Disk::default() });
        volume
    }

    #[test]
    fn volumes_are_made_once_and_end_with_all_that_is_in_them() {
        let work = tempfile::tempdir().unwrap();
        let volumes = Volumes::new(work.path());
        let (kept, ended) = (volume("eng/db", "a"), volume("ops", "b"));
        let both = Resources::from_list([kept.clone(), ended.clone()]).unwrap();
        volumes.make(&both).unwrap();
        let file = work.path().join("volumes/roles/eng db/a/data");
        fs::write(&file, "x").unwrap();
        fs::write(volumes.directory(&ended).unwrap().join("data"), "y").unwrap();
        volumes.make(&both).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "x");
        let aside = volumes.set_others_aside(&Resources::from_list([kept]).unwrap()).unwrap();
        delete(&aside).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "x");
        assert!(!volumes.directory(&ended).unwrap().exists() && !aside.exists());
    }
}
