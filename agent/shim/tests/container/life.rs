//! How containers begin and end, on the real kernel.

use std::fs;
use std::path::Path;

use crate::place::*;
use chapada_shim::*;

#[test]
fn exit_codes_and_signals_are_reported_and_on_disk() {
    let place = Place::new();
    let cases = [
        ("true", Outcome::Exited { code: 0 }),
        ("exit 3", Outcome::Exited { code: 3 }),
        ("kill -SEGV $$", Outcome::Signaled { signal: libc::SIGSEGV }),
    ];
    for (number, (script, outcome)) in cases.into_iter().enumerate() {
        let id = format!("c{number}");
        let report = place.run(&place.spec(&id, script));
        assert_eq!(report.outcome, outcome, "{script}");
        assert_eq!(report.oom, None);
        let runtime_dir = place.runtime_root().join(&id);
        assert_eq!(runtime_dir::read_record(&runtime_dir, runtime_dir::EXIT).unwrap(), Some(report));
    }
}

#[test]
fn the_command_can_be_process_1() {
    let place = Place::new();
    let mut spec = place.spec("one", "echo $$; exit 7");
    spec.pid1 = Pid1::Command;
    assert_eq!(place.run(&spec).outcome, Outcome::Exited { code: 7 });
    assert_eq!(place.sandbox_file("one", "stdout"), "1\n");
    assert_ne!(place.output("echo $$"), "1\n");
}

#[test]
fn a_program_gets_its_arguments_and_nothing_but_its_environment() {
    let place = Place::new();
    let mut spec = place.spec("argv", "");
    let argv = ["sh", "-c", "echo \"$0\" \"$1\"; env | sort; pwd; cat; umask", "zero", "a b"];
    spec.command = Command::Program { file: "sh".into(), argv: argv.map(str::to_owned).to_vec() };
    spec.environment.push(("GREETING".into(), "hello = world".into()));
    let output = place.output_of(&spec);
    let sandbox = spec.sandbox.to_str().unwrap();
    let expected = format!(
        "zero a b\nGREETING=hello = world\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nPWD={sandbox}\n{sandbox}\n0022\n"
    );
    assert_eq!(output, expected);
}

#[test]
fn what_cannot_be_set_up_says_why() {
    let place = Place::new();
    let failure = |spec: &ContainerSpec| match place.run(spec).outcome {
        Outcome::NotStarted { error } => (error.failure, error.message, error.errno),
        other => panic!("it ran: {other:?}"),
    };
    let mut spec = place.spec("user", "true");
    spec.user = Some("nobody-of-this-name".into());
    let (kind, message, _) = failure(&spec);
    assert_eq!(kind, SetupFailure::User);
    assert!(message.contains("nobody-of-this-name"), "{message}");

    let mut spec = place.spec("command", "");
    spec.command = Command::Program { file: "/no/such/program".into(), argv: vec![] };
    let (kind, message, errno) = failure(&spec);
    assert_eq!((kind, errno), (SetupFailure::Command, Some(libc::ENOENT)));
    assert!(message.contains("/no/such/program"), "{message}");

    let mut spec = place.spec("missing", "");
    spec.command = Command::Program { file: "no-such-program".into(), argv: vec![] };
    spec.pid1 = Pid1::Command;
    assert_eq!(failure(&spec).0, SetupFailure::Command);

    let spec = place.spec("sandbox", "true");
    fs::remove_dir(&spec.sandbox).unwrap();
    assert_eq!(failure(&spec).0, SetupFailure::Sandbox);

    let spec = place.spec("link", "true");
    std::os::unix::fs::symlink("/etc/passwd", spec.sandbox.join("stdout")).unwrap();
    assert_eq!(failure(&spec).0, SetupFailure::Sandbox);

    let mut spec = place.spec("limit", "true");
    spec.rlimits = vec![Rlimit { name: "nofiles".into(), soft: None, hard: None }];
    let (kind, message, _) = failure(&spec);
    assert_eq!(kind, SetupFailure::Privileges);
    assert!(message.contains("nofiles"), "{message}");
}

#[test]
fn a_signal_reaches_the_whole_process_group() {
    let place = Place::new();
    let script = "trap 'echo shell; wait; exit 5' TERM; (trap 'echo child; exit' TERM; echo ready; while :; do sleep 0.01; done) & wait";
    let spec = place.spec("term", script);
    let mut client = place.launcher.launch(&spec).unwrap().client;
    started(&mut client);
    eventually("the child is ready", || place.sandbox_file("term", "stdout").contains("ready"));
    client.kill(libc::SIGTERM).unwrap();
    assert_eq!(exit_of(&mut client).outcome, Outcome::Exited { code: 5 });
    let output = place.sandbox_file("term", "stdout");
    assert!(output.contains("shell") && output.contains("child"), "{output}");
}

#[test]
fn destroy_reaches_what_left_its_session_and_parent() {
    let place = Place::new();
    // The trap comes first: nothing that is seen to run can still be ended by TERM.
    let script = "trap '' TERM; setsid sh -c 'setsid sleep 1000 & echo $!' & while :; do sleep 1000; done";
    let mut client = place.launcher.launch(&place.spec("stubborn", script)).unwrap().client;
    started(&mut client);
    let group = place.launcher.cgroups().group("stubborn");
    let named = |name: &str| {
        let name_of = |pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        group.processes().unwrap().into_iter().filter(|pid| name_of(*pid).trim_end() == name).count()
    };
    eventually("the daemon sleeps, and its grandparent, and its parent has ended", || {
        (named("sh"), named("sleep")) == (1, 2)
    });
    let processes = group.processes().unwrap();
    client.kill(libc::SIGTERM).unwrap();
    client.destroy().unwrap();
    assert_eq!(exit_of(&mut client).outcome, Outcome::Signaled { signal: libc::SIGKILL });
    assert!(processes.iter().all(|pid| !alive(*pid)), "some of {processes:?} live");
}

#[test]
fn what_a_finished_command_left_running_is_killed() {
    let place = Place::new();
    let spec = place.spec("daemon", "setsid sleep 1000 >/dev/null 2>&1 & exit 0");
    assert_eq!(place.run(&spec).outcome, Outcome::Exited { code: 0 });
    assert_eq!(place.launcher.cgroups().group("daemon").processes().unwrap(), Vec::<i32>::new());
}

#[test]
fn orphans_are_reaped() {
    let place = Place::new();
    // A zombie keeps its directory in /proc until its parent has waited for it.
    let script = "for i in 1 2 3 4 5; do pids=\"$pids $(sh -c 'sleep 0.01 >&2 & echo $!')\"; done; \
                  for pid in $pids; do n=0; \
                  while [ -e /proc/$pid ]; do n=$((n+1)); [ $n -gt 500 ] && echo $pid stays && break; sleep 0.01; done; done";
    assert_eq!(place.output(script), "");
}

#[test]
fn a_bad_signal_is_refused_and_the_container_goes_on() {
    let place = Place::new();
    let mut client = place.launcher.launch(&place.spec("on", "sleep 1000")).unwrap().client;
    started(&mut client);
    client.kill(9999).unwrap();
    let Event::Refused { request, .. } = client.wait_event(PATIENCE).unwrap() else { panic!("not refused") };
    assert_eq!(request, Request::Kill { signal: 9999 });
    client.request_status().unwrap();
    started(&mut client);
}

#[test]
fn a_runtime_directory_serves_one_container() {
    let place = Place::new();
    let spec = place.spec("twice", "sleep 1000");
    let mut first = place.launcher.launch(&spec).unwrap().client;
    started(&mut first);
    assert!(matches!(place.launcher.launch(&spec), Err(LaunchError::InUse(_))));
    first.destroy().unwrap();
    exit_of(&mut first);
    assert!(matches!(place.launcher.launch(&spec), Err(LaunchError::InUse(_))));
}

#[test]
fn cleanup_is_idempotent_and_ends_what_runs() {
    let place = Place::new();
    let spec = place.spec("gone", "sleep 1000");
    let mut client = place.launcher.launch(&spec).unwrap().client;
    let pid = started(&mut client);
    let (cgroups, root) = (place.launcher.cgroups(), place.runtime_root());
    for _ in 0..3 {
        cleanup(cgroups, &root, "gone").unwrap();
        assert!(!alive(pid));
        assert!(!cgroups.group("gone").exists());
        assert!(!root.join("gone").exists());
        assert!(spec.sandbox.exists());
    }
    cleanup(cgroups, &root, "never-was").unwrap();
    assert!(cleanup(cgroups, &root, "../gone").is_err());
    assert!(cgroups.containers().unwrap().is_empty());
}

#[test]
fn the_order_does_not_reach_the_disk_or_the_arguments() {
    let place = Place::new();
    let mut spec = place.spec("secret", "sleep 1000");
    spec.environment.push(("TOKEN".into(), "hunter2".into()));
    let mut client = place.launcher.launch(&spec).unwrap().client;
    started(&mut client);
    let state: ContainerState =
        runtime_dir::read_record(&spec.runtime_dir, runtime_dir::STATE).unwrap().unwrap();
    let arguments = fs::read(format!("/proc/{}/cmdline", state.shim_pid)).unwrap();
    assert_eq!(arguments, b"chapada-shim\0");
    for entry in fs::read_dir(&spec.runtime_dir).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        let text = fs::read_to_string(entry.path()).unwrap();
        assert!(!text.contains("hunter2"), "{}", entry.path().display());
    }
    assert!(
        fs::read_link(Path::new("/proc").join(state.shim_pid.to_string()).join("exe"))
            .unwrap()
            .starts_with("/memfd:chapada-shim (deleted)")
    );
}
