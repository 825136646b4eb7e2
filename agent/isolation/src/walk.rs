//! A way through all of a tree, whose owner may change it meanwhile, or have made it to be hard to go through. So nothing is
//! opened through a link or across a mount, and what is held in memory grows with the depth alone, by 32 bytes a level: the
//! entries of a directory come as they are read, and of the directories above few are open.

use std::ffi::CStr;
use std::fs::{File, Metadata};
use std::io;
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use crate::beneath;

/// Directories that are open at once; those above them are found again from below.
pub(crate) const OPEN: usize = 16;
/// For so many bytes of entries the kernel is asked at once.
const BUFFER: usize = 32 << 10;

/// A way that is under way.
#[derive(Debug)]
pub(crate) struct Walk {
    levels: Vec<Level>,
    is_cut_off: bool,
}

/// What came next.
pub(crate) enum Step {
    /// An entry of [`Walk::directory`].
    Entry(Entry),
    /// The end of a directory: back to the one above.
    Up,
    /// The end of all.
    End,
}

impl Walk {
    /// From this directory on.
    pub(crate) fn begin(root: File) -> io::Result<Self> {
        let mut walk = Self { levels: Vec::new(), is_cut_off: false };
        walk.enter(root)?;
        Ok(walk)
    }

    /// Goes on by one.
    pub(crate) fn step(&mut self) -> io::Result<Step> {
        let Some(level) = self.levels.last_mut() else { return Ok(Step::End) };
        match level.next()? {
            Some(entry) => Ok(Step::Entry(entry)),
            None => {
                self.leave()?;
                Ok(Step::Up)
            }
        }
    }

    /// The directory that it is in.
    pub(crate) fn directory(&self) -> Option<&File> {
        self.levels.last()?.open.as_ref().map(|open| &open.directory)
    }

    /// How many directories it is deep in, the first included; 0 at the end.
    pub(crate) fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Whether it came to its end because a directory was moved away under it.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// Goes into a directory in this one; `None`, and it stays, when there is no more such directory, or it is a mount.
    pub(crate) fn descend(&mut self, entry: &Entry) -> io::Result<Option<Metadata>> {
        let Some(directory) = self.directory() else { return Ok(None) };
        match beneath::subdirectory(directory, entry.c_name()) {
            Ok(below) => self.enter(below).map(Some),
            Err(error) if is_elsewhere(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn enter(&mut self, directory: File) -> io::Result<Metadata> {
        let found = directory.metadata()?;
        self.levels.push(Level::new(directory, (found.dev(), found.ino())));
        if let Some(above) = self.levels.len().checked_sub(OPEN + 1) {
            self.levels[above].open = None;
        }
        Ok(found)
    }

    /// Back to the directory above, if it is still the one that this came from.
    fn leave(&mut self) -> io::Result<()> {
        let Some(Level { open: Some(below), .. }) = self.levels.pop() else { return Ok(()) };
        let Some(above) = self.levels.last_mut().filter(|above| above.open.is_none()) else {
            return Ok(());
        };
        if !above.open_again(&below.directory)? {
            self.levels.clear();
            self.is_cut_off = true;
        }
        Ok(())
    }
}

/// It vanished, is a mount, or has become something else.
pub(crate) fn is_elsewhere(error: &io::Error) -> bool {
    let known = [libc::ENOENT, libc::ENOTDIR, libc::ELOOP, libc::EXDEV, libc::ESTALE];
    error.raw_os_error().is_some_and(|number| known.contains(&number))
}

/// A directory on the way down.
#[derive(Debug)]
struct Level {
    open: Option<Box<Open>>,
    id: (u64, u64),
    /// Where in the directory the last entry ended that was taken.
    taken: i64,
}

#[derive(Debug)]
struct Open {
    directory: File,
    buffer: Vec<u8>,
    at: usize,
}

impl Open {
    fn new(directory: File) -> Box<Self> {
        Box::new(Self { directory, buffer: Vec::new(), at: 0 })
    }

    /// Asks for more entries; `false` when there are none.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.resize(BUFFER, 0);
        // SAFETY: the kernel writes at most as many bytes as the buffer has, which outlives the call.
        let read = unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                self.directory.as_raw_fd(),
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

impl Level {
    fn new(directory: File, id: (u64, u64)) -> Self {
        Self { open: Some(Open::new(directory)), id, taken: 0 }
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
        self.open = Some(Open::new(directory));
        Ok(true)
    }

    fn next(&mut self) -> io::Result<Option<Entry>> {
        let Some(open) = &mut self.open else { return Ok(None) };
        loop {
            if open.at == open.buffer.len() && !open.fill()? {
                return Ok(None);
            }
            let Some((entry, length)) = Entry::first_of(&open.buffer[open.at..]) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            open.at += length;
            self.taken = entry.offset;
            if entry.name() != b"." && entry.name() != b".." {
                return Ok(Some(entry));
            }
        }
    }
}

/// An entry of a directory.
pub(crate) struct Entry {
    offset: i64,
    /// Unknown where the file system does not say.
    pub(crate) kind: u8,
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

    pub(crate) fn name(&self) -> &[u8] {
        self.name.strip_suffix(b"\0").unwrap_or(&self.name)
    }

    pub(crate) fn c_name(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.name).unwrap_or_default()
    }
}

/// Trees that are deeper than any path is long.
#[cfg(test)]
pub(crate) mod deep {
    use std::fs::File;
    use std::os::fd::AsRawFd;
    use std::path::Path;

    use nix::fcntl::OFlag;
    use nix::sys::stat::{Mode, mkdirat};
    use nix::unistd::{UnlinkatFlags, unlinkat};

    use crate::beneath;

    /// Makes `depth` directories `d` within each other, with a file `f` beside each, and gives the deepest.
    pub(crate) fn make(root: &Path, depth: usize) -> File {
        let mut directory = File::open(root).unwrap();
        for _ in 0..depth {
            mkdirat(&directory, "d", Mode::S_IRWXU).unwrap();
            std::fs::write(format!("/proc/self/fd/{}/f", directory.as_raw_fd()), "x").unwrap();
            directory = beneath::open(&directory, Path::new("d"), libc::O_DIRECTORY, 0).unwrap();
        }
        directory
    }

    /// Removes them from below: what removes the root knows no such depth.
    pub(crate) fn remove(mut deepest: File, depth: usize) {
        for _ in 0..depth {
            let above = nix::fcntl::openat(&deepest, "..", OFlag::O_DIRECTORY, Mode::empty()).unwrap();
            unlinkat(&above, "d", UnlinkatFlags::RemoveDir).unwrap();
            unlinkat(&above, "f", UnlinkatFlags::NoRemoveDir).unwrap();
            deepest = above.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_directories_are_open_and_a_level_takes_no_more_than_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let deepest = deep::make(dir.path(), 5000);
        let mut walk = Walk::begin(File::open(dir.path()).unwrap()).unwrap();
        let (mut entries, mut most_open, mut most_depth) = (0, 0, 0);
        loop {
            match walk.step().unwrap() {
                Step::Entry(entry) => {
                    entries += 1;
                    if entry.name() == b"d" {
                        walk.descend(&entry).unwrap().unwrap();
                    }
                }
                Step::Up => {}
                Step::End => break,
            }
            most_open = most_open.max(walk.levels.iter().filter(|level| level.open.is_some()).count());
            most_depth = most_depth.max(walk.depth());
        }
        assert_eq!((entries, most_open, most_depth, walk.is_cut_off()), (10_000, OPEN, 5001, false));
        assert_eq!(size_of::<Level>(), 32);
        deep::remove(deepest, 5000);
    }
}
