//! Disks of this machine beside the one that the work directory is on: directories (PATH) and mounted file systems
//! (MOUNT).

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chapada_isolation::mountinfo;
use chapada_model::{DiskKind, Resources};

use crate::error::AgentError;
use crate::volumes;

const MOUNTS: &str = "/proc/self/mountinfo";

/// The roots of an agent's disks, absolute and without symbolic links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Disks {
    /// Each once, however many parts of it are reserved apart.
    paths: Vec<PathBuf>,
    mounts: Vec<PathBuf>,
    /// Volumes on disks that the agent no longer has.
    absent: Vec<PathBuf>,
}

impl Disks {
    /// Looks whether the disks among resources are there, and makes `volumes` on those that volumes share.
    ///
    /// # Errors
    /// [`AgentError`] names the root and what it has to be.
    pub(crate) fn open(resources: &Resources, work_dir: &Path) -> Result<Self, AgentError> {
        let mut disks = Self::default();
        let sources = resources.iter().filter_map(|resource| resource.disk.as_ref()?.source.as_deref());
        for source in sources {
            let root = source.root.as_deref().unwrap_or_default();
            let refused = |problem: String| AgentError::flag("resources", problem);
            let found = find(root).map_err(|why| refused(format!("the root of disk '{root}' {why}")))?;
            match source.kind {
                DiskKind::Path => disks.add_path(found, work_dir),
                DiskKind::Mount => disks.add_mount(found, work_dir),
                DiskKind::Block | DiskKind::Raw => Err("is of no type that this agent has".to_owned()),
            }
            .map_err(|why| refused(format!("disk '{root}' {why}")))?;
        }
        disks.check_apart().map_err(|why| AgentError::flag("resources", why))?;
        for volumes in disks.shared() {
            fs::create_dir_all(&volumes).map_err(AgentError::directory("make", &volumes))?;
        }
        let elsewhere = volumes::elsewhere(work_dir).map_err(AgentError::directory("list", work_dir))?;
        let known: Vec<PathBuf> = disks.hidden().collect();
        let is_absent =
            |volume: &PathBuf| volume.is_dir() && !known.iter().any(|root| volume.starts_with(root));
        disks.absent = elsewhere.into_iter().filter(is_absent).collect();
        Ok(disks)
    }

    fn add_path(&mut self, root: PathBuf, work_dir: &Path) -> Result<(), String> {
        if root.starts_with(work_dir) {
            return Err("is within --work-dir: name a directory outside".to_owned());
        }
        if !self.paths.contains(&root) {
            self.paths.push(root);
        }
        Ok(())
    }

    fn add_mount(&mut self, root: PathBuf, work_dir: &Path) -> Result<(), String> {
        if !is_mounted(&root).map_err(|error| format!("needs {MOUNTS}: {error}"))? {
            return Err(
                "of type MOUNT is no mount point: mount its file system there, or say PATH".to_owned()
            );
        }
        if work_dir.starts_with(&root) {
            return Err("of type MOUNT holds --work-dir, and a volume takes all of it: say PATH".to_owned());
        }
        self.mounts.push(root);
        Ok(())
    }

    /// A volume of type MOUNT is all that is on its disk.
    fn check_apart(&self) -> Result<(), String> {
        for (number, mount) in self.mounts.iter().enumerate() {
            let others = self.mounts.iter().enumerate().filter(|(other, _)| *other != number);
            let mut others = others.map(|(_, root)| root).chain(&self.paths);
            if let Some(other) = others.find(|root| root.starts_with(mount)) {
                let (mount, other) = (mount.display(), other.display());
                return Err(format!(
                    "disk '{mount}' of type MOUNT is for one volume alone, and disk '{other}' is on it"
                ));
            }
        }
        Ok(())
    }

    /// Where the volumes of each PATH disk are.
    pub(crate) fn shared(&self) -> impl Iterator<Item = PathBuf> {
        self.paths.iter().map(|root| root.join("volumes"))
    }

    /// What no container may see but for the volumes that it has.
    pub(crate) fn hidden(&self) -> impl Iterator<Item = PathBuf> {
        self.shared().chain(self.mounts.iter().chain(&self.absent).cloned())
    }
}

/// Whether a file system is mounted here.
pub(crate) fn is_mounted(root: &Path) -> io::Result<bool> {
    let mounts = fs::read_to_string(MOUNTS)?;
    Ok(mountinfo::parse(&mounts).iter().any(|mount| mount.mount_point == root))
}

/// The directory of this name, which must be its only one.
fn find(root: &str) -> Result<PathBuf, String> {
    if !Path::new(root).is_absolute() {
        return Err("must be an absolute path".to_owned());
    }
    let real = fs::canonicalize(root).map_err(|error| format!("is not there: {error}"))?;
    if !real.is_dir() {
        return Err("is not a directory".to_owned());
    }
    if real.as_os_str() != OsStr::new(root) {
        return Err(format!("is written differently or leads over a link: name it '{}'", real.display()));
    }
    Ok(real)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn open(disks: &[(&str, &Path)], work_dir: &Path) -> Result<Disks, String> {
        let disk = |(number, (kind, root)): (usize, &(&str, &Path))| {
            let role = format!("role-{number}");
            json!({ "name": "disk", "type": "SCALAR", "scalar": { "value": 8 }, "role": role,
                "disk": { "source": { "type": kind, kind.to_lowercase(): { "root": root } } } })
        };
        let list: Vec<_> = disks.iter().enumerate().map(disk).collect();
        let resources = crate::resources::named(&json!(list).to_string()).unwrap();
        Disks::open(&resources, work_dir).map_err(|error| error.to_string())
    }

    #[test]
    fn a_root_is_a_directory_under_its_one_name() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (root, work) = (folder.join("disk"), folder.join("work"));
        fs::create_dir_all(&root).unwrap();
        fs::write(folder.join("file"), "").unwrap();
        std::os::unix::fs::symlink(&root, folder.join("link")).unwrap();
        let found = open(&[("PATH", &root), ("PATH", &root)], &work).unwrap();
        assert_eq!((found.paths.as_slice(), found.mounts.len()), ([root.clone()].as_slice(), 0));
        assert_eq!(found.hidden().collect::<Vec<_>>(), [root.join("volumes")]);
        assert!(root.join("volumes").is_dir());
        let cases = [
            ("PATH", Path::new("disk").to_owned(), "absolute"),
            ("PATH", folder.join("none"), "is not there"),
            ("PATH", folder.join("file"), "not a directory"),
            ("PATH", folder.join("link"), "name it"),
            ("PATH", folder.join("disk/../disk"), "name it"),
            ("MOUNT", root.clone(), "no mount point"),
            ("MOUNT", "/".into(), "holds --work-dir"),
        ];
        for (kind, root, part) in cases {
            let said = open(&[(kind, &root)], &work).unwrap_err();
            assert!(said.starts_with("--resources: ") && said.contains(part), "'{said}' has no '{part}'");
        }
        let said = open(&[("PATH", &root)], &folder).unwrap_err();
        assert!(said.contains("within --work-dir"), "{said}");
    }

    #[test]
    fn nothing_else_is_on_a_mount() {
        let proc = Path::new("/proc");
        assert_eq!(open(&[("MOUNT", proc)], Path::new("/w")).unwrap().hidden().count(), 1);
        for other in [("PATH", Path::new("/proc/sys")), ("MOUNT", proc)] {
            let said = open(&[("MOUNT", proc), other], Path::new("/w")).unwrap_err();
            assert!(said.contains("is for one volume alone"), "{said}");
        }
    }
}
