//! Making files beneath a directory and nowhere else, whatever their names say and whatever is there already.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Component, Path, PathBuf};

use chapada_isolation::beneath;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};

use crate::error::FetchError;

const DIRECTORY: i32 = nix::libc::O_RDONLY | nix::libc::O_DIRECTORY;

/// A directory in which files are made.
#[derive(Debug)]
pub(crate) struct Place {
    root: File,
}

impl Place {
    pub(crate) fn new(root: File) -> Self {
        Self { root }
    }

    /// The directory itself.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// A file of this name, new or emptied.
    pub(crate) fn file(&self, path: &Path, mode: u32) -> Result<File, FetchError> {
        let (above, name) = self.above(path)?;
        remove(&above, &name).map_err(FetchError::io(format!("cannot replace {}", path.display())))?;
        let flags = nix::libc::O_RDWR | nix::libc::O_CREAT | nix::libc::O_EXCL;
        beneath::open(&above, Path::new(&name), flags, mode)
            .map_err(FetchError::io(format!("cannot make {}", path.display())))
    }

    /// A directory of this name, with what is missing above it.
    pub(crate) fn directory(&self, path: &Path) -> Result<File, FetchError> {
        let mut directory = self.root.try_clone().map_err(FetchError::io("cannot use the sandbox"))?;
        for name in components(path)? {
            let made = mkdirat(&directory, name, Mode::from_bits_truncate(0o755));
            if let Err(error) = made.or_else(|error| if error == Errno::EEXIST { Ok(()) } else { Err(error) })
            {
                return Err(FetchError::io(format!("cannot make {}", path.display()))(error.into()));
            }
            directory = beneath::open(&directory, Path::new(name), DIRECTORY, 0)
                .map_err(FetchError::io(format!("cannot enter {}", path.display())))?;
        }
        Ok(directory)
    }

    /// A symbolic link that leads to something beneath the directory.
    pub(crate) fn symlink(&self, path: &Path, target: &Path) -> Result<(), FetchError> {
        if !stays(path, target) {
            let message = format!("{} is a link that leads out, to {}", path.display(), target.display());
            return Err(FetchError::Archive(message));
        }
        let (above, name) = self.above(path)?;
        remove(&above, &name).map_err(FetchError::io(format!("cannot replace {}", path.display())))?;
        symlinkat(target, &above, name.as_os_str())
            .map_err(|error| FetchError::io(format!("cannot make the link {}", path.display()))(error.into()))
    }

    /// Another name for a file that is here already; links on the way to it are not followed.
    pub(crate) fn hard_link(&self, path: &Path, target: &Path) -> Result<(), FetchError> {
        let failed = || FetchError::io(format!("cannot link {} to {}", path.display(), target.display()));
        let (from, from_name) = self.above(target)?;
        let known = beneath::open(&from, Path::new(&from_name), nix::libc::O_PATH | nix::libc::O_NOFOLLOW, 0);
        let is_file = known.and_then(|file| file.metadata()).map_err(failed())?.is_file();
        if !is_file {
            let message = format!("{} is a link to {}, which is no file", path.display(), target.display());
            return Err(FetchError::Archive(message));
        }
        let (above, name) = self.above(path)?;
        if components(path)? == components(target)? {
            return Ok(());
        }
        remove(&above, &name).map_err(failed())?;
        linkat(&from, from_name.as_os_str(), &above, name.as_os_str(), AtFlags::empty())
            .map_err(|error| failed()(error.into()))
    }

    /// The directory above a path, made if it is missing, and the last name.
    fn above(&self, path: &Path) -> Result<(File, OsString), FetchError> {
        let names = components(path)?;
        let Some((name, above)) = names.split_last() else {
            return Err(FetchError::Archive(format!(
                "{:?} is no name of a file",
                path.display().to_string()
            )));
        };
        let above: PathBuf = above.iter().collect();
        Ok((self.directory(&above)?, (*name).to_owned()))
    }
}

/// The names of a path that neither is absolute nor goes up.
fn components(path: &Path) -> Result<Vec<&OsStr>, FetchError> {
    path.components()
        .filter(|component| *component != Component::CurDir)
        .map(|component| match component {
            Component::Normal(name) => Ok(name),
            Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => {
                Err(FetchError::Archive(format!("{} leads out of the sandbox", path.display())))
            }
        })
        .collect()
}

/// Whether a link at `path` leads to something beneath the root.
fn stays(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().filter(|component| matches!(component, Component::Normal(_))).count();
    depth = depth.saturating_sub(1);
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

/// Whatever has this name goes, unless it is a directory.
fn remove(directory: &File, name: &OsStr) -> io::Result<()> {
    match unlinkat(directory, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_is_made_outside() {
        let around = tempfile::tempdir().unwrap();
        let inside = around.path().join("in");
        fs::create_dir(&inside).unwrap();
        symlink("..", inside.join("up")).unwrap();
        fs::write(around.path().join("secret"), "x").unwrap();
        symlink("../secret", inside.join("away")).unwrap();
        let place = Place::new(File::open(&inside).unwrap());
        for path in ["/x", "../x", "a/../../x", "up/x", ""] {
            assert!(place.file(Path::new(path), 0o644).is_err(), "{path}");
        }
        for (path, target) in [("l", "/etc"), ("l", "../secret"), ("a/l", "../../secret"), ("l", "a/../../x")]
        {
            assert!(place.symlink(Path::new(path), Path::new(target)).is_err(), "{path} {target}");
        }
        for target in ["../secret", "/etc/passwd", "up/secret", "away"] {
            assert!(place.hard_link(Path::new("h"), Path::new(target)).is_err(), "{target}");
        }
        drop(place.file(Path::new("away"), 0o644).unwrap());
        assert_eq!(fs::read_to_string(around.path().join("secret")).unwrap(), "x", "a link is replaced");
        assert_eq!(fs::read_dir(around.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_stays_inside_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::new(File::open(directory.path()).unwrap());
        drop(place.file(Path::new("./a/b/c"), 0o755).unwrap());
        place.symlink(Path::new("a/l"), Path::new("../a/b/c")).unwrap();
        place.hard_link(Path::new("h"), Path::new("a/b/c")).unwrap();
        place.hard_link(Path::new("h"), Path::new("./h")).unwrap();
        assert!(directory.path().join("a/l").is_file() && directory.path().join("h").is_file());
    }
}
