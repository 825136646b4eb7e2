//! Files that change hands: what one user put into a directory, given to another.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use nix::fcntl::AtFlags;
use nix::sys::stat::{SFlag, fstatat};
use nix::unistd::{Gid, Uid, fchownat};

use crate::walk::{Step, Walk};
use crate::{Context, IsolationError, beneath};

/// Gives all that is below `directory` and belongs to the user `from` to this user and group. What belongs to others stays theirs,
/// and so do what links lead to and what is mounted there. It may be as deep and have as many entries as it likes: see `Walk`.
///
/// # Errors
/// Names the file. Also when a directory is moved away meanwhile, for then some may not have been seen.
pub fn hand_over(directory: &File, from: u32, to: (u32, u32)) -> Result<(), IsolationError> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    let root = beneath::open(directory, Path::new("."), flags, 0).context("open", "the directory")?;
    let mut walk = Walk::begin(root).context("look at", "the directory")?;
    loop {
        let entry = match walk.step().context("list", "what is to be given away")? {
            Step::Entry(entry) => entry,
            Step::Up => continue,
            Step::End => break,
        };
        let name = String::from_utf8_lossy(entry.name());
        let Some(above) = walk.directory() else { break };
        let status =
            fstatat(above, entry.c_name(), AtFlags::AT_SYMLINK_NOFOLLOW).context("look at", &name)?;
        if status.st_uid == from {
            give(above, entry.c_name(), to).context("give away", &name)?;
        }
        if SFlag::from_bits_truncate(status.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR {
            walk.descend(&entry).context("open", &name)?;
        }
    }
    match walk.is_cut_off() {
        true => Err(IsolationError::invalid("give away", "a directory", "it was moved away meanwhile")),
        false => Ok(()),
    }
}

fn give(directory: impl AsFd, name: &CStr, (uid, gid): (u32, u32)) -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    fchownat(directory, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, chown, symlink};

    use super::*;
    use crate::walk::deep;

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

    /// Needs root.
    #[test]
    fn what_is_deeper_than_any_path_is_given_as_well() {
        let place = tempfile::tempdir().unwrap();
        let deepest = deep::make(place.path(), 5000);
        hand_over(&File::open(place.path()).unwrap(), 0, (1001, 1002)).unwrap();
        let found = deepest.metadata().unwrap();
        assert_eq!((found.uid(), found.gid()), (1001, 1002));
        deep::remove(deepest, 5000);
    }
}
