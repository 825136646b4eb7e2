//! Reads `/proc/self/mountinfo`: where each file system is mounted on this machine.
//!
//! Source: `man 5 proc_pid_mountinfo`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One mount, as far as we need to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The directory within the mounted file system that is visible here; `/` for all of it.
    pub root: PathBuf,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// `cgroup`, `cgroup2`, `proc`, `ext4`, …
    pub file_system: String,
    /// Options of the super block; a v1 hierarchy lists its controllers here.
    pub super_options: Vec<String>,
}

/// Parses a whole mountinfo file. A line that is not understood is left out.
pub fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let mut after = after.split(' ');
    Some(Mount {
        root: unescape(before.next()?),
        mount_point: unescape(before.next()?),
        file_system: after.next()?.to_owned(),
        super_options: after.nth(1)?.split(',').map(str::to_owned).collect(),
    })
}

/// The kernel writes space, tab, newline and backslash as a backslash and three octal digits.
fn unescape(field: &str) -> PathBuf {
    let bytes = field.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = (bytes[at] == b'\\')
            .then(|| field.get(at + 1..at + 4))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(octal.unwrap_or(bytes[at]));
        at += if octal.is_some() { 4 } else { 1 };
    }
    PathBuf::from(OsString::from_vec(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields_do_not_shift_the_file_system() {
        let text = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n\
                    32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].root, PathBuf::from("/mnt1"));
        assert_eq!(mounts[0].file_system, "ext3");
        assert_eq!(mounts[1].super_options, ["rw", "cpu", "cpuacct"]);
    }

    #[test]
    fn escaped_mount_points_are_unescaped() {
        let text = "1 0 0:1 / /with\\040space\\134 rw - tmpfs none rw";
        assert_eq!(parse(text)[0].mount_point, PathBuf::from("/with space\\"));
    }

    #[test]
    fn truncated_lines_are_left_out() {
        assert_eq!(parse("1 0 0:1 / /x rw\n1 0 - \n\n"), vec![]);
    }
}
