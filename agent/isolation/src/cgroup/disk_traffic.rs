//! How much went over which disk: v1 `blkio.throttle`, v2 `io.stat`.

use std::path::Path;

use crate::IsolationError;

use super::file::read;

/// What went over one disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskTraffic {
    /// Number of the driver.
    pub major: u32,
    /// Number of the disk.
    pub minor: u32,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

/// A group that is not there has no traffic.
pub(super) fn v1(directory: &Path) -> Result<Vec<DiskTraffic>, IsolationError> {
    let mut disks = Vec::new();
    let Some(bytes) = read(directory, "blkio.throttle.io_service_bytes_recursive")? else { return Ok(disks) };
    for (disk, kind, count) in bytes.lines().filter_map(v1_line) {
        match kind {
            "Read" => of_disk(&mut disks, disk).read_bytes = count,
            "Write" => of_disk(&mut disks, disk).written_bytes = count,
            _ => {}
        }
    }
    let times = read(directory, "blkio.throttle.io_serviced_recursive")?.unwrap_or_default();
    for (disk, kind, count) in times.lines().filter_map(v1_line) {
        match kind {
            "Read" => of_disk(&mut disks, disk).reads = count,
            "Write" => of_disk(&mut disks, disk).writes = count,
            _ => {}
        }
    }
    Ok(disks)
}

pub(super) fn v2(directory: &Path) -> Result<Vec<DiskTraffic>, IsolationError> {
    let text = read(directory, "io.stat")?.unwrap_or_default();
    let mut disks = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(number) = words.next().and_then(number) else { continue };
        let disk = of_disk(&mut disks, number);
        for (key, count) in words.filter_map(|word| word.split_once('=')) {
            let count = count.parse().unwrap_or(0);
            match key {
                "rbytes" => disk.read_bytes = count,
                "wbytes" => disk.written_bytes = count,
                "rios" => disk.reads = count,
                "wios" => disk.writes = count,
                _ => {}
            }
        }
    }
    Ok(disks)
}

/// `8:0 Read 4096`.
fn v1_line(line: &str) -> Option<((u32, u32), &str, u64)> {
    let mut words = line.split_whitespace();
    Some((number(words.next()?)?, words.next()?, words.next()?.parse().ok()?))
}

fn number(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn of_disk(disks: &mut Vec<DiskTraffic>, (major, minor): (u32, u32)) -> &mut DiskTraffic {
    let known = disks.iter().position(|disk| (disk.major, disk.minor) == (major, minor));
    let index = known.unwrap_or(disks.len());
    if known.is_none() {
        disks.push(DiskTraffic { major, minor, ..DiskTraffic::default() });
    }
    &mut disks[index]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_told_apart_in_either_format() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        assert_eq!(v1(dir.path()).unwrap(), []);
        write(
            "blkio.throttle.io_service_bytes_recursive",
            "254:0 Read 4096\n254:0 Sync 1\n8:0 Write 4\nTotal 4100\n",
        );
        write("blkio.throttle.io_serviced_recursive", "254:0 Read 2\n8:0 Write 1\n");
        write("io.stat", "254:0 rbytes=4096 wbytes=0 rios=2 wios=0 dbytes=0\n8:0 wbytes=4 wios=1\n");
        let disks = [
            DiskTraffic { major: 254, read_bytes: 4096, reads: 2, ..DiskTraffic::default() },
            DiskTraffic { major: 8, written_bytes: 4, writes: 1, ..DiskTraffic::default() },
        ];
        assert_eq!(v1(dir.path()).unwrap(), disks);
        assert_eq!(v2(dir.path()).unwrap(), disks);
    }
}
