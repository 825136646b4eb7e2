//! Directories that a layer's archive did not bring itself have a made-up owner and mode, and being above the real ones they
//! would win. So an image with such layers gets a layer of its own over them, with nothing but directories as they were.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid, chownat, fchmod, fstat, openat2,
};
use rustix::io::Errno;

use crate::unpack::{FILES, read_implicit};

/// A layer, and which of its directories are made up.
pub(super) struct Layer {
    files: OwnedFd,
    implicit: HashSet<PathBuf>,
}

/// What a layer has at a path.
enum Found {
    Nothing,
    MadeUp,
    Directory(Stat),
    Other,
}

impl Layer {
    fn open(directory: &Path) -> io::Result<Self> {
        let files = File::open(directory.join(FILES))?.into();
        Ok(Self { files, implicit: read_implicit(directory)?.into_iter().collect() })
    }

    fn at(&self, path: &Path) -> io::Result<Found> {
        let name = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat2(&self.files, name, flags, Mode::empty(), resolve) {
            Err(Errno::NOENT) => Ok(Found::Nothing),
            Err(Errno::LOOP | Errno::NOTDIR) => Ok(Found::Other),
            Err(error) => Err(error.into()),
            Ok(opened) => {
                let stat = fstat(opened)?;
                Ok(match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory if self.implicit.contains(path) => Found::MadeUp,
                    FileType::Directory => Found::Directory(stat),
                    _ => Found::Other,
                })
            }
        }
    }
}

/// The uppermost real directory at `path`, and whether a made-up one lies over it.
fn uppermost(layers: &[Layer], path: &Path) -> io::Result<Option<(Stat, bool)>> {
    let mut covered = false;
    for layer in layers.iter().rev() {
        match layer.at(path)? {
            Found::Nothing => {}
            Found::MadeUp => covered = true,
            Found::Directory(stat) => return Ok(Some((stat, covered))),
            Found::Other => return Ok(None),
        }
    }
    Ok(None)
}

/// The owner and mode of the root of these layers, the lowest first.
pub(super) fn root(layers: &[PathBuf]) -> io::Result<Option<Stat>> {
    let layers = layers.iter().map(|layer| Layer::open(layer)).collect::<io::Result<Vec<_>>>()?;
    Ok(uppermost(&layers, Path::new(""))?.map(|(stat, _)| stat))
}

/// Makes the layer for the top of these, the lowest first; an empty directory in most cases.
pub(super) fn build(layers: &[PathBuf], directory: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o755).create(directory)?;
    let layers = layers.iter().map(|layer| Layer::open(layer)).collect::<io::Result<Vec<_>>>()?;
    let suspects: BTreeSet<&PathBuf> = layers.iter().flat_map(|layer| &layer.implicit).collect();
    let mut wanted = BTreeMap::new();
    for path in suspects.into_iter().filter(|path| !path.as_os_str().is_empty()) {
        if let Some((stat, true)) = uppermost(&layers, path)? {
            wanted.insert(path.clone(), stat);
        }
    }
    // The way there covers directories too.
    let ways: Vec<PathBuf> =
        wanted.keys().flat_map(|path| path.ancestors().skip(1)).map(Path::to_owned).collect();
    for way in ways.into_iter().filter(|way| !way.as_os_str().is_empty()) {
        if let Some((stat, _)) = uppermost(&layers, &way)? {
            wanted.insert(way, stat);
        }
    }
    for (path, stat) in wanted {
        let place = directory.join(path);
        fs::create_dir_all(&place)?;
        own(&place, &stat)?;
    }
    Ok(())
}

/// Gives a directory the owner and mode of another.
pub(super) fn own(directory: &Path, like: &Stat) -> io::Result<()> {
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    chownat(CWD, directory, Some(Uid::from_raw(like.st_uid)), Some(Gid::from_raw(like.st_gid)), flags)?;
    Ok(fchmod(File::open(directory)?, Mode::from_raw_mode(like.st_mode & 0o7777))?)
}
