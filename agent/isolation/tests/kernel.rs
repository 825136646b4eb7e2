//! Groups on the real kernel, in each form this machine has. Needs root.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};

use chapada_isolation::cgroup::{Cgroups, Group, Hierarchies, Limits};

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
        group.create().expect("the place exists");
        group
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.remove().expect("all groups are empty");
    }
}

/// A shell that waits for a line, joins the group, and then becomes a daemon's parent.
fn family(group: &Group) -> Child {
    let mut shell = Command::new("sh")
        .args(["-c", "read go; setsid sleep 1000 & sleep 1000"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("sh is there");
    for mut tasks in group.open_tasks().expect("the group exists") {
        tasks.write_all(shell.id().to_string().as_bytes()).expect("it lives");
    }
    if let Some(directory) = group.open_v2().expect("the group exists") {
        let path = format!("/proc/self/fd/{}/cgroup.procs", directory.as_raw_fd());
        std::fs::write(path, shell.id().to_string()).expect("it lives");
    }
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
    group.create().expect("what was removed comes back");
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
    group.create().expect("the place exists");
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
