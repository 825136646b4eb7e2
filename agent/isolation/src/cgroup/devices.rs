//! The devices that processes of a group may open, whatever nodes they come upon: the v1 `devices` hierarchy, or a program on
//! the v2 group ([`super::device_program`]).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Context, IsolationError};

use super::device_program::Program;

/// What a node stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// A stream: a terminal, a GPU.
    Character,
    /// A disk.
    Block,
}

/// A device, or all of a driver, that may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceRule {
    /// What it is.
    pub kind: DeviceKind,
    /// Number of the driver.
    pub major: u32,
    /// Number of the device; `None`: all of the driver's.
    pub minor: Option<u32>,
    /// Whether it can be read.
    pub read: bool,
    /// Whether it can be written.
    pub write: bool,
}

const fn character(major: u32, minor: Option<u32>) -> DeviceRule {
    DeviceRule { kind: DeviceKind::Character, major, minor, read: true, write: true }
}

/// What every container may use: the nodes of [`crate::devices`], and terminals.
pub(super) const STANDARD: [DeviceRule; 8] = [
    character(1, Some(3)), // null
    character(1, Some(5)), // zero
    character(1, Some(7)), // full
    character(1, Some(8)), // random
    character(1, Some(9)), // urandom
    character(5, Some(0)), // tty
    character(5, Some(2)), // ptmx
    character(136, None),  // pts
];

/// Allows the standard devices and these on a v1 group, and no other.
pub(super) fn restrict_v1(directory: &Path, more: &[DeviceRule]) -> Result<(), IsolationError> {
    let open = |name: &str| {
        let path = directory.join(name);
        OpenOptions::new().write(true).open(&path).context("open", path.display())
    };
    let say = |file: &mut File, line: &str| {
        file.write_all(line.as_bytes())
            .context("write the device rule", format_args!("{line} of {}", directory.display()))
    };
    say(&mut open("devices.deny")?, "a")?;
    let mut allow = open("devices.allow")?;
    STANDARD.iter().chain(more).try_for_each(|rule| say(&mut allow, &line(rule)))
}

/// The same on a v2 group.
pub(super) fn restrict_v2(directory: &Path, more: &[DeviceRule]) -> Result<(), IsolationError> {
    let rules: Vec<DeviceRule> = STANDARD.iter().chain(more).copied().collect();
    let group = File::open(directory).context("open", directory.display())?;
    Program::allowing(&rules).attach(&group).context("restrict the devices of", directory.display())
}

/// Making a node is always allowed: only whoever may use the device or has the capability does it.
fn line(rule: &DeviceRule) -> String {
    let kind = match rule.kind {
        DeviceKind::Character => 'c',
        DeviceKind::Block => 'b',
    };
    let minor = rule.minor.map_or("*".to_owned(), |minor| minor.to_string());
    let read = if rule.read { "r" } else { "" };
    let write = if rule.write { "w" } else { "" };
    format!("{kind} {}:{minor} {read}{write}m", rule.major)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_as_the_kernel_reads_them() {
        assert_eq!(line(&character(136, None)), "c 136:* rwm");
        let disk = DeviceRule { kind: DeviceKind::Block, major: 8, minor: Some(1), read: true, write: false };
        assert_eq!(line(&disk), "b 8:1 rm");
    }
}
