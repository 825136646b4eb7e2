//! Project quota: the kernel counts what a tree takes on its disk and refuses more, where the file system is mounted with it
//! (`prjquota` of xfs and ext4).
//!
//! A project is a number on each file; new files have that of the directory they are made in. No directory is reached through a
//! link: that of a container within another is beneath what the other can bend.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::{Context, IsolationError, beneath};

// Source: `linux/fs.h`, `linux/quota.h`.
const FS_IOC_FSGETXATTR: libc::c_ulong = 0x801c_581f;
const FS_IOC_FSSETXATTR: libc::c_ulong = 0x401c_5820;
const FS_XFLAG_PROJINHERIT: u32 = 0x200;
const PROJECTS: u32 = 2;
const Q_GETQUOTA: u32 = 0x80_0007;
const Q_SETQUOTA: u32 = 0x80_0008;
const QIF_BLIMITS: u32 = 1;
const QIF_ILIMITS: u32 = 4;
/// The unit of limits.
const UNIT: u64 = 1024;

/// What the kernel knows of a project.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProjectUsage {
    /// Bytes that are allocated, in files without a name, too.
    pub bytes: u64,
    /// Files and directories.
    pub inodes: u64,
    /// The hard limit of bytes. `None`: none.
    pub limit_bytes: Option<u64>,
    /// The hard limit of files and directories. `None`: none.
    pub limit_inodes: Option<u64>,
}

/// What a project may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// Bytes.
    pub bytes: u64,
    /// Files and directories.
    pub inodes: u64,
}

/// `struct fsxattr`.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    copy_extent_size: u32,
    padding: [u8; 8],
}

/// `struct if_dqblk`.
#[repr(C)]
#[derive(Default)]
struct Quota {
    block_hard_limit: u64,
    block_soft_limit: u64,
    space: u64,
    inode_hard_limit: u64,
    inode_soft_limit: u64,
    inodes: u64,
    block_time: u64,
    inode_time: u64,
    valid: u32,
}

/// Whether projects are counted on the disk of this directory.
pub fn is_available(directory: &Path) -> bool {
    let Ok(opened) = beneath::directory_without_links(directory) else { return false };
    attributes(&opened).is_ok() && quota(&opened, 0).is_ok()
}

/// The project of a directory; 0 is nobody's.
///
/// # Errors
/// When it is missing, or its file system knows no projects.
pub fn project_of(directory: &Path) -> Result<u32, IsolationError> {
    let opened = beneath::directory_without_links(directory)?;
    Ok(attributes(&opened).context("read the project of", directory.display())?.project)
}

/// Makes an empty directory, and all that will be made in it, one of this project.
///
/// # Errors
/// As [`project_of`]; and when the kernel does not let it be changed.
pub fn assign(directory: &Path, project: u32) -> Result<(), IsolationError> {
    let opened = beneath::directory_without_links(directory)?;
    let change = || {
        let mut wanted = attributes(&opened)?;
        wanted.project = project;
        wanted.flags |= FS_XFLAG_PROJINHERIT;
        // SAFETY: the kernel reads a struct of this size, which outlives the call.
        match unsafe { libc::ioctl(opened.as_raw_fd(), FS_IOC_FSSETXATTR, &raw const wanted) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    change().context("change the project of", directory.display())
}

/// Lets the project of this number take so much of the disk that the directory is on. `None`: as much as there is.
///
/// # Errors
/// The kernel's.
pub fn limit(directory: &Path, project: u32, most: Option<Most>) -> Result<(), IsolationError> {
    let opened = beneath::directory_without_links(directory)?;
    let mut wanted = Quota {
        block_hard_limit: most.map_or(0, |most| most.bytes.div_ceil(UNIT).max(1)),
        inode_hard_limit: most.map_or(0, |most| most.inodes.max(1)),
        valid: QIF_BLIMITS | QIF_ILIMITS,
        ..Quota::default()
    };
    call(&opened, Q_SETQUOTA, project, &mut wanted).context("limit the project of", directory.display())
}

/// What the project of this number takes on the disk that the directory is on.
///
/// # Errors
/// The kernel's.
pub fn usage(directory: &Path, project: u32) -> Result<ProjectUsage, IsolationError> {
    let opened = beneath::directory_without_links(directory)?;
    let found = quota(&opened, project).context("read the quota of", directory.display())?;
    let some = |limit: u64| Some(limit).filter(|limit| *limit > 0);
    Ok(ProjectUsage {
        bytes: found.space,
        inodes: found.inodes,
        limit_bytes: some(found.block_hard_limit.saturating_mul(UNIT)),
        limit_inodes: some(found.inode_hard_limit),
    })
}

fn attributes(directory: &File) -> io::Result<Attributes> {
    let mut found = Attributes::default();
    // SAFETY: the kernel writes a struct of this size, which outlives the call.
    match unsafe { libc::ioctl(directory.as_raw_fd(), FS_IOC_FSGETXATTR, &raw mut found) } {
        0 => Ok(found),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Nobody's limits and use are those of a project that was never heard of.
fn quota(directory: &File, project: u32) -> io::Result<Quota> {
    let mut found = Quota::default();
    match call(directory, Q_GETQUOTA, project, &mut found) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Quota::default()),
        result => result.map(|()| found),
    }
}

fn call(directory: &File, command: u32, project: u32, quota: &mut Quota) -> io::Result<()> {
    let command = (command << 8) | PROJECTS;
    // SAFETY: the kernel reads and writes a struct of this size, which outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_quotactl_fd,
            directory.as_raw_fd(),
            command,
            project,
            std::ptr::from_mut(quota),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_none_it_is_said() {
        let proc = Path::new("/proc");
        assert!(!is_available(proc));
        assert!(project_of(proc).is_err() && assign(proc, 1).is_err() && usage(proc, 1).is_err());
        assert_eq!((size_of::<Attributes>(), size_of::<Quota>()), (28, 72));
    }

    #[test]
    fn no_directory_is_reached_through_a_link() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("real/inside")).unwrap();
        std::os::unix::fs::symlink("real", place.path().join("link")).unwrap();
        let bent = place.path().join("link/inside");
        let most = Some(Most { bytes: 1 << 20, inodes: 1 });
        let refused = [
            project_of(&bent).err(),
            assign(&bent, 1).err(),
            limit(&bent, 1, most).err(),
            usage(&bent, 1).err(),
        ];
        for error in refused {
            assert_eq!(error.expect("a link is no way").errno(), Some(libc::ELOOP));
        }
    }
}
