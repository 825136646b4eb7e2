//! A root file system of the container's own: layers under a writable directory, or one directory; then the way there, and
//! no way back.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};
use nix::unistd::{chdir, pivot_root};
use serde::{Deserialize, Serialize};

use crate::ids::{Mapping, shift};
use crate::layers::{Layers, Writable, overlay};
use crate::trees::{Restrictions, Tree, make_read_only};
use crate::{Context, IsolationError};

/// What a container's root is made of. All paths are the host's, belong to the agent, and are no links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RootSource {
    /// Directories over each other, by overlayfs. Several containers may share the lower ones.
    Overlay {
        /// The layers, the uppermost first. At least one; some two hundred fit.
        lower: Vec<PathBuf>,
        /// What the container writes; its own. Empty at first, and on a file system that overlayfs can write to.
        upper: PathBuf,
        /// An empty directory on the file system of `upper`, for overlayfs' use.
        work: PathBuf,
    },
    /// One directory, which belongs to this container alone: `/etc/hosts` and mount points are written to it, and with a user
    /// namespace its files are given to that.
    Directory(PathBuf),
}

/// Mounts it below `stage`, a directory that nobody needs in this mount namespace, and says where. Device nodes in it do not
/// work. With a mapping the files that belong to 0 belong to the container's root: layers by mapped mounts where their file
/// systems can. Otherwise, and in a single directory, each file is given away, which takes as long as it takes.
///
/// # Errors
/// Names the directory.
pub fn mount_below(
    stage: &Path,
    source: &RootSource,
    mapping: Option<Mapping<'_>>,
) -> Result<PathBuf, IsolationError> {
    match source {
        RootSource::Directory(directory) => {
            if let Some(mapping) = mapping {
                shift(directory, mapping.range)?;
            }
            let tree = Tree::of(directory_of_agent(directory)?, directory.display())?;
            tree.restrict(Restrictions::NO_DEVICES)?;
            tree.put(directory_of_agent(stage)?, stage.display())?;
            Ok(stage.to_owned())
        }
        RootSource::Overlay { lower, upper, work } => {
            let opened =
                lower.iter().map(|layer| directory_of_agent(layer)).collect::<Result<Vec<_>, _>>()?;
            let (upper, work) = (directory_of_agent(upper)?, directory_of_agent(work)?);
            let writable = Writable { upper: &upper, work: &work };
            let Some(mapping) = mapping else {
                overlay(stage, &opened, Some(writable), "")?;
                return Ok(stage.to_owned());
            };
            let layers = Layers::of(&opened, Some(mapping))?;
            drop(opened); // there may be hundreds
            // The stage goes with the host's files.
            Tree::new(c"tmpfs", &[], Restrictions::DATA)?.put(directory_of_agent(stage)?, stage.display())?;
            layers.put(stage, writable, mapping)
        }
    }
}

/// Makes the file system that is mounted at `place` the root of this process and its mount namespace; the old one is gone
/// from it, with everything that is mounted there.
///
/// # Errors
/// The kernel's.
pub fn enter(place: &Path) -> Result<File, IsolationError> {
    chdir(place).context("change to", place.display())?;
    pivot_root(".", ".").context("make the root of the container", place.display())?;
    // The old root lies over the new one now.
    umount2(".", MntFlags::MNT_DETACH).context("let go of", "the host's files")?;
    chdir("/").context("change to", "/")?;
    directory_of_agent(Path::new("/"))
}

/// Makes the root read-only; what is mounted below it stays as it is.
///
/// # Errors
/// The kernel's.
pub fn freeze(root: impl AsFd) -> Result<(), IsolationError> {
    make_read_only(root, "/")
}

/// Goes to a directory within the root, made if it is not there, and makes sure that this is where the process is then.
///
/// # Errors
/// Names the path; also when it leads out of the root, by a link of `/proc` for instance.
pub fn change_directory(root: &File, path: &Path) -> Result<(), IsolationError> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let opened = match crate::beneath::open_within(root, path, flags, 0) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            crate::places::make(root, path, crate::places::Kind::Directory)?
        }
        result => result.context("change to", path.display())?,
    };
    nix::unistd::fchdir(&opened).context("change to", path.display())?;
    let now = nix::unistd::getcwd().context("ask for the directory after changing to", path.display())?;
    if now.is_absolute() {
        return Ok(());
    }
    Err(IsolationError::invalid("change to", path.display(), "it is outside the container"))
}

pub(crate) fn directory_of_agent(path: &Path) -> Result<File, IsolationError> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(path)
        .context("open the directory", path.display())
}
