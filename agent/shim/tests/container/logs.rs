//! What a container writes is kept, up to what it may keep.

use std::fs;

use crate::place::*;
use chapada_shim::*;

/// The process that writes a container's logs, once it is one.
fn pump_of(place: &Place, id: &str) -> i32 {
    let group = place.launcher.cgroups().group(id);
    let name = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let pump = || group.processes().unwrap().into_iter().find(|pid| name(pid) == "chapada-logs\n");
    eventually("the pump is in the group", || pump().is_some());
    pump().unwrap()
}

fn sizes(spec: &ContainerSpec) -> Vec<(String, u64)> {
    let mut found: Vec<_> = fs::read_dir(&spec.sandbox)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
        .collect();
    found.sort();
    found
}

#[test]
fn a_flood_fills_its_files_and_no_more() {
    let place = Place::new();
    for pid1 in [Pid1::Init, Pid1::Command] {
        let id = format!("flood-{pid1:?}");
        let mut spec =
            place.spec(&id, "head -c 5000000 /dev/zero | tr '\\0' 'x'; echo; echo last; echo oops >&2");
        spec.pid1 = pid1;
        spec.logs = Some(LogLimits { bytes: 100_000, files: 3 });
        assert_eq!(place.run(&spec).outcome, Outcome::Exited { code: 0 });
        let found = sizes(&spec);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["stderr", "stdout", "stdout.1", "stdout.2"]);
        assert!(found.iter().all(|(_, size)| *size <= 100_000), "{found:?}");
        assert!(place.sandbox_file(&id, "stdout").ends_with("x\nlast\n"));
        assert_eq!(place.sandbox_file(&id, "stderr"), "oops\n");
    }
}

#[test]
fn nothing_that_was_written_before_the_end_is_lost() {
    let place = Place::new();
    // More than one read, less than a pipe holds, written right before a violent end.
    let ends = ["kill -KILL $$", "exit 3", "setsid sleep 1000 & exit 0"];
    for (number, end) in ends.into_iter().enumerate() {
        let id = format!("last-{number}");
        let spec = place.spec(&id, &format!("head -c 60000 /dev/zero | tr '\\0' 'y'; echo; {end}"));
        place.run(&spec);
        assert_eq!(place.sandbox_file(&id, "stdout").len(), 60_001, "{end}");
    }
}

#[test]
fn the_work_is_charged_to_the_container_and_the_shim_writes_what_memory_cut_off() {
    let place = Place::new();
    let mut spec = place.spec("charged", "echo before; head -c 200m /dev/zero | tail -n 1");
    spec.resources.memory_bytes = Some(48 << 20);
    let report = place.run(&spec);
    assert!(report.oom.is_some(), "{report:?}");
    assert_eq!(place.sandbox_file("charged", "stdout"), "before\n");

    let spec = place.spec("where", "echo ready; sleep 1000");
    let mut client = place.launcher.launch(&spec).unwrap().client;
    started(&mut client);
    let status = fs::read_to_string(format!("/proc/{}/status", pump_of(&place, "where"))).unwrap();
    assert_eq!(status_field(&status, "CapEff"), "000000000000000b");
    assert_eq!(status_field(&status, "CapBnd"), "000000000000000b");
    eventually("the log is written", || place.sandbox_file("where", "stdout") == "ready\n");
}

#[test]
fn a_pump_that_stands_still_costs_time_but_no_line() {
    let place = Place::new();
    let spec = place.spec("still", "echo ready; while [ ! -e go ]; do sleep 0.01; done; echo last");
    let mut client = place.launcher.launch(&spec).unwrap().client;
    started(&mut client);
    eventually("the log is written", || place.sandbox_file("still", "stdout") == "ready\n");
    let pump = nix::unistd::Pid::from_raw(pump_of(&place, "still"));
    nix::sys::signal::kill(pump, nix::sys::signal::Signal::SIGSTOP).unwrap();
    fs::write(spec.sandbox.join("go"), "").unwrap();
    assert_eq!(exit_of(&mut client).outcome, Outcome::Exited { code: 0 });
    assert_eq!(place.sandbox_file("still", "stdout"), "ready\nlast\n");
}

#[test]
fn older_files_belong_to_the_user_too() {
    use std::os::unix::fs::MetadataExt;
    let place = Place::new();
    let mut spec = place.own_root("owner", "for i in 1 2 3 4; do echo 123456789; done");
    spec.user = Some("ann".into());
    spec.logs = Some(LogLimits { bytes: 10, files: 2 });
    assert_eq!(place.run(&spec).outcome, Outcome::Exited { code: 0 });
    for name in ["stdout", "stdout.1"] {
        let metadata = fs::metadata(spec.sandbox.join(name)).unwrap();
        assert_eq!((metadata.uid(), metadata.len()), (1001, 10), "{name}");
    }
}

#[test]
fn without_limits_the_file_is_the_commands_own() {
    let place = Place::new();
    let mut spec = place.spec("direct", "readlink /proc/self/fd/1");
    spec.logs = None;
    assert_eq!(place.output_of(&spec), format!("{}\n", spec.sandbox.join("stdout").display()));
}
