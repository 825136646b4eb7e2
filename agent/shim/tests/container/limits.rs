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
/// quota. A machine without is not one that these tests can judge.
fn on_disk(place: &Place) -> (PathBuf, DiskLimit) {
    let quota = std::env::var_os("CHAPADA_TEST_PROJECT_QUOTA").map(PathBuf::from);
    let mut places = [Some(place.dir.path().to_owned()), quota].into_iter().flatten();
    let found = places.find_map(|directory| {
        let (major, minor) = whole_disk(fs::metadata(&directory).ok()?.dev())?;
        let limit =
            DiskLimit { major, minor, read_bytes: None, write_bytes: None, reads: None, writes: Some(4) };
        Some((directory, limit))
    });
    found.expect(
        "temporary files are on no disk: set TMPDIR or CHAPADA_TEST_PROJECT_QUOTA to a directory on one",
    )
}

/// The disk that a file system is on, or the one of its partition: only whole disks have a queue that is bounded.
fn whole_disk(device: u64) -> Option<(u32, u32)> {
    let named = format!("/sys/dev/block/{}:{}", major(device), minor(device));
    // What is above a partition is its disk.
    let disk = [named.clone(), format!("{named}/..")]
        .into_iter()
        .find(|path| fs::exists(format!("{path}/queue")).unwrap())?;
    let number = fs::read_to_string(format!("{disk}/dev")).ok()?;
    let (major, minor) = number.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[test]
fn a_disk_is_as_fast_as_it_may_be() {
    let place = Place::new();
    let (directory, limit) = on_disk(&place);
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
    // Without a limit it takes as long as the disk is busy with others: the least of some.
    let free = (0..3).map(|number| write(&format!("free{number}"), Vec::new())).min().unwrap();
    let bound = write("bound", vec![limit]);
    // Twelve writes, four a second: the kernel lets the first ones of a period pass at once.
    assert!(bound > free + Duration::from_millis(1500), "{free:?} as fast as it goes, {bound:?} at most");
}

fn with_huge_pages(place: &Place, size: &str) -> ShimClient {
    let mut spec = place.spec("huge", "sleep 1000");
    spec.resources.huge_pages = BTreeMap::from([(size.to_owned(), 4 << 20)]);
    place.launcher.launch(&spec).unwrap().client
}

/// By name, and not run without their limit.
fn refused(mut client: ShimClient, size: &str) {
    let Outcome::NotStarted { error } = exit_of(&mut client).outcome else { panic!("it runs") };
    assert!(error.message.contains(&format!("huge/hugetlb.{size}")), "{}", error.message);
}

#[test]
fn huge_pages_of_no_such_size_are_refused() {
    refused(with_huge_pages(&Place::new(), "3MB"), "3MB");
}

/// Judges the limit where the machine has the controller, as that of `cargo xtask test --cgroup2` does, and says so where not.
#[test]
fn huge_pages_are_as_many_as_it_may_have() {
    let place = Place::new();
    let hierarchies = place.launcher.cgroups().hierarchies();
    let on_v2 = hierarchies.v2.as_ref().is_some_and(|tree| {
        let handed_down = fs::read_to_string(tree.mount_point.join("cgroup.subtree_control")).unwrap();
        handed_down.split_whitespace().any(|name| name == "hugetlb")
    });
    let mut client = with_huge_pages(&place, "2MB");
    if !on_v2 && !hierarchies.v1.contains_key("hugetlb") {
        eprintln!("NOT TESTED HERE: this machine hands no hugetlb down, so that limit can only be refused");
        return refused(client, "2MB");
    }
    started(&mut client);
    let names = ["huge/hugetlb.2MB.max", "huge/hugetlb.2MB.limit_in_bytes"];
    let files = place.groups().into_iter().flat_map(|group| names.map(|name| group.join(name)));
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

#[test]
fn limits_per_process_are_set() {
    let place = Place::new();
    let mut spec = place.spec("rlimit", "ulimit -n; ulimit -c");
    spec.rlimits = vec![
        Rlimit { name: "nofile".into(), soft: Some(77), hard: Some(99) },
        Rlimit { name: "core".into(), soft: Some(0), hard: Some(0) },
    ];
    assert_eq!(place.output_of(&spec), "77\n0\n");
}

/// Of `/proc/self/limits`: soft and hard value.
const LIMITS: &str =
    "grep -E '^Max (open files|nice|realtime p)' /proc/self/limits | tr -s ' ' | sed 's/ $//'";

#[test]
fn limits_per_process_are_not_the_agents() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    for resource in [Resource::RLIMIT_RTPRIO, Resource::RLIMIT_NICE] {
        // Without CAP_SYS_RESOURCE nobody can raise them: they are 0 as they are.
        let raised = setrlimit(resource, 30, 30);
        assert!(raised.is_ok() || getrlimit(resource) == Ok((0, 0)), "{resource:?} {raised:?}");
    }
    let place = Place::new();
    let mut own = place.own_root("own", LIMITS);
    own.user_namespace = Some(IdRange { first: 1_700_000, count: 65_536 });
    // Where there is no `chrt`, it fails as well; the limits say the same.
    let script = format!(
        "{LIMITS}; chrt -f 10 true 2>/dev/null && echo real time; renice -n -1 -p $$ 2>/dev/null && echo nicer; true"
    );
    for spec in [place.spec("hosts", &script), own] {
        let expected = format!(
            "Max open files {} {} files\nMax nice priority 0 0\nMax realtime priority 0 0\n",
            most.min(1024),
            most.min(524_288)
        );
        assert_eq!(place.output_of(&spec), expected, "{}", spec.id);
    }
}

#[test]
fn limits_that_beat_the_shares_of_others_are_refused() {
    let place = Place::new();
    let limit = |name: &str, soft, hard| Rlimit { name: name.into(), soft, hard };
    let refused = [
        (limit("rtprio", Some(10), Some(10)), "--allow-privileged"),
        (limit("nice", None, None), "--allow-privileged"),
        (limit("core", Some(0), None), "or neither"),
    ];
    for (limit, reason) in refused {
        let mut spec = place.spec(&format!("refused-{}", limit.name), "true");
        let name = limit.name.clone();
        spec.rlimits = vec![limit];
        let Outcome::NotStarted { error } = place.run(&spec).outcome else { panic!("{name}: it ran") };
        assert!(error.message.contains(&name) && error.message.contains(reason), "{}", error.message);
    }
}

#[test]
fn temporary_files_are_bounded_by_the_memory() {
    const MIB: u64 = 1 << 20;
    let place = Place::new();
    let script = "echo $(($(stat -f -c '%b * %S' /tmp)))";
    for (id, size_bytes, memory_bytes, expected) in [
        ("none", None, None, 1024 * MIB),
        ("memory", None, Some(96 * MIB), 96 * MIB),
        ("asked", Some(256 * MIB), Some(96 * MIB), 256 * MIB),
    ] {
        for mut spec in [place.spec(id, script), place.own_root(&format!("own-{id}"), script)] {
            spec.temporary_files = TemporaryFiles::Private { size_bytes };
            spec.resources.memory_bytes = memory_bytes;
            assert_eq!(place.output_of(&spec), format!("{expected}\n"), "{}", spec.id);
        }
    }
}
