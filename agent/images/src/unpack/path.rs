//! Names in archives: which of them stay where they should. Pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Names of deleted files begin so. Source: the OCI image specification, layers.
pub(super) const WHITEOUT: &[u8] = b".wh.";
/// In a directory that hides the one below it.
pub(super) const OPAQUE: &[u8] = b".wh..wh..opq";
/// Further files of that kind are notes of aufs to itself.
pub(super) const AUFS: &[u8] = b".wh..wh.";

/// The path below the root that a name means; empty for the root.
pub(super) fn clean(name: &[u8]) -> Result<PathBuf, &'static str> {
    if name.starts_with(b"/") {
        return Err("whose name is absolute");
    }
    if name.contains(&0) {
        return Err("whose name has a zero byte");
    }
    let mut path = PathBuf::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err("whose name leaves the root"),
            part => path.push(OsStr::from_bytes(part)),
        }
    }
    Ok(path)
}

/// Whether a symbolic link at `path` stays in the root. An absolute target means the container's own root.
pub(super) fn check_target(path: &Path, target: &[u8]) -> Result<(), &'static str> {
    if target.is_empty() || target.contains(&0) {
        return Err("a link to nothing");
    }
    if target.starts_with(b"/") {
        return Ok(());
    }
    let mut depth = path.components().count().saturating_sub(1);
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => depth = depth.checked_sub(1).ok_or("a link that leaves the root")?,
            _ => depth += 1,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_the_root_or_are_refused() {
        let cases: [(&[u8], Option<&str>); 9] = [
            (b"./", Some("")),
            (b"./a//b/./c/", Some("a/b/c")),
            (b"a/...", Some("a/...")),
            (b"/etc/passwd", None),
            (b"//etc", None),
            (b"..", None),
            (b"a/../../b", None),
            (b"a/..", None),
            (b"a\0b", None),
        ];
        for (name, expected) in cases {
            assert_eq!(clean(name).ok(), expected.map(PathBuf::from), "{:?}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    fn links_stay_below_the_root_or_are_refused() {
        let cases: [(&str, &[u8], bool); 8] = [
            ("a/b", b"../c", true),
            ("a/b", b"x/../../c", true),
            ("a", b"/etc/passwd", true),
            ("a", b"b", true),
            ("a", b"..", false),
            ("a/b", b"../../etc/passwd", false),
            ("a/b", b"../x/../../etc", false),
            ("a", b"", false),
        ];
        for (path, target, fine) in cases {
            assert_eq!(check_target(Path::new(path), target).is_ok(), fine, "{path} {target:?}");
        }
    }
}
