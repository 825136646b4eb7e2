//! A root file system of the container's own: layers under a writable directory, or one directory; then the way there, and
//! no way back.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::AtFlags;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{Gid, Uid, chdir, fchownat, pivot_root};
use serde::{Deserialize, Serialize};

use crate::ids::{IdRange, is_unmappable, shift};
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

/// A user namespace and its range, for a root whose files belong to the container's ids.
#[derive(Debug, Clone, Copy)]
pub struct Mapping<'a> {
    /// The namespace.
    pub namespace: BorrowedFd<'a>,
    /// Its ids on the host.
    pub range: IdRange,
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
            let layers =
                lower.iter().map(|layer| directory_of_agent(layer)).collect::<Result<Vec<_>, _>>()?;
            let (upper, work) = (directory_of_agent(upper)?, directory_of_agent(work)?);
            let Some(mapping) = mapping else {
                overlay(stage, &layers, &upper, &work, "")?;
                return Ok(stage.to_owned());
            };
            mapped_overlay(stage, &layers, &upper, &work, mapping)
        }
    }
}

/// Older kernels take a mapped layer only where it is mounted somewhere: below the stage, which goes with the host's files.
fn mapped_overlay(
    stage: &Path,
    layers: &[File],
    upper: &File,
    work: &File,
    mapping: Mapping<'_>,
) -> Result<PathBuf, IsolationError> {
    let first = (Uid::from_raw(mapping.range.first), Gid::from_raw(mapping.range.first));
    fchownat(upper, "", Some(first.0), Some(first.1), AtFlags::AT_EMPTY_PATH)
        .context("give away", "the writable directory of an image")?;
    Tree::new(c"tmpfs", &[], Restrictions::DATA)?.put(directory_of_agent(stage)?, stage.display())?;
    let place = stage.join("root");
    fs::create_dir(&place).context("create", place.display())?;
    let mapped = layers.iter().enumerate().map(|(number, layer)| {
        let tree = Tree::of(layer, "a layer")?;
        tree.map_ids(mapping.namespace, "a layer")?;
        let place = stage.join(number.to_string());
        fs::create_dir(&place).context("create", place.display())?;
        tree.put(directory_of_agent(&place)?, place.display())?;
        directory_of_agent(&place)
    });
    match mapped.collect::<Result<Vec<_>, _>>() {
        Ok(mapped) => overlay(&place, &mapped, upper, work, "")?,
        Err(error) if is_unmappable(&error) => {
            // With this option only owners are copied to the writable directory, and contents when they are written.
            overlay(&place, layers, upper, work, ",metacopy=on")?;
            // The root shows the owner of the writable directory, which must not count as a sign of being done.
            let zero = (Uid::from_raw(0), Gid::from_raw(0));
            fchownat(&directory_of_agent(&place)?, "", Some(zero.0), Some(zero.1), AtFlags::AT_EMPTY_PATH)
                .context("take back", "the writable directory of an image")?;
            shift(&place, mapping.range)?;
        }
        Err(error) => return Err(error),
    }
    Ok(place)
}

/// Layers are named by the number of their open file, so that hundreds of them fit the one page that `mount` takes.
fn overlay(
    place: &Path,
    lower: &[File],
    upper: &File,
    work: &File,
    more: &str,
) -> Result<(), IsolationError> {
    let name = |file: &File| format!("/proc/self/fd/{}", file.as_raw_fd());
    let layers: Vec<String> = lower.iter().map(name).collect();
    let options =
        format!("lowerdir={},upperdir={},workdir={}{more}", layers.join(":"), name(upper), name(work));
    mount(Some("overlay"), place, Some("overlay"), MsFlags::MS_NODEV, Some(options.as_str()))
        .context("mount the layers over", place.display())
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

fn directory_of_agent(path: &Path) -> Result<File, IsolationError> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(path)
        .context("open the directory", path.display())
}
