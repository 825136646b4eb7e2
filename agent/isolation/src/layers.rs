//! Layers of an image: held where every path still is the host's, and put over each other by overlayfs. In a user namespace the
//! files that belong to 0 belong to its root: by mapped mounts where their file systems can, otherwise file by file.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use nix::fcntl::AtFlags;
use nix::mount::{MsFlags, mount};
use nix::unistd::{Gid, Uid, fchownat};

use crate::ids::{IdRange, Mapping, is_unmappable, shift};
use crate::root::directory_of_agent;
use crate::trees::Tree;
use crate::{Context, IsolationError};

/// Layers that are nowhere yet, the uppermost first.
#[derive(Debug)]
pub struct Layers {
    trees: Vec<Tree>,
    /// Whose they are to be, if a file system of theirs cannot be mapped.
    unmapped: Option<IdRange>,
}

/// Where overlayfs writes: two directories of one file system, the second one empty.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writable<'a> {
    pub(crate) upper: &'a File,
    pub(crate) work: &'a File,
}

impl Layers {
    /// Takes hold of these directories.
    ///
    /// # Errors
    /// The kernel's.
    pub fn of(opened: &[File], mapping: Option<Mapping<'_>>) -> Result<Self, IsolationError> {
        let hold = |mapping: Option<Mapping<'_>>| {
            let hold_one = |layer| {
                let tree = Tree::of(layer, "a layer")?;
                mapping.map_or(Ok(()), |mapping| tree.map_ids(mapping.namespace, "a layer"))?;
                Ok(tree)
            };
            opened.iter().map(hold_one).collect::<Result<Vec<_>, IsolationError>>()
        };
        match (hold(mapping), mapping) {
            (Err(error), Some(mapping)) if is_unmappable(&error) => {
                Ok(Self { trees: hold(None)?, unmapped: Some(mapping.range) })
            }
            (trees, _) => Ok(Self { trees: trees?, unmapped: None }),
        }
    }

    /// Mounts them as one below `stage`, a directory in memory of its own, and says where. To be read: what may have been
    /// written to there, to give files away, is not the layers.
    ///
    /// # Errors
    /// The kernel's; those of [`shift`].
    pub fn put_to_be_read(&self, stage: &Path) -> Result<PathBuf, IsolationError> {
        let lower = self.put_below(stage)?;
        let place = || directory(stage, "whole");
        match (self.unmapped, lower.as_slice()) {
            (None, [_]) => Ok(stage.join("0")),
            (None, _) => place().and_then(|place| overlay(&place, &lower, None, "").map(|()| place)),
            (Some(range), _) => {
                let (upper, work) = (directory(stage, "upper")?, directory(stage, "work")?);
                lower.first().map_or(Ok(()), |first| liken(&upper, first))?;
                let (upper, work) = (directory_of_agent(&upper)?, directory_of_agent(&work)?);
                give_away(&place()?, &lower, Writable { upper: &upper, work: &work }, range)
            }
        }
    }

    /// Mounts them as one below `stage`, a directory in memory of its own, and what is written over them; says where.
    ///
    /// # Errors
    /// The kernel's; those of [`shift`].
    pub(crate) fn put(
        &self,
        stage: &Path,
        writable: Writable<'_>,
        mapping: Mapping<'_>,
    ) -> Result<PathBuf, IsolationError> {
        let lower = self.put_below(stage)?;
        let place = directory(stage, "whole")?;
        // The whole shows the owner of the writable directory, which must not count as a sign of being given away.
        let owner = if self.unmapped.is_some() { 0 } else { mapping.range.first };
        let (uid, gid) = (Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)));
        fchownat(writable.upper, "", uid, gid, AtFlags::AT_EMPTY_PATH)
            .context("give away", "the writable directory of an image")?;
        match self.unmapped {
            None => overlay(&place, &lower, Some(writable), "").map(|()| place),
            Some(range) => give_away(&place, &lower, writable, range),
        }
    }

    /// Older kernels take a mapped layer only where it is mounted somewhere.
    fn put_below(&self, stage: &Path) -> Result<Vec<File>, IsolationError> {
        let put = |(number, tree): (usize, &Tree)| {
            let place = directory(stage, &number.to_string())?;
            tree.put(directory_of_agent(&place)?, place.display())?;
            directory_of_agent(&place)
        };
        self.trees.iter().enumerate().map(put).collect()
    }
}

/// Only owners are copied to the writable directory, and contents when they are written.
fn give_away(
    place: &Path,
    lower: &[File],
    writable: Writable<'_>,
    range: IdRange,
) -> Result<PathBuf, IsolationError> {
    overlay(place, lower, Some(writable), ",metacopy=on")?;
    shift(place, range)?;
    Ok(place.to_owned())
}

/// Layers are named by the number of their open file, so that hundreds of them fit the one page that `mount` takes.
pub(crate) fn overlay(
    place: &Path,
    lower: &[File],
    writable: Option<Writable<'_>>,
    more: &str,
) -> Result<(), IsolationError> {
    let name = |file: &File| format!("/proc/self/fd/{}", file.as_raw_fd());
    let layers: Vec<String> = lower.iter().map(name).collect();
    let mut options = format!("lowerdir={}", layers.join(":"));
    if let Some(Writable { upper, work }) = writable {
        options += &format!(",upperdir={},workdir={}{more}", name(upper), name(work));
    }
    mount(Some("overlay"), place, Some("overlay"), MsFlags::MS_NODEV, Some(options.as_str()))
        .context("mount the layers over", place.display())
}

/// What is uppermost says how the whole looks.
fn liken(upper: &Path, layer: &File) -> Result<(), IsolationError> {
    let change = || {
        let found = layer.metadata()?;
        chown(upper, Some(found.uid()), Some(found.gid()))?;
        fs::set_permissions(upper, found.permissions())
    };
    change().context("make like the layer", upper.display())
}

fn directory(stage: &Path, name: &str) -> Result<PathBuf, IsolationError> {
    let path = stage.join(name);
    fs::create_dir(&path).context("create", path.display()).map(|()| path)
}
