//! Containers in containers.

use std::fs;
use std::os::unix::fs::symlink;

use crate::place::*;
use chapada_shim::*;

/// A container in this one, with a sandbox beneath its sandbox.
pub(crate) fn within(place: &Place, above: &ContainerSpec, id: &str, script: &str) -> ContainerSpec {
    let mut spec = place.spec(id, script);
    spec.sandbox = above.sandbox.join("containers").join(id);
    fs::create_dir_all(&spec.sandbox).unwrap();
    spec.within = above.within.iter().chain([&above.id]).cloned().collect();
    spec
}

fn groups(pid: i32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    text.lines().map(str::to_owned).collect()
}

pub(crate) fn remove(place: &Place, spec: &ContainerSpec) {
    cleanup_within(place.launcher.cgroups(), &place.runtime_root(), &spec.within, &spec.id).unwrap();
}

#[test]
fn one_is_charged_to_those_that_it_is_in_and_ends_with_each_of_them() {
    let place = Place::new();
    let mut above = place.spec("above", "exec sleep 1000");
    above.resources.memory_bytes = Some(64 << 20);
    let mut client = place.launcher.launch(&above).unwrap().client;
    let pid = started(&mut client);
    let first = within(&place, &above, "first", "exec sleep 1000");
    let mut first_client = place.launcher.launch(&first).unwrap().client;
    let first_pid = started(&mut first_client);
    let second = within(&place, &first, "second", "exec sleep 1000");
    let mut second_client = place.launcher.launch(&second).unwrap().client;
    let second_pid = started(&mut second_client);
    for (outer, inner) in [(pid, first_pid), (first_pid, second_pid)] {
        let pairs: Vec<_> = groups(outer).into_iter().zip(groups(inner)).collect();
        assert!(pairs.iter().all(|(outer, inner)| inner.starts_with(outer.as_str())), "{pairs:?}");
        assert!(pairs.iter().any(|(outer, inner)| inner != outer));
    }
    // The one beside it lives; its own end is its own.
    second_client.destroy().unwrap();
    assert_eq!(exit_of(&mut second_client).outcome, Outcome::Signaled { signal: 9 });
    assert!(alive(first_pid) && alive(pid));
    client.destroy().unwrap();
    exit_of(&mut client);
    assert_eq!(exit_of(&mut first_client).outcome, Outcome::Signaled { signal: 9 });
    remove(&place, &second);
    remove(&place, &first);
}

#[test]
fn memory_is_that_of_the_container_that_it_is_in() {
    let place = Place::new();
    let mut above = place.spec("above", "exec sleep 1000");
    above.resources.memory_bytes = Some(48 << 20);
    let mut client = place.launcher.launch(&above).unwrap().client;
    started(&mut client);
    // `tail` keeps what has no end of line.
    let mut greedy = within(&place, &above, "greedy", "head -c 100000000 /dev/zero | tail | wc -c");
    greedy.resources = Limits::default();
    let mut greedy_client = place.launcher.launch(&greedy).unwrap().client;
    assert!(exit_of(&mut client).oom.is_some());
    exit_of(&mut greedy_client);
    assert!(!place.sandbox_file("above", "containers/greedy/stdout").contains("100000000"));
    remove(&place, &greedy);
}

#[test]
fn a_link_in_the_way_of_its_sandbox_leads_nowhere() {
    let place = Place::new();
    let above = place.spec("above", "exec sleep 1000");
    let mut client = place.launcher.launch(&above).unwrap().client;
    started(&mut client);
    let spec = within(&place, &above, "nested", "true");
    let elsewhere = place.dir.path().join("elsewhere");
    fs::create_dir_all(elsewhere.join("nested")).unwrap();
    fs::remove_dir_all(above.sandbox.join("containers")).unwrap();
    symlink(&elsewhere, above.sandbox.join("containers")).unwrap();
    let report = place.run(&spec);
    assert!(
        matches!(&report.outcome, Outcome::NotStarted { error } if error.failure == SetupFailure::Sandbox)
    );
    assert_eq!(fs::read_dir(elsewhere.join("nested")).unwrap().count(), 0);
    remove(&place, &spec);
}
