//! Whether overlayfs can have its writable directories where the images are.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, XattrFlags, fsetxattr, fstatfs, mknodat};

/// Source: the kernel's `magic.h`.
const OVERLAYFS: i64 = 0x794c_7630;

/// Why overlayfs cannot be used in this directory; `None` when it can.
pub(super) fn obstacle(directory: &Path, staged: &Path) -> io::Result<Option<&'static str>> {
    let known = fs::read_to_string("/proc/filesystems")?;
    if !known.lines().any(|line| line.split_whitespace().last() == Some("overlay")) {
        return Ok(Some("the kernel has no overlayfs"));
    }
    if i128::from(fstatfs(File::open(directory)?)?.f_type) == i128::from(OVERLAYFS) {
        return Ok(Some("the directory is on overlayfs itself"));
    }
    fs::create_dir(staged)?;
    let opened = File::open(staged)?;
    let obstacle = if fsetxattr(&opened, "trusted.overlay.opaque", b"y", XattrFlags::empty()).is_err() {
        Some("its file system has no trusted attributes")
    } else if mknodat(CWD, staged.join("whiteout"), FileType::CharacterDevice, Mode::empty(), 0).is_err() {
        Some("its file system has no device nodes")
    } else {
        None
    };
    fs::remove_dir_all(staged)?;
    Ok(obstacle)
}
