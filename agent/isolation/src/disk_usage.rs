//! How much room a directory takes on its disk, with all that is beneath it: counted entry by entry, as du(1) does.
//!
//! Whoever owns the tree may change it meanwhile, or have made it to be hard to count. So nothing is opened through a link
//! or across a mount; what is held in memory grows with the depth alone, by some bytes a level; and the count goes on step by
//! step, with as much time between two steps as the caller likes.

use std::ffi::{CStr, OsString};
use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;

use crate::{Context, IsolationError, beneath};

/// Directories that are open at once; those above them are found again from below.
const OPEN: usize = 16;
/// For so many bytes of entries the kernel is asked at once.
const BUFFER: usize = 32 << 10;
/// What `st_blocks` counts.
const BLOCK: u64 = 512;

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Bytes that are allocated. A file with several names counts once, when all of them are in the tree.
    pub bytes: u64,
    /// Names of files and directories, the tree's own included.
    pub names: u64,
}

/// A count that is under way.
#[derive(Debug)]
pub struct Count {
    levels: Vec<Level>,
    /// Names right beneath the root that are not counted.
    skipped: Vec<OsString>,
    usage: DiskUsage,
}

impl Count {
    /// Begins to count what is in this directory, but for these names right beneath it.
    ///
    /// # Errors
    /// When it is missing or no directory.
    pub fn begin(root: &Path, skipped: &[&str]) -> Result<Self, IsolationError> {
        let directory = beneath::directory(root)?;
        let mut count = Self {
            levels: Vec::new(),
            skipped: skipped.iter().map(OsString::from).collect(),
            usage: DiskUsage::default(),
        };
        count.enter(directory).context("look at", root.display())?;
        Ok(count)
    }

    /// What has been counted so far.
    pub fn usage(&self) -> DiskUsage {
        self.usage
    }

    /// Counts this many entries more; `true` once it has come to the end. Where a directory has been moved away under it,
    /// that is the end, too.
    ///
    /// # Errors
    /// The disk's. What vanishes meanwhile is none.
    pub fn step(&mut self, entries: usize) -> io::Result<bool> {
        for _ in 0..entries {
            let Some(level) = self.levels.last_mut() else { return Ok(true) };
            match level.next()? {
                Some(entry) => self.take(&entry)?,
                None => self.leave()?,
            }
        }
        Ok(self.levels.is_empty())
    }

    fn take(&mut self, entry: &Entry) -> io::Result<()> {
        let is_root = self.levels.len() == 1;
        if is_root && self.skipped.iter().any(|name| name.as_bytes() == entry.name()) {
            return Ok(());
        }
        let Some(directory) = self.levels.last().and_then(|level| level.directory.as_ref()) else {
            return Ok(());
        };
        if entry.kind == libc::DT_DIR {
            return self.descend(entry);
        }
        let flags = AtFlags::AT_SYMLINK_NOFOLLOW | AtFlags::AT_NO_AUTOMOUNT;
        match fstatat(directory, entry.c_name(), flags) {
            Ok(found) if found.st_mode & libc::S_IFMT == libc::S_IFDIR => self.descend(entry),
            Ok(found) => {
                self.usage.names += 1;
                let links = found.st_nlink.max(1);
                self.add(u64::try_from(found.st_blocks).unwrap_or(0) * BLOCK / links);
                Ok(())
            }
            Err(error) if is_elsewhere(&error.into()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn descend(&mut self, entry: &Entry) -> io::Result<()> {
        let Some(directory) = self.levels.last().and_then(|level| level.directory.as_ref()) else {
            return Ok(());
        };
        match beneath::subdirectory(directory, entry.c_name()) {
            Ok(below) => self.enter(below),
            Err(error) if is_elsewhere(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn enter(&mut self, directory: File) -> io::Result<()> {
        let found = directory.metadata()?;
        self.usage.names += 1;
        self.add(found.blocks() * BLOCK);
        self.levels.push(Level::new(directory, (found.dev(), found.ino())));
        if let Some(above) = self.levels.len().checked_sub(OPEN + 1) {
            self.levels[above].close();
        }
        Ok(())
    }

    /// Back to the directory above, if it is still the one that this came from.
    fn leave(&mut self) -> io::Result<()> {
        let Some(Level { directory: Some(below), .. }) = self.levels.pop() else { return Ok(()) };
        let Some(above) = self.levels.last_mut().filter(|above| above.directory.is_none()) else {
            return Ok(());
        };
        if !above.open_again(&below)? {
            self.levels.clear();
        }
        Ok(())
    }

    fn add(&mut self, bytes: u64) {
        self.usage.bytes = self.usage.bytes.saturating_add(bytes);
    }
}

/// It vanished, is a mount, or has become something else.
fn is_elsewhere(error: &io::Error) -> bool {
    let known = [libc::ENOENT, libc::ENOTDIR, libc::ELOOP, libc::EXDEV, libc::ESTALE];
    error.raw_os_error().is_some_and(|number| known.contains(&number))
}

/// A directory on the way down.
#[derive(Debug)]
struct Level {
    directory: Option<File>,
    id: (u64, u64),
    buffer: Vec<u8>,
    at: usize,
    /// Where in the directory the last entry ended that was taken.
    taken: i64,
}

impl Level {
    fn new(directory: File, id: (u64, u64)) -> Self {
        Self { directory: Some(directory), id, buffer: Vec::new(), at: 0, taken: 0 }
    }

    fn close(&mut self) {
        (self.directory, self.buffer, self.at) = (None, Vec::new(), 0);
    }

    /// Opens the directory above `below`, and goes on there where this one stopped; `false` if that is another.
    fn open_again(&mut self, below: &File) -> io::Result<bool> {
        let flags = nix::fcntl::OFlag::O_DIRECTORY | nix::fcntl::OFlag::O_CLOEXEC;
        let opened = nix::fcntl::openat(below, c"..", flags, nix::sys::stat::Mode::empty())?;
        let directory = File::from(opened);
        let found = directory.metadata()?;
        if (found.dev(), found.ino()) != self.id {
            return Ok(false);
        }
        nix::unistd::lseek(&directory, self.taken, nix::unistd::Whence::SeekSet)?;
        self.directory = Some(directory);
        Ok(true)
    }

    fn next(&mut self) -> io::Result<Option<Entry>> {
        loop {
            if self.at == self.buffer.len() && !self.fill()? {
                return Ok(None);
            }
            let Some((entry, length)) = Entry::first_of(&self.buffer[self.at..]) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            self.at += length;
            self.taken = entry.offset;
            if entry.name() != b"." && entry.name() != b".." {
                return Ok(Some(entry));
            }
        }
    }

    /// Asks for more entries; `false` when there are none.
    fn fill(&mut self) -> io::Result<bool> {
        let Some(directory) = &self.directory else { return Ok(false) };
        self.buffer.resize(BUFFER, 0);
        // SAFETY: the kernel writes at most as many bytes as the buffer has, which outlives the call.
        let read = unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                directory.as_raw_fd(),
                self.buffer.as_mut_ptr(),
                self.buffer.len(),
            )
        };
        let Ok(read) = usize::try_from(read) else {
            let error = io::Error::last_os_error();
            // A directory that was removed while open.
            return if is_elsewhere(&error) { Ok(false) } else { Err(error) };
        };
        self.buffer.truncate(read);
        self.at = 0;
        Ok(read > 0)
    }
}

/// An entry of a directory.
struct Entry {
    offset: i64,
    /// Unknown where the file system does not say.
    kind: u8,
    name: Vec<u8>,
}

impl Entry {
    /// The entry at the beginning of what the kernel wrote, and how long it is there.
    fn first_of(bytes: &[u8]) -> Option<(Self, usize)> {
        const OFFSET: usize = offset_of!(libc::dirent64, d_off);
        const LENGTH: usize = offset_of!(libc::dirent64, d_reclen);
        const KIND: usize = offset_of!(libc::dirent64, d_type);
        const NAME: usize = offset_of!(libc::dirent64, d_name);
        let offset = i64::from_ne_bytes(bytes.get(OFFSET..OFFSET + 8)?.try_into().ok()?);
        let length = usize::from(u16::from_ne_bytes(bytes.get(LENGTH..LENGTH + 2)?.try_into().ok()?));
        let name = CStr::from_bytes_until_nul(bytes.get(NAME..length)?).ok()?;
        let entry = Self { offset, kind: *bytes.get(KIND)?, name: name.to_bytes_with_nul().to_vec() };
        Some((entry, length))
    }

    fn name(&self) -> &[u8] {
        self.name.strip_suffix(b"\0").unwrap_or(&self.name)
    }

    fn c_name(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.name).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;
    use std::os::unix::fs::symlink;

    use nix::fcntl::OFlag;
    use nix::sys::stat::Mode;
    use nix::unistd::{UnlinkatFlags, unlinkat};

    use super::*;

    fn count(root: &Path, skipped: &[&str]) -> DiskUsage {
        let mut count = Count::begin(root, skipped).unwrap();
        while !count.step(3).unwrap() {}
        count.usage()
    }

    /// What du(1) would say: each file once, whatever number of names it has.
    fn du(path: &Path, seen: &mut HashSet<u64>) -> u64 {
        let found = fs::symlink_metadata(path).unwrap();
        let mut bytes = if seen.insert(found.ino()) { found.blocks() * 512 } else { 0 };
        if found.is_dir() {
            bytes += fs::read_dir(path).unwrap().map(|entry| du(&entry.unwrap().path(), seen)).sum::<u64>();
        }
        bytes
    }

    /// Removes `depth` directories within each other, with a file in each, from below: no path is so long.
    fn remove(mut deepest: fs::File, depth: usize) {
        for _ in 0..depth {
            let above = nix::fcntl::openat(&deepest, "..", OFlag::O_DIRECTORY, Mode::empty()).unwrap();
            unlinkat(&above, "d", UnlinkatFlags::RemoveDir).unwrap();
            unlinkat(&above, "f", UnlinkatFlags::NoRemoveDir).unwrap();
            deepest = above.into();
        }
    }

    #[test]
    fn it_counts_what_du_counts_and_follows_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/large"), vec![1; 1 << 20]).unwrap();
        fs::write(root.join("a/file"), vec![1; 100_000]).unwrap();
        fs::hard_link(root.join("a/file"), root.join("a/b/other")).unwrap();
        fs::File::create(root.join("sparse")).unwrap().set_len(1 << 30).unwrap();
        symlink("../outside", root.join("out")).unwrap();
        symlink("../outside/large", root.join("a/large")).unwrap();
        let found = count(&root, &[]);
        assert_eq!((found.bytes, found.names), (du(&root, &mut HashSet::new()), 8));
        assert!(found.bytes < 1 << 20, "{found:?}");
        fs::create_dir(root.join("containers")).unwrap();
        fs::write(root.join("containers/theirs"), vec![1; 100_000]).unwrap();
        fs::create_dir(root.join("a/containers")).unwrap();
        assert_eq!(count(&root, &["containers"]).names, 9);
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_counted_with_few_open_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut directory = fs::File::open(dir.path()).unwrap();
        for _ in 0..5000 {
            nix::sys::stat::mkdirat(&directory, "d", Mode::S_IRWXU).unwrap();
            fs::write(format!("/proc/self/fd/{}/f", directory.as_raw_fd()), "x").unwrap();
            directory = beneath::open(&directory, Path::new("d"), libc::O_DIRECTORY, 0).unwrap();
        }
        let mut count = Count::begin(dir.path(), &[]).unwrap();
        let mut most_open = 0;
        while !count.step(100).unwrap() {
            let open = count.levels.iter().filter(|level| level.directory.is_some()).count();
            most_open = most_open.max(open);
        }
        assert_eq!((count.usage().names, most_open), (10_001, OPEN));
        // What removes the directory knows no such depth.
        remove(directory, 5000);
    }

    #[test]
    fn what_moves_away_meanwhile_leads_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let deep: std::path::PathBuf = std::iter::repeat_n("d", OPEN + 4).collect();
        fs::create_dir_all(root.join(&deep)).unwrap();
        fs::create_dir(dir.path().join("elsewhere")).unwrap();
        fs::write(dir.path().join("elsewhere/large"), vec![1; 1 << 20]).unwrap();
        let mut count = Count::begin(&root, &[]).unwrap();
        while count.levels.len() < OPEN + 4 {
            assert!(!count.step(1).unwrap());
        }
        // The directory below the first that is not open any more goes where its parent is another.
        let moved: std::path::PathBuf = std::iter::repeat_n("d", 3).collect();
        fs::rename(root.join(moved), dir.path().join("elsewhere/d")).unwrap();
        while !count.step(1).unwrap() {}
        assert!(count.usage().bytes < 1 << 20, "{:?}", count.usage());
    }
}
