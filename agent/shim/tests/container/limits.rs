//! What a container may use of disks and huge pages, and from when on of processors, as the kernel enforces it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::stat::{major, minor};

use crate::place::*;
use chapada_shim::*;

/// A directory on a real disk, whose number the second is: the place's own, or where the machine has none there, that of project
/// quota.
fn on_disk(place: &Place) -> Option<(PathBuf, DiskLimit)> {
    let quota = std::env::var_os("CHAPADA_TEST_PROJECT_QUOTA").map(PathBuf::from);
    [Some(place.dir.path().to_owned()), quota].into_iter().flatten().find_map(|directory| {
        let device = fs::metadata(&directory).ok()?.dev();
        let (major, minor) = (major(device) as u32, minor(device) as u32);
        // One without this file is a partition, or no disk at all.
        fs::metadata(format!("/sys/dev/block/{major}:{minor}/queue")).ok()?;
        let limit =
            DiskLimit { major, minor, read_bytes: None, write_bytes: None, reads: None, writes: Some(4) };
        Some((directory, limit))
    })
}

#[test]
fn a_disk_is_as_fast_as_it_may_be() {
    let place = Place::new();
    let Some((directory, limit)) = on_disk(&place) else { return };
    let disk = tempfile::tempdir_in(directory).unwrap();
    let write = |id: &str, limits: Vec<DiskLimit>| {
        let mut spec =
            place.spec(id, "dd if=/dev/zero of=disk/file bs=4096 count=12 oflag=direct conv=notrunc");
        let source = VolumeSource::Host { root: disk.path().into(), path: PathBuf::new(), give: false };
        spec.volumes = vec![VolumeMount { source, target: "disk".into(), read_only: false }];
        spec.resources.io.disks = limits;
        let from = Instant::now();
        place.output_of(&spec);
        from.elapsed()
    };
    let free = write("free", Vec::new());
    let bound = write("bound", vec![limit]);
    // Twelve writes, four a second: the kernel lets the first ones of a period pass at once.
    assert!(bound > free + Duration::from_millis(1500), "{free:?} as fast as it goes, {bound:?} at most");
}

#[test]
fn huge_pages_are_as_many_as_it_may_have() {
    let place = Place::new();
    let mut spec = place.spec("huge", "sleep 1000");
    spec.resources.huge_pages = BTreeMap::from([("2MB".to_owned(), 4 << 20)]);
    let mut client = place.launcher.launch(&spec).unwrap().client;
    let handed_down = fs::read_to_string("/sys/fs/cgroup/cgroup.subtree_control").unwrap_or_default();
    if !handed_down.contains("hugetlb") {
        // As on most machines: it is refused by name, and not run without its limit.
        let Outcome::NotStarted { error } = exit_of(&mut client).outcome else { panic!("it runs") };
        assert!(error.message.contains("huge/hugetlb.2MB"), "{}", error.message);
        return;
    }
    started(&mut client);
    let files = place.groups().into_iter().map(|group| group.join("huge/hugetlb.2MB.max"));
    let limits: Vec<String> = files.filter_map(|file| fs::read_to_string(file).ok()).collect();
    assert_eq!(limits, ["4194304\n"]);
}

#[test]
fn the_quota_of_processors_is_the_commands_and_not_that_of_making_it() {
    let place = Place::new();
    let mut spec = place.spec("small", "sleep 1000");
    // Mounting takes many times what such a quota has in one period.
    let memory = |number| VolumeMount {
        source: VolumeSource::Memory { size_bytes: 4096 },
        target: format!("memory-{number}").into(),
        read_only: false,
    };
    spec.volumes = (0..300).map(memory).collect();
    spec.resources.cpu = CpuLimits { share_milli: None, quota_milli: Some(10) };
    let mut client = place.launcher.launch(&spec).unwrap().client;
    started(&mut client);
    let group = place.launcher.cgroups().group("small");
    let seen = group.statistics().unwrap();
    assert_eq!(seen.cpu_quota_milli, Some(10));
    // A millisecond in each period: under the quota all of it would have been waited for.
    let milliseconds = seen.cpu_usage_ns / 1_000_000;
    assert!(milliseconds > 2 && seen.cpu_throttled_periods * 2 < milliseconds, "{seen:?}");
    // To be taken down costs as much.
    group.apply(&Limits::default()).unwrap();
}
