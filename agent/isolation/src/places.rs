//! Where in a container something is mounted: an open file or directory within its root, made if it is not there, and never
//! a file of the kernel's.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Component, Path, PathBuf};

use nix::sys::stat::{Mode, mkdirat};
use nix::sys::statfs::{self, FsType, fstatfs};

use crate::{Context, IsolationError, beneath};

/// File systems in which nothing may be mounted but what we mount there ourselves: a mount there would hide from a program
/// what the kernel says, or turn a write of ours into another.
const KERNELS_OWN: [FsType; 4] =
    [statfs::PROC_SUPER_MAGIC, statfs::SYSFS_MAGIC, statfs::CGROUP_SUPER_MAGIC, statfs::CGROUP2_SUPER_MAGIC];

/// What is to be mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A single file.
    File,
}

/// Opens the place `path` within `root` to be mounted over; what is missing of it is made, for root, mode 0755 (0644 for a
/// file).
///
/// # Errors
/// Names the path: when it has `..`, is the root itself, lies in `/proc`, `/sys` or a cgroup, or is not of that kind.
pub fn make(root: impl AsFd, path: &Path, kind: Kind) -> Result<File, IsolationError> {
    let inside = plain(path)?;
    let place = open_or_make(root.as_fd(), &inside, kind).context("make the mount point", path.display())?;
    not_the_kernels(place, path)
}

/// As [`make`], but what is not there is an error.
///
/// # Errors
/// As [`make`], and when nothing is there.
pub fn find(root: impl AsFd, path: &Path, kind: Kind) -> Result<File, IsolationError> {
    let place = open_existing(root.as_fd(), &plain(path)?, kind);
    not_the_kernels(place.context("find the mount point", path.display())?, path)
}

fn not_the_kernels(place: File, path: &Path) -> Result<File, IsolationError> {
    let system = fstatfs(&place).context("look at the mount point", path.display())?;
    // Covers and the list of v1 groups are file systems in memory; the kernel knows where they are.
    let known = std::fs::read_link(format!("/proc/self/fd/{}", place.as_raw_fd())).unwrap_or_default();
    let below = ["/proc", "/sys"].iter().any(|above| known.starts_with(above));
    if below || KERNELS_OWN.contains(&system.filesystem_type()) {
        return Err(refused(path, "nothing is mounted over the kernel's own files"));
    }
    Ok(place)
}

/// A directory right below the root that is none of somebody's links; made if it is not there.
///
/// # Errors
/// Names the path.
pub fn own_directory(root: impl AsFd, name: &Path) -> Result<File, IsolationError> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let open = || beneath::open(root.as_fd(), name, flags, 0);
    let opened = match open() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            mkdirat(root.as_fd(), name, Mode::from_bits_truncate(0o755))
                .map_err(io::Error::from)
                .and_then(|()| open())
        }
        result => result,
    };
    opened.context("open the directory", format_args!("/{}", name.display()))
}

/// The path without a leading slash, which must be made of plain names.
fn plain(path: &Path) -> Result<PathBuf, IsolationError> {
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => inside.push(name),
            Component::ParentDir | Component::Prefix(_) => {
                return Err(refused(path, "it must not have '..'"));
            }
        }
    }
    if inside.as_os_str().is_empty() {
        return Err(refused(path, "it must not be the root"));
    }
    Ok(inside)
}

fn refused(path: &Path, reason: &str) -> IsolationError {
    IsolationError::invalid("mount over", path.display(), reason)
}

fn open_existing(root: BorrowedFd<'_>, path: &Path, kind: Kind) -> io::Result<File> {
    let directory = if kind == Kind::Directory { libc::O_DIRECTORY } else { 0 };
    beneath::open_within(root, path, libc::O_PATH | directory, 0)
}

fn open_or_make(root: BorrowedFd<'_>, path: &Path, kind: Kind) -> io::Result<File> {
    let open = || open_existing(root, path, kind);
    match open() {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        result => return result,
    }
    let mut made = PathBuf::new();
    let mut above = beneath::open_within(root, Path::new("/"), libc::O_PATH | libc::O_DIRECTORY, 0)?;
    let above_of_file = path.parent().unwrap_or(Path::new(""));
    let directories = if kind == Kind::Directory { path } else { above_of_file };
    for name in directories {
        made.push(name);
        above = step(root, &above, Path::new(name), &made)?;
    }
    if let (Kind::File, Some(name)) = (kind, path.file_name()) {
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_NOFOLLOW;
        beneath::open(&above, Path::new(name), flags, 0o644)?;
    }
    open()
}

/// One directory further, made if it is not there.
fn step(root: BorrowedFd<'_>, above: &File, name: &Path, whole: &Path) -> io::Result<File> {
    let open = || beneath::open_within(root, whole, libc::O_PATH | libc::O_DIRECTORY, 0);
    match open() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            mkdirat(above, name, Mode::from_bits_truncate(0o755))?;
            open()
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_missing_is_made_and_links_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let root_path = dir.path().join("root");
        fs::create_dir_all(root_path.join("run")).unwrap();
        fs::create_dir(root_path.join("var")).unwrap();
        symlink("/run", root_path.join("var/run")).unwrap();
        symlink("../../../..", root_path.join("up")).unwrap();
        let root = File::open(&root_path).unwrap();
        make(&root, Path::new("/var/run/a/b"), Kind::Directory).unwrap();
        assert!(root_path.join("run/a/b").is_dir());
        make(&root, Path::new("up/c/file"), Kind::File).unwrap();
        assert!(root_path.join("c/file").is_file());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "something was made outside");
    }

    #[test]
    fn no_place_is_the_root_or_above_it_or_the_kernels() {
        let root = File::open("/").unwrap();
        for path in
            ["/", "", ".", "../x", "a/../../x", "/proc/sys", "/proc/self/fd", "/sys/kernel", "/sys/fs/cgroup"]
        {
            assert!(make(&root, Path::new(path), Kind::Directory).is_err(), "{path}");
        }
        let error = make(&root, Path::new("/proc/self/fd/0"), Kind::File).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ELOOP), "{error}");
    }

    #[test]
    fn what_is_only_looked_for_is_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let root = File::open(dir.path()).unwrap();
        assert!(find(&root, Path::new("/new"), Kind::Directory).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        fs::create_dir(dir.path().join("new")).unwrap();
        find(&root, Path::new("/new"), Kind::Directory).unwrap();
        let root = File::open("/").unwrap();
        assert!(find(&root, Path::new("/proc/sys"), Kind::Directory).is_err());
    }

    #[test]
    fn our_own_directories_are_no_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = File::open(dir.path()).unwrap();
        symlink("/etc", dir.path().join("proc")).unwrap();
        assert!(own_directory(&root, Path::new("proc")).is_err());
        own_directory(&root, Path::new("dev")).unwrap();
        assert!(dir.path().join("dev").is_dir());
    }
}
