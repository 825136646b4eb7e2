//! The io controller (v1 `blkio`): share and speed of disks, and how much went over them.

use std::path::PathBuf;

use crate::IsolationError;

use super::disk_traffic::{self, DiskTraffic};
use super::file::{write, write_if_present};
use super::limits::DiskLimit;
use super::{Controller, Limits, Statistics, Target};

/// Bounds of v1 `blkio.weight`; [`super::IoLimits::weight`] has v2's, 1 to 10,000.
const V1_WEIGHTS: (u64, u64) = (10, 1000);
/// What everybody has.
const DEFAULT_WEIGHT: u16 = 100;

/// The v1 form. The group is there only if it is asked for.
#[derive(Debug, Clone)]
pub struct IoV1 {
    /// The container's directory in the `blkio` hierarchy.
    pub directory: PathBuf,
}

impl Controller for IoV1 {
    fn apply(&self, limits: &Limits, target: Target) -> Result<(), IsolationError> {
        if !limits.needs("blkio") && (target == Target::New || !self.directory.exists()) {
            return Ok(());
        }
        if limits.io.weight.is_some() || target == Target::Running {
            let weight = v1_weight(limits.io.weight.unwrap_or(DEFAULT_WEIGHT)).to_string();
            for name in ["blkio.weight", "blkio.bfq.weight"] {
                write_if_present(&self.directory, name, &weight)?;
            }
        }
        limits.io.disks.iter().try_for_each(|disk| {
            for (name, value) in [
                ("read_bps", disk.read_bytes),
                ("write_bps", disk.write_bytes),
                ("read_iops", disk.reads),
                ("write_iops", disk.writes),
            ] {
                // Nothing is no limit.
                let line = format!("{}:{} {}", disk.major, disk.minor, value.unwrap_or(0));
                write(&self.directory, &format!("blkio.throttle.{name}_device"), &line)?;
            }
            Ok(())
        })
    }

    fn read(&self, into: &mut Statistics) -> Result<(), IsolationError> {
        add(&disk_traffic::v1(&self.directory)?, into);
        Ok(())
    }
}

/// The v2 form.
#[derive(Debug, Clone)]
pub struct IoV2 {
    /// The container's directory in the v2 tree.
    pub directory: PathBuf,
}

impl Controller for IoV2 {
    fn apply(&self, limits: &Limits, target: Target) -> Result<(), IsolationError> {
        if limits.io.weight.is_some() || target == Target::Running {
            let weight = limits.io.weight.unwrap_or(DEFAULT_WEIGHT).clamp(1, 10_000);
            write_if_present(&self.directory, "io.weight", &format!("default {weight}"))?;
        }
        limits.io.disks.iter().try_for_each(|disk| write(&self.directory, "io.max", &v2_line(disk)))
    }

    fn read(&self, into: &mut Statistics) -> Result<(), IsolationError> {
        add(&disk_traffic::v2(&self.directory)?, into);
        Ok(())
    }
}

fn add(disks: &[DiskTraffic], into: &mut Statistics) {
    for disk in disks {
        into.io_read_bytes += disk.read_bytes;
        into.io_written_bytes += disk.written_bytes;
        into.io_reads += disk.reads;
        into.io_writes += disk.writes;
    }
}

fn v2_line(disk: &DiskLimit) -> String {
    let value = |value: Option<u64>| value.map_or("max".to_owned(), |value| value.to_string());
    format!(
        "{}:{} rbps={} wbps={} riops={} wiops={}",
        disk.major,
        disk.minor,
        value(disk.read_bytes),
        value(disk.write_bytes),
        value(disk.reads),
        value(disk.writes)
    )
}

/// Linear, both ends of the ranges meeting.
fn v1_weight(weight: u16) -> u64 {
    let (low, high) = V1_WEIGHTS;
    low + (u64::from(weight.clamp(1, 10_000)) - 1) * (high - low) / 9_999
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::IoLimits;
    use super::*;

    const DISK: DiskLimit = DiskLimit {
        major: 254,
        minor: 16,
        read_bytes: Some(1 << 20),
        write_bytes: None,
        reads: None,
        writes: Some(100),
    };

    #[test]
    fn both_ends_of_the_weights_meet() {
        assert_eq!((v1_weight(1), v1_weight(10_000), v1_weight(0)), (10, 1000, 10));
    }

    #[test]
    fn v2_limits_and_counts_are_in_its_format() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["io.max", "io.weight"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::write(
            dir.path().join("io.stat"),
            "254:0 rbytes=10 wbytes=5 rios=2 wios=1 dbytes=0\n8:0 rbytes=1\n",
        )
        .unwrap();
        let io = IoV2 { directory: dir.path().to_owned() };
        let limits = Limits { io: IoLimits { weight: Some(200), disks: vec![DISK] }, ..Limits::default() };
        io.apply(&limits, Target::New).unwrap();
        let text = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(text("io.max"), "254:16 rbps=1048576 wbps=max riops=max wiops=100");
        assert_eq!(text("io.weight"), "default 200");
        io.apply(&Limits::default(), Target::Running).unwrap();
        assert_eq!(text("io.weight"), "default 100");
        let mut statistics = Statistics::default();
        io.read(&mut statistics).unwrap();
        assert_eq!((statistics.io_read_bytes, statistics.io_reads, statistics.io_written_bytes), (11, 2, 5));
    }

    #[test]
    fn v1_counts_of_all_disks_are_added() {
        let dir = tempfile::tempdir().unwrap();
        let text = "254:0 Read 4096\n254:0 Write 10\n254:0 Sync 1\n8:0 Read 4\nTotal 4110\n";
        fs::write(dir.path().join("blkio.throttle.io_service_bytes_recursive"), text).unwrap();
        let mut statistics = Statistics::default();
        IoV1 { directory: dir.path().to_owned() }.read(&mut statistics).unwrap();
        assert_eq!((statistics.io_read_bytes, statistics.io_written_bytes), (4100, 10));
    }
}
