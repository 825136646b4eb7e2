//! Extended attributes of files: which an image may set.

use std::os::fd::AsFd;

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
use rustix::io::{Errno, Result};

/// Before the name of an attribute in an archive.
pub(super) const PREFIX: &[u8] = b"SCHILY.xattr.";
/// What overlayfs takes for its own; an image that could set them could make one file look like another.
const OVERLAY: [&str; 2] = ["trusted.", "user.overlay."];
/// Sizes that the kernel sets.
const MAX_LIST: usize = 64 << 10;
const MAX_VALUE: usize = 64 << 10;

/// What becomes of an attribute.
pub(super) enum Policy {
    Keep,
    /// It says something about the machine it was made on.
    LeaveOut,
    Refuse,
}

pub(super) fn policy(name: &str) -> Policy {
    if OVERLAY.iter().any(|prefix| name.starts_with(prefix)) {
        Policy::Refuse
    } else if name == "security.capability" || name.starts_with("user.") {
        Policy::Keep
    } else {
        Policy::LeaveOut
    }
}

/// A file system without such attributes of users is no reason to refuse an image; without capabilities a program would
/// fail later, and more strangely.
pub(super) fn set(file: impl AsFd, name: &str, value: &[u8]) -> Result<()> {
    match fsetxattr(file, name, value, XattrFlags::empty()) {
        Err(Errno::OPNOTSUPP) if name.starts_with("user.") => Ok(()),
        result => result,
    }
}

/// Copies what [`set`] has set.
pub(crate) fn copy(from: impl AsFd, to: impl AsFd) -> Result<()> {
    let mut names = vec![0; MAX_LIST];
    let length = match flistxattr(&from, &mut names) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        length => length?,
    };
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let Some(name) = std::str::from_utf8(name).ok().filter(|name| matches!(policy(name), Policy::Keep))
        else {
            continue;
        };
        let mut value = vec![0; MAX_VALUE];
        let length = fgetxattr(&from, name, &mut value)?;
        set(&to, name, &value[..length])?;
    }
    Ok(())
}
