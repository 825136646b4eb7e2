//! User namespaces: the root of a container is nobody on the host. Its ids 0, 1, 2, … are a range of the host's that nobody
//! else has.
//!
//! Only ids and capabilities are the container's own. Its other namespaces belong to the host's user namespace, so that its
//! root has no power over them: it can neither mount, nor change the host name or a network.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstat, fstatat};
use nix::sys::wait::waitpid;
use nix::unistd::{Gid, Pid, Uid, fchownat, setgroups, setresgid, setresuid};
use serde::{Deserialize, Serialize};

use crate::clone3::{self, Caller, Clone3, Cloned};
use crate::{Context, IsolationError, beneath};

/// Deeper than this no image has a directory; each level holds a descriptor.
const MAX_DEPTH: usize = 256;

/// Ids of the host that stand for `0..count` of a container; the same numbers for users and groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdRange {
    /// The host's id of the container's root.
    pub first: u32,
    /// How many; images expect 65,536.
    pub count: u32,
}

impl IdRange {
    /// Whether it can be one: neither empty, nor with the host's root or the last id, which means "none".
    pub fn is_valid(self) -> bool {
        self.first > 0 && self.count > 0 && self.first.checked_add(self.count).is_some()
    }

    /// The host's id for one of the container's, if it has that one.
    pub fn on_host(self, id: u32) -> Option<u32> {
        (id < self.count).then(|| self.first + id)
    }

    fn map(self) -> String {
        format!("0 {} {}", self.first, self.count)
    }
}

/// A user namespace and its range, for files that belong to the container's ids.
#[derive(Debug, Clone, Copy)]
pub struct Mapping<'a> {
    /// The namespace.
    pub namespace: BorrowedFd<'a>,
    /// Its ids on the host.
    pub range: IdRange,
}

/// A user namespace that has no ids yet, and a process that is there for its namespace alone. It ends when this is dropped, and
/// with the process that made it.
#[derive(Debug)]
pub struct Vacant {
    pid: i32,
    pidfd: OwnedFd,
}

impl Vacant {
    /// Makes one.
    ///
    /// # Safety
    /// The calling process must have a single thread, as for [`Clone3::run`].
    ///
    /// # Errors
    /// The kernel's; `EPERM` without root.
    pub unsafe fn make() -> Result<Self, IsolationError> {
        let clone = Clone3 { namespaces: libc::CLONE_NEWUSER, into_cgroup: None, of_parent: false };
        // SAFETY: that there is one thread is the caller's promise.
        match unsafe { clone.run() }? {
            Cloned::Parent { pid, pidfd } => Ok(Self { pid, pidfd }),
            Cloned::Child(maker) => hold(&maker),
        }
    }

    /// Gives it this range; to be called once.
    ///
    /// # Errors
    /// The kernel's.
    pub fn map(&self, range: IdRange) -> Result<OwnedFd, IsolationError> {
        let write = |name: &str| fs::write(format!("/proc/{}/{name}", self.pid), range.map());
        let mapped = write("uid_map")
            .and_then(|()| write("gid_map"))
            .and_then(|()| File::open(format!("/proc/{}/ns/user", self.pid)));
        mapped.map(OwnedFd::from).context("make", "a user namespace")
    }
}

impl Drop for Vacant {
    fn drop(&mut self) {
        // It is our child and does nothing, so there is nothing that could be in the way.
        let _killed = clone3::signal(self.pidfd.as_fd(), libc::SIGKILL);
        let _reaped = waitpid(Pid::from_raw(self.pid), None);
    }
}

/// Is there until it is killed, and holds nothing that was open.
fn hold(maker: &Caller) -> ! {
    let tied = maker.end_together();
    // SAFETY: plain numbers; nothing of this process's memory is used any more, so no descriptor is.
    unsafe {
        if tied.is_err() {
            libc::_exit(0);
        }
        libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0);
        loop {
            libc::pause();
        }
    }
}

/// Makes this process the root of a user namespace, or of that of a process, and gives up the host's.
///
/// # Errors
/// Names the step; the process must not go on then.
pub fn enter(namespace: impl AsFd) -> Result<(), IsolationError> {
    setns(namespace, CloneFlags::CLONE_NEWUSER).context("enter", "the user namespace")?;
    setgroups(&[]).context("drop", "the supplementary groups")?;
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    setresgid(gid, gid, gid).context("become", "the group of the container's root")?;
    setresuid(uid, uid, uid).context("become", "the container's root")
}

/// Gives a whole directory to a range, what belongs to 0 to its first id and so on: for file systems whose mounts cannot be
/// mapped. A directory that has been given to it already is left as it is. Links are not followed, mode bits are kept.
///
/// # Errors
/// Names the file; ids beyond the range are refused.
pub fn shift(directory: &Path, range: IdRange) -> Result<(), IsolationError> {
    let opened = beneath::directory(directory)?;
    let status = fstat(&opened).context("look at", directory.display())?;
    if status.st_uid == range.first {
        return Ok(());
    }
    shift_below(opened.as_fd(), range, 0)?;
    // Last, because it tells that all is done.
    shift_one(opened.as_fd(), OsStr::new(""), &status, range)
}

fn shift_below(directory: BorrowedFd<'_>, range: IdRange, depth: usize) -> Result<(), IsolationError> {
    if depth > MAX_DEPTH {
        return Err(IsolationError::invalid("give away", "an image", "its directories are too deep"));
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut entries =
        Dir::openat(directory, ".", flags, Mode::empty()).context("list", "a directory of an image")?;
    for entry in entries.iter() {
        let entry = entry.context("list", "a directory of an image")?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let status =
            fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).context("look at", name.display())?;
        // A file with several names is met several times.
        if status.st_uid >= range.first && status.st_nlink > 1 && kind(&status) != SFlag::S_IFDIR {
            continue;
        }
        if kind(&status) == SFlag::S_IFDIR {
            let below = beneath::open(directory, Path::new(name), libc::O_RDONLY | libc::O_DIRECTORY, 0);
            shift_below(below.context("open", name.display())?.as_fd(), range, depth + 1)?;
        }
        shift_one(directory, name, &status, range)?;
    }
    Ok(())
}

fn shift_one(
    directory: BorrowedFd<'_>,
    name: &OsStr,
    status: &FileStat,
    range: IdRange,
) -> Result<(), IsolationError> {
    let (uid, gid) = (range.on_host(status.st_uid), range.on_host(status.st_gid));
    let (Some(uid), Some(gid)) = (uid, gid) else {
        return Err(IsolationError::invalid(
            "give away",
            name.display(),
            "its owner is beyond the range of ids",
        ));
    };
    let flags = AtFlags::AT_SYMLINK_NOFOLLOW | AtFlags::AT_EMPTY_PATH;
    fchownat(directory, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), flags)
        .context("give away", name.display())?;
    // The kernel takes set-user-id bits from a file that changes hands.
    let special = status.st_mode & 0o6000 != 0 && kind(status) == SFlag::S_IFREG;
    let mode = Mode::from_bits_truncate(status.st_mode);
    let restored =
        if special { fchmodat(directory, name, mode, FchmodatFlags::FollowSymlink) } else { Ok(()) };
    restored.context("keep the mode of", name.display())
}

fn kind(status: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(status.st_mode & SFlag::S_IFMT.bits())
}

/// Whether an error says that a mount of this file system cannot be mapped.
pub fn is_unmappable(error: &IsolationError) -> bool {
    error.errno() == Some(Errno::EINVAL as i32)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_range_has_neither_the_hosts_root_nor_the_last_id() {
        let valid = |first, count| IdRange { first, count }.is_valid();
        assert!(valid(100_000, 65_536) && valid(1, 1));
        assert!(!valid(0, 65_536) && !valid(100_000, 0) && !valid(u32::MAX, 1) && !valid(1, u32::MAX));
        let range = IdRange { first: 100_000, count: 10 };
        assert_eq!((range.on_host(9), range.on_host(10)), (Some(100_009), None));
    }

    /// Needs root, as everything that gives files away.
    #[test]
    fn a_directory_is_given_away_once_with_its_modes_and_not_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let (image, outside) = (dir.path().join("image"), dir.path().join("outside"));
        fs::create_dir_all(image.join("bin/deep")).unwrap();
        fs::write(&outside, "").unwrap();
        fs::write(image.join("bin/su"), "").unwrap();
        fs::hard_link(image.join("bin/su"), image.join("bin/deep/su")).unwrap();
        fs::set_permissions(image.join("bin/su"), fs::Permissions::from_mode(0o4755)).unwrap();
        symlink(&outside, image.join("link")).unwrap();
        let range = IdRange { first: 200_000, count: 65_536 };
        for _ in 0..2 {
            shift(&image, range).unwrap();
            for path in ["", "bin", "bin/deep", "bin/su", "link"] {
                assert_eq!(fs::symlink_metadata(image.join(path)).unwrap().uid(), 200_000, "{path}");
            }
            assert_eq!(fs::metadata(image.join("bin/su")).unwrap().mode() & 0o7777, 0o4755);
            assert_eq!(fs::metadata(&outside).unwrap().uid(), 0);
        }
        let other = IdRange { first: 300_000, count: 10 };
        assert!(shift(&image, other).is_err(), "ids beyond the range");
    }
}
