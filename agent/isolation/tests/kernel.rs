//! Groups on the real kernel, in each form this machine has. Needs root.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};

use chapada_isolation::cgroup::{
    Cgroups, DeviceKind, DeviceRule, Group, Hierarchies, Limits, PressureCounts,
};

/// A place that is removed with the test, and must be removable by then.
struct Place(Cgroups);

impl Place {
    fn new(name: &str, hierarchies: Hierarchies) -> Self {
        let name = format!("chapada-test-{name}-{}", std::process::id());
        let cgroups = Cgroups::below(hierarchies, name).expect("a plain name");
        cgroups.ensure().expect("root, and writable cgroups");
        Self(cgroups)
    }

    fn group(&self, name: &str) -> Group {
        let group = self.0.group(name);
        group.create(&Limits::default()).expect("the place exists");
        group
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.remove().expect("all groups are empty");
    }
}

fn join(group: &Group, pid: u32) {
    for mut tasks in group.open_tasks().expect("the group exists") {
        tasks.write_all(pid.to_string().as_bytes()).expect("it lives");
    }
    if let Some(directory) = group.open_v2().expect("the group exists") {
        let path = format!("/proc/self/fd/{}/cgroup.procs", directory.as_raw_fd());
        std::fs::write(path, pid.to_string()).expect("it lives");
    }
}

/// A shell that waits for a line, joins the group, and then becomes a daemon's parent.
fn family(group: &Group) -> Child {
    let mut shell = Command::new("sh")
        .args(["-c", "read go; setsid sleep 1000 & sleep 1000"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("sh is there");
    join(group, shell.id());
    shell.stdin.take().expect("piped").write_all(b"go\n").expect("it reads");
    shell
}

#[test]
fn v1_alone_kills_by_freezing() {
    let mut hierarchies = Hierarchies::discover().expect("cgroups are mounted");
    if !hierarchies.v1.contains_key("freezer") {
        return; // a pure v2 machine has no such group to kill
    }
    hierarchies.v2 = None;
    let place = Place::new("freezer", hierarchies);
    let group = place.group("family");
    let mut shell = family(&group);
    while group.processes().expect("readable").len() < 3 {
        std::thread::yield_now();
    }
    group.kill().expect("the freezer works");
    let status = shell.wait().expect("our child");
    assert!(!status.success());
    group.remove().expect("nothing is left in it");
    assert!(!group.exists());
    group.kill().expect("killing nothing is fine");
    group.remove().expect("removing nothing is fine");
}

#[test]
fn groups_are_listed_and_their_limits_read_back() {
    let place = Place::new("list", Hierarchies::discover().expect("cgroups are mounted"));
    assert!(place.0.containers().expect("readable").is_empty());
    let group = place.group("one");
    let limits = Limits { memory_bytes: Some(64 << 20), ..Limits::default() };
    group.apply(&limits).expect("limits are taken");
    let seen = group.statistics().expect("readable");
    assert_eq!(seen.memory_limit_bytes, Some(64 << 20));
    assert_eq!(seen.cpu_quota_milli, None);
    assert_eq!(group.oom().expect("readable"), None);
    assert_eq!(place.0.containers().expect("readable"), BTreeSet::from(["one".to_owned()]));
}

#[test]
fn a_place_with_a_process_in_it_is_not_removed() {
    let place = Place::new("busy", Hierarchies::discover().expect("cgroups are mounted"));
    let group = place.group("one");
    let mut shell = family(&group);
    let error = group.remove().expect_err("it is busy");
    assert_eq!(error.errno(), Some(libc::EBUSY));
    group.create(&Limits::default()).expect("what was removed comes back");
    group.kill().expect("all of it is killed");
    shell.wait().expect("our child");
    group.remove().expect("nothing is left in it");
}

#[test]
fn on_v2_processes_in_the_way_move_to_a_leaf() {
    let hierarchies = Hierarchies::discover().expect("cgroups are mounted");
    let Some(tree) = hierarchies.v2.clone().filter(|tree| tree.has("memory")) else {
        return; // v1 has no such rule
    };
    let service = format!("chapada-test-service-{}", std::process::id());
    let directory = tree.mount_point.join(&service);
    std::fs::create_dir(&directory).expect("root, and writable cgroups");
    let mut agent = Command::new("sleep").arg("1000").spawn().expect("sleep is there");
    std::fs::write(directory.join("cgroup.procs"), agent.id().to_string()).expect("it lives");

    let cgroups = Cgroups::below(hierarchies, format!("{service}/containers")).expect("a plain name");
    cgroups.ensure().expect("the agent moves away");
    let group = cgroups.group("one");
    group.create(&Limits::default()).expect("the place exists");
    let limits = Limits { memory_bytes: Some(64 << 20), ..Limits::default() };
    group.apply(&limits).expect("the controllers are there");
    let leaf = directory.join("chapada-host");
    let moved = std::fs::read_to_string(leaf.join("cgroup.procs")).expect("the leaf exists");
    assert_eq!(moved, format!("{}\n", agent.id()));

    agent.kill().expect("it lives");
    agent.wait().expect("our child");
    group.remove().expect("it is empty");
    std::fs::remove_dir(leaf).expect("it is empty");
    cgroups.remove().expect("all groups are empty");
    assert!(!directory.exists());
}

/// Moves a shell into the group, runs a script in it, and gives what it wrote.
fn output_in(group: &Group, script: &str) -> String {
    let mut shell = Command::new("sh")
        .args(["-c", &format!("read go; {script}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh is there");
    join(group, shell.id());
    shell.stdin.take().expect("piped").write_all(b"go\n").expect("it reads");
    let output = shell.wait_with_output().expect("our child");
    String::from_utf8(output.stdout).expect("text")
}

const TRY_DEVICES: &str = "for name in null zero tty random kmsg loop-control; do \
    (: < /dev/$name) 2>/dev/null && echo $name; done; (: > /dev/null) && echo written";

#[test]
fn devices_that_are_not_allowed_cannot_be_opened() {
    let all = Hierarchies::discover().expect("cgroups are mounted");
    let mut without_v1 = all.clone();
    without_v1.v1.remove("devices");
    for (name, hierarchies) in [("v1", all), ("program", without_v1)] {
        let place = Place::new(&format!("devices-{name}"), hierarchies);
        let group = place.group("one");
        let kmsg =
            DeviceRule { kind: DeviceKind::Character, major: 1, minor: Some(11), read: true, write: false };
        group.restrict_devices(&[kmsg]).expect("a machine with devices");
        // A terminal is none where there is no session.
        let output = output_in(&group, TRY_DEVICES).replace("tty\n", "");
        assert_eq!(output, "null\nzero\nrandom\nkmsg\nwritten\n", "{name}");
        group.remove().expect("nothing is left in it");
    }
}

#[test]
fn processes_stand_still_while_frozen() {
    let both = Hierarchies::discover().expect("cgroups are mounted");
    let mut v1 = both.clone();
    v1.v2 = None;
    for (name, hierarchies) in [("v2", both), ("v1", v1)] {
        if hierarchies.v2.is_none() && !hierarchies.v1.contains_key("freezer") {
            continue;
        }
        let place = Place::new(&format!("frozen-{name}"), hierarchies);
        let group = place.group("one");
        let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh is there");
        join(&group, busy.id());
        let used = || {
            let text = std::fs::read_to_string(format!("/proc/{}/stat", busy.id())).expect("it lives");
            let fields: Vec<&str> = text.split(' ').collect();
            (fields[13].to_owned(), fields[2].to_owned())
        };
        group.freeze(true).expect("the group exists");
        let (before, _) = used();
        for _ in 0..200_000 {
            std::hint::black_box(std::process::id());
        }
        assert_eq!(used().0, before, "{name}: it ran on");
        group.freeze(false).expect("the group exists");
        while used().0 == before {
            std::thread::yield_now();
        }
        group.kill().expect("all of it is killed");
        busy.wait().expect("our child");
        group.remove().expect("nothing is left in it");
    }
}

#[test]
fn rare_limits_are_written_and_read_by_the_kernel() {
    let hierarchies = Hierarchies::discover().expect("cgroups are mounted");
    let place = Place::new("rare", hierarchies.clone());
    let group = place.0.group("one");
    let mut limits =
        Limits { memory_soft_bytes: Some(48 << 20), memory_bytes: Some(64 << 20), ..Limits::default() };
    if hierarchies.has("cpuset") {
        limits.processors = Some("0".to_owned());
    }
    group.create(&limits).expect("the place exists");
    group.begin(&limits).expect("limits are taken");
    let output = output_in(&group, "grep Cpus_allowed_list /proc/self/status");
    if hierarchies.has("cpuset") {
        assert_eq!(output, "Cpus_allowed_list:\t0\n");
        group.apply(&Limits::default()).expect("limits are taken");
        let all = std::thread::available_parallelism().expect("the kernel knows").get();
        let output = output_in(&group, "nproc");
        assert_eq!(output.trim(), all.to_string());
    }
    group.remove().expect("nothing is left in it");
}

#[test]
fn pressure_is_read_where_there_is_v2() {
    let hierarchies = Hierarchies::discover().expect("cgroups are mounted");
    let counted =
        hierarchies.v2.as_ref().is_some_and(|tree| tree.mount_point.join("cgroup.pressure").exists());
    let place = Place::new("pressure", hierarchies);
    let group = place.group("one");
    output_in(&group, "true");
    let pressure = group.pressure().expect("readable");
    assert_eq!(pressure.cpu.is_some(), counted);
    group.remove().expect("nothing is left in it");
}

#[test]
fn the_kernel_counts_how_often_memory_is_short_in_a_v1_group() {
    let hierarchies = Hierarchies::discover().expect("cgroups are mounted");
    let is_v1 = hierarchies.v1.contains_key("memory");
    let place = Place::new("levels", hierarchies);
    let (short, beside) = (place.group("short"), place.group("beside"));
    short.apply(&Limits { memory_bytes: Some(8 << 20), ..Limits::default() }).expect("they are few");
    let watch = |group: &Group| group.watch_pressure_levels().expect("the group exists");
    let (levels, others) = (watch(&short), watch(&beside));
    assert_eq!((levels.is_some(), others.is_some()), (is_v1, is_v1));
    let file = tempfile::NamedTempFile::new().expect("writable");
    // What was written is kept in memory as long as there is room.
    output_in(&short, &format!("head -c 64000000 /dev/zero > {}", file.path().display()));
    if let (Some(levels), Some(others)) = (levels, others) {
        let first = levels.counts();
        assert!(first.low > 0 && first.low >= first.medium && first.medium >= first.critical, "{first:?}");
        assert!(levels.counts().low >= first.low, "what has been read is not forgotten");
        assert_eq!(others.counts(), PressureCounts::default());
    }
    short.remove().expect("nothing is left in it");
    beside.remove().expect("nothing was in it");
}

#[test]
fn shims_together_have_a_bound() {
    let place = Place::new("cap", Hierarchies::discover().expect("cgroups are mounted"));
    place.0.cap_shims(64 << 20).expect("the place exists");
    let hierarchies = place.0.hierarchies();
    let shims = place.0.parent().join("shims");
    let v1 = hierarchies.v1.get("memory").map(|point| point.join(&shims).join("memory.limit_in_bytes"));
    let v2 = hierarchies.v2.as_ref().map(|tree| tree.mount_point.join(&shims).join("memory.high"));
    let file = v1.or(v2).expect("one of them has memory");
    assert_eq!(std::fs::read_to_string(file).expect("readable").trim(), (64 << 20).to_string());
}
