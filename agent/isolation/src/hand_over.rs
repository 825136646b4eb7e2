//! Files that change hands: what one user put into a directory, given to another.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, SFlag, fstatat};
use nix::unistd::{Gid, Uid, fchownat};

use crate::{Context, IsolationError, beneath};

/// Gives all that is below `directory` and belongs to the user `from` to this user and group. What belongs to others stays theirs,
/// and so does what links lead to. One directory is open at a time, however deep they are.
///
/// # Errors
/// Names the file.
pub fn hand_over(directory: &File, from: u32, to: (u32, u32)) -> Result<(), IsolationError> {
    let mut open = vec![PathBuf::from(".")];
    while let Some(path) = open.pop() {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let below = beneath::open(directory, &path, flags, 0).context("open", path.display())?;
        for name in names(&below).context("list", path.display())? {
            let own = path.join(&name);
            let status = fstatat(&below, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
            let status = status.context("look at", own.display())?;
            if status.st_uid == from {
                give(&below, &name, to).context("give away", own.display())?;
            }
            if SFlag::from_bits_truncate(status.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR {
                open.push(own);
            }
        }
    }
    Ok(())
}

fn names(directory: &File) -> nix::Result<Vec<OsString>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut entries = Dir::openat(directory, Path::new("."), flags, Mode::empty())?;
    let names = entries.iter().map(|entry| Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned()));
    let names: Vec<OsString> = names.collect::<nix::Result<_>>()?;
    Ok(names.into_iter().filter(|name| name != "." && name != "..").collect())
}

fn give(directory: impl AsFd, name: &OsStr, (uid, gid): (u32, u32)) -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    fchownat(directory, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, chown, symlink};

    use super::*;

    /// Needs root, as everything that gives files away.
    #[test]
    fn what_one_user_has_becomes_anothers_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let (sandbox, outside) = (place.path().join("sandbox"), place.path().join("outside"));
        fs::create_dir_all(sandbox.join("a/b")).unwrap();
        fs::write(&outside, "").unwrap();
        fs::write(sandbox.join("a/b/file"), "").unwrap();
        fs::write(sandbox.join("roots"), "").unwrap();
        symlink(&outside, sandbox.join("link")).unwrap();
        symlink("..", sandbox.join("a/up")).unwrap();
        for path in ["sandbox/a", "sandbox/a/b", "sandbox/a/b/file", "outside"] {
            chown(place.path().join(path), Some(65_534), Some(65_534)).unwrap();
        }
        hand_over(&File::open(&sandbox).unwrap(), 65_534, (1001, 1002)).unwrap();
        let owner = |path: &str| {
            let status = fs::symlink_metadata(place.path().join(path)).unwrap();
            (status.uid(), status.gid())
        };
        for path in ["sandbox/a", "sandbox/a/b", "sandbox/a/b/file"] {
            assert_eq!(owner(path), (1001, 1002), "{path}");
        }
        assert_eq!(owner("outside"), (65_534, 65_534));
        for path in ["sandbox", "sandbox/roots", "sandbox/link"] {
            assert_eq!(owner(path), (0, 0), "{path}");
        }
    }
}
