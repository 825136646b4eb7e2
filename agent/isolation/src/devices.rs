//! A minimal `/dev`: the harmless nodes, terminals and shared memory of the container's own, nothing of the machine's.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, makedev, mknod, umask};

use serde::{Deserialize, Serialize};

use crate::cgroup::{DeviceKind, DeviceRule};
use crate::mounts::memory;
use crate::places::own_directory;
use crate::trees::{Restrictions, Tree};
use crate::{Context, IsolationError};

/// Name and number of the nodes, all character devices. Source: Linux `Documentation/admin-guide/devices.txt`.
const NODES: [(&str, u64, u64); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];
/// The group of terminals on Debian and others, so that `write` and `wall` work.
const TTY_GROUP: u32 = 5;
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
];

/// A node of `/dev` beyond those that every container has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its path below `/dev`, of plain names: `nvidia0`, `dri/card0`.
    pub name: PathBuf,
    /// The device, and what may be done with it. Its number is that of one device.
    pub rule: DeviceRule,
}

impl Device {
    /// Makes the node, for `owner`.
    ///
    /// # Errors
    /// Names the path; `EEXIST` when it is one of ours.
    pub fn make(&self, owner: (u32, u32)) -> Result<(), IsolationError> {
        let path = Path::new("/dev").join(&self.name);
        let Some(minor) = self.rule.minor else {
            return Err(IsolationError::invalid(
                "make the device",
                path.display(),
                "its rule has no minor number",
            ));
        };
        let kind = match self.rule.kind {
            DeviceKind::Character => SFlag::S_IFCHR,
            DeviceKind::Block => SFlag::S_IFBLK,
        };
        if let Some(above) = path.parent() {
            std::fs::create_dir_all(above).context("create", above.display())?;
        }
        let number = makedev(self.rule.major.into(), minor.into());
        mknod(&path, kind, Mode::from_bits_truncate(0o600), number)
            .context("make the device", path.display())?;
        chown(&path, Some(owner.0), Some(owner.1)).context("give away the device", path.display())
    }
}

/// Mounts the new `/dev` below this root for a container whose root is `owner` on the host, `/dev/shm` of so many bytes. Call it in a mount namespace of the container's own.
///
/// # Errors
/// Names the path; `EPERM` without the capability MKNOD.
pub fn minimal(root: impl AsFd, shm_bytes: u64, owner: u32) -> Result<(), IsolationError> {
    let id = owner.to_string();
    let id = Some(id.as_str());
    let options = [(c"size", Some("64k")), (c"mode", Some("0755")), (c"uid", id), (c"gid", id)];
    let restrictions = Restrictions::NO_SUID.and(Restrictions::NO_EXEC);
    Tree::new(c"tmpfs", &options, restrictions)?.put(own_directory(root, Path::new("dev"))?, "/dev")?;
    let before = umask(Mode::empty());
    let made = fill(shm_bytes, owner);
    umask(before);
    made
}

fn fill(shm_bytes: u64, owner: u32) -> Result<(), IsolationError> {
    let all = Mode::from_bits_truncate(0o666);
    for (path, major, minor) in NODES {
        mknod(path, SFlag::S_IFCHR, all, makedev(major, minor)).context("make the device", path)?;
        if owner != 0 {
            chown(path, Some(owner), Some(owner)).context("give away the device", path)?;
        }
    }
    for (target, path) in LINKS {
        symlink(target, path).context("link", path)?;
    }
    for path in ["/dev/pts", "/dev/shm", "/dev/mqueue"] {
        nix::unistd::mkdir(path, Mode::from_bits_truncate(0o755)).context("create", path)?;
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let options = format!("newinstance,ptmxmode=0666,mode=0620,gid={}", owner + TTY_GROUP);
    mount(Some("devpts"), "/dev/pts", Some("devpts"), flags, Some(options.as_str()))
        .context("mount", "/dev/pts")?;
    memory(
        Path::new("/dev/shm"),
        flags | MsFlags::MS_NODEV,
        &format!("size={shm_bytes},mode=1777,uid={owner},gid={owner}"),
    )?;
    match mount(Some("mqueue"), "/dev/mqueue", Some("mqueue"), flags | MsFlags::MS_NODEV, None::<&str>) {
        Err(nix::errno::Errno::ENODEV) => Ok(()), // a kernel without message queues
        result => result.map_err(io::Error::from).context("mount", "/dev/mqueue"),
    }
}
