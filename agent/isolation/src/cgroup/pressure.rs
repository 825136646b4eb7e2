//! Pressure: how long processes of a container waited for want of something. v2 groups have it, also where all controllers
//! are v1's.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::IsolationError;

use super::file::read;

/// What a container waited for. `None` where the kernel does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pressure {
    /// A processor.
    pub cpu: Option<Stall>,
    /// Memory.
    pub memory: Option<Stall>,
    /// Disks.
    pub io: Option<Stall>,
}

/// Waiting of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stall {
    /// At least one process waited.
    pub some: Waiting,
    /// All that had work waited.
    pub full: Waiting,
}

/// Shares of time in hundredths of a percent, and the sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Of the last ten seconds.
    pub of_10_seconds: u64,
    /// Of the last minute.
    pub of_60_seconds: u64,
    /// Of the last five minutes.
    pub of_300_seconds: u64,
    /// Since the container began, in microseconds.
    pub total_us: u64,
}

pub(super) fn of_group(directory: &Path) -> Result<Pressure, IsolationError> {
    let stall = |name: &str| Ok(read_if_counted(directory, name)?.map(|text| parse(&text)));
    Ok(Pressure { cpu: stall("cpu.pressure")?, memory: stall("memory.pressure")?, io: stall("io.pressure")? })
}

/// What processes of the whole machine waited for, since it was started. Nothing where the kernel does not count.
///
/// # Errors
/// Names the file that could not be read.
pub fn of_machine() -> Result<Pressure, IsolationError> {
    let stall = |name: &str| Ok(read_if_counted(Path::new("/proc/pressure"), name)?.map(|text| parse(&text)));
    Ok(Pressure { cpu: stall("cpu")?, memory: stall("memory")?, io: stall("io")? })
}

/// The file is there, and cannot be read, where counting was switched off at boot.
fn read_if_counted(directory: &Path, name: &str) -> Result<Option<String>, IsolationError> {
    match read(directory, name) {
        Err(error) if error.errno() == Some(libc::EOPNOTSUPP) => Ok(None),
        result => result,
    }
}

fn parse(text: &str) -> Stall {
    let waiting = |kind: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind)).unwrap_or_default();
        let value =
            |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key)).unwrap_or_default();
        // Always two digits after the point.
        let share = |key: &str| value(key).replace('.', "").parse().unwrap_or(0);
        Waiting {
            of_10_seconds: share("avg10="),
            of_60_seconds: share("avg60="),
            of_300_seconds: share("avg300="),
            total_us: value("total=").parse().unwrap_or(0),
        }
    };
    Stall { some: waiting("some "), full: waiting("full ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lines_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let text = "some avg10=1.23 avg60=0.50 avg300=12.00 total=4567\nfull avg10=0.00 avg60=0.01 avg300=0.00 total=8\n";
        std::fs::write(dir.path().join("memory.pressure"), text).unwrap();
        let pressure = of_group(dir.path()).unwrap();
        let some = Waiting { of_10_seconds: 123, of_60_seconds: 50, of_300_seconds: 1200, total_us: 4567 };
        let full = Waiting { of_60_seconds: 1, total_us: 8, ..Waiting::default() };
        assert_eq!(pressure, Pressure { memory: Some(Stall { some, full }), ..Pressure::default() });
    }
}
