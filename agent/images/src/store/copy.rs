//! Layers copied over each other, where overlayfs cannot lay them. Nobody else touches either side meanwhile.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chmodat,
    chownat, mknodat, openat2, utimensat,
};
use rustix::io::Errno;

use super::paths::remove;
use crate::unpack::{FILES, Mark, Watch, copy_xattrs, read_implicit, read_marks};

/// Lays one layer over what is in `root`: first what it deletes, then what it brings.
pub(super) fn apply(layer: &Path, root: &Path, watch: &Watch) -> io::Result<()> {
    let opened = File::open(root)?;
    read_marks(layer, |mark| match mark {
        Mark::Whiteout(path) => {
            let parent = path.parent().unwrap_or(Path::new(""));
            let inside = real_directory(&opened, parent)?;
            inside.map_or(Ok(()), |_| remove(&root.join(path)))
        }
        Mark::Opaque(path) => match real_directory(&opened, &path)? {
            Some(_) => fs::read_dir(root.join(path))?.try_for_each(|entry| remove(&entry?.path())),
            None => Ok(()),
        },
    })?;
    let implicit = read_implicit(layer)?.into_iter().collect();
    Copy { from: &layer.join(FILES), to: root, implicit, links: HashMap::new(), watch }.all()
}

/// The directory at `path`, unless a link is on the way, which would lead elsewhere than it does in the container.
fn real_directory(root: &File, path: &Path) -> io::Result<Option<File>> {
    let name = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat2(root, name, flags, Mode::empty(), resolve) {
        Ok(directory) => Ok(Some(directory.into())),
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

struct Copy<'a> {
    from: &'a Path,
    to: &'a Path,
    implicit: HashSet<PathBuf>,
    /// Files with several names, by number.
    links: HashMap<u64, PathBuf>,
    watch: &'a Watch,
}

impl Copy<'_> {
    fn all(mut self) -> io::Result<()> {
        let mut open = vec![PathBuf::new()];
        let mut times = Vec::new();
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(self.from.join(&directory))? {
                self.watch.check()?;
                let path = directory.join(entry?.file_name());
                let metadata = fs::symlink_metadata(self.from.join(&path))?;
                if metadata.is_dir() {
                    self.directory(&path, &metadata)?;
                    times.push((path.clone(), metadata));
                    open.push(path);
                } else {
                    self.file(&path, &metadata)?;
                }
            }
        }
        times.iter().rev().try_for_each(|(path, metadata)| set_times(&self.to.join(path), metadata))
    }

    fn directory(&self, path: &Path, metadata: &fs::Metadata) -> io::Result<()> {
        let to = self.to.join(path);
        let there = fs::symlink_metadata(&to).ok();
        match there {
            // Its owner and mode are made up here, and real there.
            Some(there) if there.is_dir() && self.implicit.contains(path) => return Ok(()),
            Some(there) if there.is_dir() => {}
            Some(_) | None => {
                remove(&to)?;
                fs::create_dir(&to)?;
            }
        }
        dress(&to, metadata)?;
        copy_xattrs(File::open(self.from.join(path))?, File::open(&to)?).map_err(io::Error::from)
    }

    fn file(&mut self, path: &Path, metadata: &fs::Metadata) -> io::Result<()> {
        let (from, to) = (self.from.join(path), self.to.join(path));
        remove(&to)?;
        if metadata.nlink() > 1 {
            if let Some(first) = self.links.get(&metadata.ino()) {
                return fs::hard_link(first, to);
            }
            self.links.insert(metadata.ino(), to.clone());
        }
        let kind = metadata.file_type();
        if kind.is_symlink() {
            symlink(fs::read_link(from)?, &to)?;
            chownat(
                CWD,
                &to,
                Some(Uid::from_raw(metadata.uid())),
                Some(Gid::from_raw(metadata.gid())),
                AtFlags::SYMLINK_NOFOLLOW,
            )?;
        } else if kind.is_fifo() {
            mknodat(CWD, &to, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
            dress(&to, metadata)?;
        } else {
            let (source, mut copy) = (File::open(from)?, File::create_new(&to)?);
            // By the kernel, and on some file systems without a copy.
            io::copy(&mut &source, &mut copy)?;
            dress(&to, metadata)?;
            copy_xattrs(&source, &copy)?;
        }
        set_times(&to, metadata)
    }
}

/// For what is no link.
fn dress(path: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    chownat(
        CWD,
        path,
        Some(Uid::from_raw(metadata.uid())),
        Some(Gid::from_raw(metadata.gid())),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    Ok(chmodat(CWD, path, Mode::from_raw_mode(metadata.mode() & 0o7777), AtFlags::empty())?)
}

fn set_times(path: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: metadata.mtime(), tv_nsec: metadata.mtime_nsec() },
    };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
