//! From what a description wants to show in a container to what its shim mounts there.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chapada_images::RootFs;
use chapada_isolation::beneath;
use chapada_model::{Resource, Resources};
use chapada_shim::{ContainerSpec, VolumeMount, VolumeSource};
use nix::libc;

use super::Means;
use super::mounts::{Mount, Origin};

/// What memory without a size holds at most in a container whose own memory has no limit.
const MEMORY_BYTES: u64 = 64 << 20;
/// Tasks of a pod have users of their own, and share what they make.
const SHARED: u32 = 0o777;

/// What the tasks of a pod share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The sandbox of their executor.
    sandbox: PathBuf,
    /// Volumes of the executor, by their places in its sandbox.
    volumes: Vec<VolumeMount>,
}

impl Shared {
    /// `volumes` are the persistent ones of the executor, `mounts` those of its container.
    pub(super) fn new(sandbox: PathBuf, mut volumes: Vec<VolumeMount>, mounts: Vec<Mount>) -> Self {
        volumes.extend(mounts.into_iter().filter_map(|Mount { origin, target, read_only }| {
            let source = match origin {
                Origin::Host(found) => VolumeSource::Host { root: found.root, path: found.path, give: false },
                // As the sandbox has it, whatever the name.
                Origin::Own(path) => VolumeSource::Sandbox { path },
                Origin::Parent(_) | Origin::Memory(_) | Origin::Secret(_) | Origin::Image(_) => return None,
            };
            Some(VolumeMount { source, target, read_only })
        }));
        Self { sandbox, volumes }
    }

    /// Something in the sandbox of the executor, and whether it may only be read: a part of one of the executor's volumes, or
    /// a directory that is made there.
    fn find(&self, path: &Path) -> io::Result<(VolumeSource, bool)> {
        let of_volume = self.volumes.iter().find_map(|volume| {
            let rest = path.strip_prefix(&volume.target).ok()?;
            let below = |above: &Path| above.components().chain(rest.components()).collect::<PathBuf>();
            Some((volume, below))
        });
        let (path, read_only) = match of_volume {
            Some((VolumeMount { source: VolumeSource::Host { root, path, .. }, read_only, .. }, below)) => {
                let source = VolumeSource::Host { root: root.clone(), path: below(path), give: false };
                return Ok((source, *read_only));
            }
            Some((VolumeMount { source: VolumeSource::Sandbox { path }, read_only, .. }, below)) => {
                (below(path), *read_only)
            }
            Some(_) | None => (path.to_owned(), false),
        };
        make_shared(&self.sandbox, &path)?;
        Ok((VolumeSource::without_links(&self.sandbox.join(path)), read_only))
    }
}

/// Makes a directory that every user may write to, beneath one that only its pod reaches. One that is there stays as it is. The
/// sandbox may be one within another, which that one's user can bend.
fn make_shared(sandbox: &Path, path: &Path) -> io::Result<()> {
    let above =
        beneath::directory_without_links(sandbox).map_err(|error| io::Error::other(error.to_string()))?;
    let is_there = match beneath::open(&above, path, libc::O_PATH | libc::O_NOFOLLOW, 0) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        opened => opened.map(|_| true)?,
    };
    if is_there {
        return Ok(());
    }
    beneath::make_or_open(&above, path)?;
    let made = beneath::open(&above, path, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW, 0)?;
    made.set_permissions(Permissions::from_mode(SHARED))
}

/// Adds volumes to a spec, whose memory limit is set already. `images` are what has been made for those of images, in order.
///
/// # Errors
/// The kernel's, when a directory to share cannot be made.
pub(super) fn add(
    spec: &mut ContainerSpec,
    mounts: Vec<Mount>,
    shared: &Shared,
    images: Vec<RootFs>,
) -> io::Result<()> {
    let mut images = images.into_iter();
    for Mount { origin, target, mut read_only } in mounts {
        let source = match origin {
            Origin::Host(found) => VolumeSource::Host { root: found.root, path: found.path, give: false },
            Origin::Own(path) => VolumeSource::Sandbox { path },
            Origin::Parent(path) => {
                let (source, only) = shared.find(&path)?;
                read_only |= only;
                source
            }
            Origin::Memory(size) => {
                let size = size.or(spec.resources.memory_bytes).unwrap_or(MEMORY_BYTES);
                VolumeSource::Memory { size_bytes: size }
            }
            Origin::Secret(value) => VolumeSource::Secret { content: value.0 },
            Origin::Image(_) => match images.next() {
                Some(RootFs::Overlay { lower, .. }) => VolumeSource::Layers { lower },
                Some(RootFs::Directory(root)) => {
                    VolumeSource::Host { root, path: PathBuf::new(), give: false }
                }
                None => return Err(io::Error::other("an image of a volume was not made")),
            },
        };
        spec.volumes.push(VolumeMount { source, target, read_only });
    }
    Ok(())
}

/// Whether a directory is as the agent made it.
fn is_nobodys(directory: &Path) -> bool {
    std::fs::symlink_metadata(directory).is_ok_and(|found| (found.uid(), found.gid()) == (0, 0))
}

/// The persistent volumes among resources. Blocks for a look at the shared ones.
pub(super) fn persistent(means: &Means, resources: &Resources) -> Vec<VolumeMount> {
    let mount = |resource: &Resource| {
        let place = means.supplies.volumes.place(resource)?;
        let target = resource.disk.as_ref()?.volume.as_ref()?.container_path.to_string().into();
        // A shared one is its first user's: whoever comes later does not take it from who has it.
        let give = !resource.shared || is_nobodys(&place.root.join(&place.path));
        let source = VolumeSource::Host { root: place.root, path: place.path, give };
        Some(VolumeMount { source, target, read_only: false })
    };
    resources.iter().filter_map(mount).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::policy::HostPath;

    fn host(root: &Path, path: &str) -> VolumeSource {
        VolumeSource::Host { root: root.to_owned(), path: path.into(), give: false }
    }

    #[test]
    fn what_a_pod_shares_is_made_within_and_no_link_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let sandbox = directory.path().join("sandbox");
        fs::create_dir(&sandbox).unwrap();
        let shared = Shared::new(sandbox.clone(), Vec::new(), Vec::new());
        let in_sandbox = |path: &str| VolumeSource::without_links(&sandbox.join(path));
        assert_eq!(shared.find(Path::new("a/b")).unwrap(), (in_sandbox("a/b"), false));
        let mode = fs::metadata(sandbox.join("a/b")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, SHARED);
        // A task that has `a` puts a link where another expects a directory.
        symlink(directory.path(), sandbox.join("a/link")).unwrap();
        assert!(shared.find(Path::new("a/link/x")).is_err());
        assert!(!directory.path().join("x").exists());
        // Or one above, where the sandbox is one within another.
        symlink(&sandbox, directory.path().join("bent")).unwrap();
        fs::create_dir(sandbox.join("inner")).unwrap();
        let inner = Shared::new(directory.path().join("bent/inner"), Vec::new(), Vec::new());
        assert!(inner.find(Path::new("c")).is_err() && !sandbox.join("inner/c").exists());
    }

    #[test]
    fn a_volume_of_the_executor_is_shared_by_its_place_and_not_for_more() {
        let directory = tempfile::tempdir().unwrap();
        let source = VolumeSource::Host { root: "/volumes".into(), path: "r/v".into(), give: true };
        let volume = VolumeMount { source, target: "data".into(), read_only: false };
        let of_machine = HostPath { root: "/etc".into(), path: PathBuf::new() };
        let mounts = vec![
            Mount { origin: Origin::Host(of_machine), target: "etc".into(), read_only: true },
            Mount { origin: Origin::Own("mine".into()), target: "also".into(), read_only: false },
        ];
        let shared = Shared::new(directory.path().to_owned(), vec![volume], mounts);
        let in_sandbox = |path: &str| VolumeSource::without_links(&directory.path().join(path));
        assert_eq!(
            shared.find(Path::new("data/deep")).unwrap(),
            (host(Path::new("/volumes"), "r/v/deep"), false)
        );
        assert_eq!(shared.find(Path::new("etc/ssl")).unwrap(), (host(Path::new("/etc"), "ssl"), true));
        assert_eq!(shared.find(Path::new("also/x")).unwrap(), (in_sandbox("mine/x"), false));
        assert_eq!(shared.find(Path::new("database")).unwrap(), (in_sandbox("database"), false));
    }
}
