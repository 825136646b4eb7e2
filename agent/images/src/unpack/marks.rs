//! What a layer says about the layers below it: what it deletes and what it hides.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, XattrFlags, fsetxattr, mknodat, statat};
use rustix::io::Errno;

/// How deletions are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// As overlayfs reads them: character devices 0/0, and an attribute.
    Overlay,
    /// In a list, for copying.
    List,
}

/// The list of [`Format::List`], in a layer's directory.
const MARKS: &str = "marks";
/// The directories that the archive did not bring itself, in a layer's directory. Their owner and mode are made up.
const IMPLICIT: &str = "implicit";
/// More than that, and building an image of such layers would take long.
pub(super) const MAX_IMPLICIT: usize = 10_000;
/// Longer than any path the kernel takes.
const MAX_RECORD: u64 = 8192;

/// The attribute by which a directory hides those below it. Source: the kernel's overlayfs documentation.
const OPAQUE: &str = "trusted.overlay.opaque";

/// One deletion.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing of that name is below.
    Whiteout(PathBuf),
    /// Nothing in the directory of that name is below.
    Opaque(PathBuf),
}

/// Where deletions go.
pub(super) struct Marks {
    list: Option<BufWriter<File>>,
}

impl Marks {
    pub(super) fn create(layer: &Path, format: Format) -> io::Result<Self> {
        let list = (format == Format::List).then(|| File::create(layer.join(MARKS))).transpose()?;
        Ok(Self { list: list.map(BufWriter::new) })
    }

    /// Nothing of that name is below. It deletes nothing that this layer brings itself.
    pub(super) fn whiteout(&mut self, parent: impl AsFd, name: &Path, path: &Path) -> io::Result<()> {
        if let Some(list) = &mut self.list {
            return write(list, b'w', path);
        }
        match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0)?),
            Ok(found) if FileType::from_raw_mode(found.st_mode).is_dir() => {
                let flags =
                    rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC;
                self.opaque(rustix::fs::openat(parent, name, flags, Mode::empty())?, path)
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Nothing in this directory is below.
    pub(super) fn opaque(&mut self, directory: impl AsFd, path: &Path) -> io::Result<()> {
        match &mut self.list {
            Some(list) => write(list, b'o', path),
            None => Ok(fsetxattr(directory, OPAQUE, b"y", XattrFlags::empty())?),
        }
    }

    /// Whether what is there is a deletion that was noted before.
    pub(super) fn is_whiteout(&self, found: &rustix::fs::Stat) -> bool {
        self.list.is_none() && FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.list.map_or(Ok(()), |mut list| list.flush())
    }
}

fn write(list: &mut impl Write, kind: u8, path: &Path) -> io::Result<()> {
    list.write_all(&[kind])?;
    list.write_all(path.as_os_str().as_bytes())?;
    list.write_all(&[0])
}

/// Reads the list of a layer, in the order of its archive.
pub(crate) fn read_marks(layer: &Path, mut take: impl FnMut(Mark) -> io::Result<()>) -> io::Result<()> {
    for record in records(&layer.join(MARKS))? {
        let record = record?;
        let (kind, path) = record.split_first().ok_or(io::ErrorKind::InvalidData)?;
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(path));
        take(if *kind == b'o' { Mark::Opaque(path) } else { Mark::Whiteout(path) })?;
    }
    Ok(())
}

pub(super) fn write_implicit(layer: &Path, directories: &BTreeSet<PathBuf>) -> io::Result<()> {
    let mut list = BufWriter::new(File::create(layer.join(IMPLICIT))?);
    for directory in directories {
        write(&mut list, b'd', directory)?;
    }
    list.flush()
}

/// The directories that a layer's archive did not bring itself; the root is an empty path.
pub(crate) fn read_implicit(layer: &Path) -> io::Result<Vec<PathBuf>> {
    let path = |record: io::Result<Vec<u8>>| {
        record.map(|record| PathBuf::from(std::ffi::OsStr::from_bytes(record.get(1..).unwrap_or_default())))
    };
    records(&layer.join(IMPLICIT))?.map(path).collect()
}

fn records(path: &Path) -> io::Result<impl Iterator<Item = io::Result<Vec<u8>>>> {
    use std::io::Read;
    let mut reader = BufReader::new(File::open(path)?);
    Ok(std::iter::from_fn(move || {
        let mut record = Vec::new();
        match reader.by_ref().take(MAX_RECORD).read_until(0, &mut record) {
            Ok(0) => None,
            Ok(_) if record.pop() == Some(0) => Some(Ok(record)),
            Ok(_) => Some(Err(io::ErrorKind::InvalidData.into())),
            Err(error) => Some(Err(error)),
        }
    }))
}
