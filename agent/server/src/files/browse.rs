//! Listings of directories.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;

use nix::dir::Dir;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use nix::unistd::{Gid, Group, Uid, User};

use super::{FileError, Files, Place};

/// A listing is cut here; a task that makes more files than this in one directory has itself to blame.
const MAX_ENTRIES: usize = 10_000;

/// One file of a listing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) mode: u32,
    pub(crate) nlink: u64,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    /// Seconds and nanoseconds since 1970.
    pub(crate) modified: (i64, i64),
}

impl Files {
    /// The files of a directory, by name; a plain file lists itself. Blocks.
    pub(crate) fn browse(&self, place: &Place) -> Result<Vec<Entry>, FileError> {
        let failed = |error| FileError::of(&place.shown, error);
        let metadata = self.look(place)?.metadata().map_err(failed)?;
        if !metadata.is_dir() {
            let name = place.shown.rsplit('/').next().unwrap_or_default().to_owned();
            return Ok(vec![entry_of(name, &metadata)]);
        }
        let opened = self.open_file(place)?;
        let mut entries = Vec::new();
        // A descriptor of its own for each: reading a directory moves the descriptor's place in it.
        let again = opened.try_clone().map_err(failed)?;
        let mut directory = Dir::from_fd(again.into()).map_err(|error| failed(error.into()))?;
        for item in directory.iter() {
            let item = item.map_err(|error| failed(error.into()))?;
            let name = item.file_name().to_string_lossy().into_owned();
            if matches!(name.as_str(), "." | "..") {
                continue;
            }
            if entries.len() == MAX_ENTRIES {
                break;
            }
            entries.extend(stat(&opened, item.file_name()).map(|stat| entry_of_stat(name, &stat)));
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }
}

/// `None` for a file that went in the meantime.
fn stat(directory: &File, name: &std::ffi::CStr) -> Option<FileStat> {
    fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()
}

fn entry_of(name: String, of: &Metadata) -> Entry {
    let modified = (of.mtime(), of.mtime_nsec());
    Entry {
        name,
        mode: of.mode(),
        nlink: of.nlink(),
        uid: of.uid(),
        gid: of.gid(),
        size: of.size(),
        modified,
    }
}

fn entry_of_stat(name: String, of: &FileStat) -> Entry {
    Entry {
        name,
        mode: of.st_mode,
        nlink: of.st_nlink,
        uid: of.st_uid,
        gid: of.st_gid,
        size: u64::try_from(of.st_size).unwrap_or_default(),
        modified: (of.st_mtime, of.st_mtime_nsec),
    }
}

impl Entry {
    /// The owner's name, or number.
    pub(crate) fn user(&self) -> String {
        let user = User::from_uid(Uid::from_raw(self.uid)).ok().flatten();
        user.map_or_else(|| self.uid.to_string(), |user| user.name)
    }

    /// The group's name, or number.
    pub(crate) fn group(&self) -> String {
        let group = Group::from_gid(Gid::from_raw(self.gid)).ok().flatten();
        group.map_or_else(|| self.gid.to_string(), |group| group.name)
    }

    /// As `ls -l` writes it.
    pub(crate) fn mode_text(&self) -> String {
        let kind = match SFlag::from_bits_truncate(self.mode) & SFlag::S_IFMT {
            SFlag::S_IFDIR => 'd',
            SFlag::S_IFLNK => 'l',
            SFlag::S_IFIFO => 'p',
            SFlag::S_IFSOCK => 's',
            SFlag::S_IFCHR => 'c',
            SFlag::S_IFBLK => 'b',
            _ => '-',
        };
        let mode = Mode::from_bits_truncate(self.mode);
        let bits = [Mode::S_IRUSR, Mode::S_IWUSR, Mode::S_IXUSR, Mode::S_IRGRP, Mode::S_IWGRP, Mode::S_IXGRP];
        let bits = bits.into_iter().chain([Mode::S_IROTH, Mode::S_IWOTH, Mode::S_IXOTH]);
        let letters =
            bits.zip("rwxrwxrwx".chars()).map(|(bit, letter)| if mode.contains(bit) { letter } else { '-' });
        std::iter::once(kind).chain(letters).collect()
    }

    /// Seconds since 1970.
    pub(crate) fn modified_secs(&self) -> f64 {
        self.modified.0 as f64 + self.modified.1 as f64 / 1e9
    }
}
