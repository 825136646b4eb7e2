//! Programs that run in a container beside its command.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use crate::place::*;
use chapada_shim::*;

pub(crate) fn exec(script: &str) -> ExecSpec {
    ExecSpec {
        command: Command::Shell(script.into()),
        environment: vec![("PATH".into(), "/bin:/usr/bin".into())],
        inherited: Vec::new(),
        user: None,
        working_directory: None,
        terminal: None,
    }
}

struct Pipes {
    stdin: File,
    stdout: File,
    stderr: File,
}

fn pipes() -> (SessionStreams, Pipes) {
    let pipe = || nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let file = |descriptor: OwnedFd| File::from(descriptor);
    let ((stdin, in_), (out, stdout), (err, stderr)) = (pipe(), pipe(), pipe());
    (
        SessionStreams { stdin, stdout, stderr },
        Pipes { stdin: file(in_), stdout: file(out), stderr: file(err) },
    )
}

fn ended(session: &mut Session) -> Outcome {
    loop {
        if let Event::SessionEnded { outcome } = session.wait_event(PATIENCE).unwrap() {
            return outcome;
        }
    }
}

/// Runs a program without a terminal to its end: how it ended, and what it wrote.
pub(crate) fn run(spec: &ContainerSpec, program: &ExecSpec) -> (Outcome, String, String) {
    let (streams, mut pipes) = pipes();
    let mut session = Session::start(&spec.runtime_dir, program, Some(streams)).unwrap();
    drop(pipes.stdin);
    let (mut stdout, mut stderr) = (String::new(), String::new());
    pipes.stdout.read_to_string(&mut stdout).unwrap();
    pipes.stderr.read_to_string(&mut stderr).unwrap();
    (ended(&mut session), stdout, stderr)
}

const IDS: IdRange = IdRange { first: 1_500_000, count: 65_536 };

/// Containers of each kind: with the host's files, and with files, ids and a network of their own.
fn kinds(place: &Place) -> [ContainerSpec; 2] {
    let hosts = place.spec("hosts", "echo $$ > pid; exec sleep 1000");
    let mut own = place.own_root("own", "exec sleep 1000");
    own.user_namespace = Some(IDS);
    own.namespaces.network = true;
    own.hostname = Some("mesa".into());
    [hosts, own]
}

fn launched(place: &Place, spec: &ContainerSpec) -> (ShimClient, i32) {
    let mut client = place.launcher.launch(spec).unwrap().client;
    let pid = started(&mut client);
    (client, pid)
}

#[test]
fn a_program_is_in_the_namespaces_and_groups_of_its_container() {
    let place = Place::new();
    for spec in kinds(&place) {
        let (_client, pid) = launched(&place, &spec);
        let script = "for n in pid mnt ipc uts cgroup net user; do readlink /proc/self/ns/$n; done; cat /proc/self/status";
        let (outcome, inside, errors) = run(&spec, &exec(script));
        assert_eq!(outcome, Outcome::Exited { code: 0 }, "{errors}");
        for name in ["pid", "mnt", "ipc", "uts", "cgroup", "net", "user"] {
            let of_init = std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
            assert!(inside.contains(of_init.to_str().unwrap()), "{name}");
        }
        for (key, value) in [
            ("NoNewPrivs", "1"),
            ("Seccomp", "2"),
            ("CapEff", "00000000800405fb"),
            ("CapBnd", "00000000800405fb"),
        ] {
            assert_eq!(status_field(&inside, key), value, "{key}");
        }
        let (streams, _pipes) = pipes();
        let mut session = Session::start(&spec.runtime_dir, &exec("sleep 1000"), Some(streams)).unwrap();
        let Event::SessionStarted { pid: program } = session.wait_event(PATIENCE).unwrap() else { panic!() };
        let groups = |pid: i32| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        for (of_init, of_program) in groups(pid).into_iter().zip(groups(program)) {
            assert!(of_program.starts_with(&of_init), "{of_program} is not in {of_init}");
        }
    }
}

#[test]
fn streams_codes_signals_and_failures_come_back() {
    let place = Place::new();
    for spec in kinds(&place) {
        let (_client, _) = launched(&place, &spec);
        let (streams, mut pipes) = pipes();
        let mut program = exec("cat; echo $WHO $PWD >&2; exit 7");
        program.environment.push(("WHO".into(), "me".into()));
        program.working_directory = Some("/tmp".into());
        let mut session = Session::start(&spec.runtime_dir, &program, Some(streams)).unwrap();
        pipes.stdin.write_all(b"through and through").unwrap();
        drop(pipes.stdin);
        let mut text = String::new();
        pipes.stdout.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through and through");
        text.clear();
        pipes.stderr.read_to_string(&mut text).unwrap();
        assert_eq!(text, "me /tmp\n");
        assert_eq!(ended(&mut session), Outcome::Exited { code: 7 });

        let (outcome, ..) = run(&spec, &exec("kill -SEGV $$"));
        assert_eq!(outcome, Outcome::Signaled { signal: libc::SIGSEGV });

        let mut missing = exec("");
        missing.command = Command::Program { file: "/no/such/program".into(), argv: vec![] };
        let (Outcome::NotStarted { error }, ..) = run(&spec, &missing) else { panic!("it ran") };
        assert_eq!((error.failure, error.errno), (SetupFailure::Command, Some(libc::ENOENT)));

        let mut bob = exec("true");
        bob.user = Some("bob-of-nowhere".into());
        let (Outcome::NotStarted { error }, ..) = run(&spec, &bob) else { panic!("it ran") };
        assert_eq!(error.failure, SetupFailure::User);
    }
}

#[test]
fn a_terminal_is_the_containers_and_controls_the_program() {
    let place = Place::new();
    for spec in kinds(&place) {
        let (_client, _) = launched(&place, &spec);
        let mut program = exec(
            "tty; stty size 2>/dev/null; trap 'exit 9' INT; echo ready; read line; echo got $line; while :; do sleep 1; done",
        );
        program.terminal = Some(WindowSize { rows: 33, columns: 111 });
        let mut session = Session::start(&spec.runtime_dir, &program, None).unwrap();
        assert_eq!(session.wait_event(PATIENCE).unwrap(), Event::SessionTerminal);
        let mut terminal = session.take_terminal().unwrap();
        assert!(matches!(session.wait_event(PATIENCE).unwrap(), Event::SessionStarted { .. }));
        let mut shown = String::new();
        let mut until = |terminal: &mut File, what: &str| {
            while !shown.contains(what) {
                let mut chunk = [0; 256];
                let count = terminal.read(&mut chunk).unwrap();
                shown.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
            }
            shown.clone()
        };
        let text = until(&mut terminal, "ready");
        assert!(text.starts_with("/dev/pts/0"), "{text}");
        resize(&terminal, WindowSize { rows: 50, columns: 150 }).unwrap();
        terminal.write_all(b"a line\r").unwrap();
        until(&mut terminal, "got a line");
        terminal.write_all(b"\x03").unwrap();
        assert_eq!(ended(&mut session), Outcome::Exited { code: 9 });
    }
}

#[test]
fn a_session_ends_with_its_connection_and_takes_all_it_started_along() {
    let place = Place::new();
    let [spec, _] = kinds(&place);
    let (mut client, _) = launched(&place, &spec);
    let group = place.launcher.cgroups().group(&spec.id);
    let (streams, pipes) = pipes();
    let program = exec("setsid sh -c 'echo $$; exec sleep 1000' & exec sleep 1000");
    let mut session = Session::start(&spec.runtime_dir, &program, Some(streams)).unwrap();
    let Event::SessionStarted { pid } = session.wait_event(PATIENCE).unwrap() else { panic!() };
    let mut number = [0; 1];
    (&pipes.stdout).read_exact(&mut number).unwrap();
    drop(session);
    eventually("the program is gone", || !alive(pid));
    let mut rest = Vec::new();
    // Whoever still held the pipe would keep us here.
    (&pipes.stdout).read_to_end(&mut rest).unwrap();
    // Who ends closes its files before it leaves its group.
    let left = || group.processes().unwrap().len();
    eventually("only init, the command and its log are left", || left() <= 3);
    assert_eq!(left(), 3, "they go on");
    client.request_status().unwrap();
    started(&mut client);
}

#[test]
fn a_session_ends_with_its_container() {
    let place = Place::new();
    for spec in kinds(&place) {
        let (mut client, _) = launched(&place, &spec);
        let (streams, _pipes) = pipes();
        let mut session = Session::start(&spec.runtime_dir, &exec("sleep 1000"), Some(streams)).unwrap();
        assert!(matches!(session.wait_event(PATIENCE).unwrap(), Event::SessionStarted { .. }));
        client.destroy().unwrap();
        assert_eq!(ended(&mut session), Outcome::Signaled { signal: libc::SIGKILL });
        exit_of(&mut client);
        // The shim may still be on its way out.
        let late = Session::start(&spec.runtime_dir, &exec("true"), Some(pipes_streams()));
        assert!(late.and_then(|mut session| session.wait_event(PATIENCE)).is_err());
    }
}

fn pipes_streams() -> SessionStreams {
    pipes().0
}

#[test]
fn a_session_is_signalled_and_others_go_on() {
    let place = Place::new();
    let [spec, _] = kinds(&place);
    let (_client, _) = launched(&place, &spec);
    let start = |script: &str| {
        let (streams, pipes) = pipes();
        let mut session = Session::start(&spec.runtime_dir, &exec(script), Some(streams)).unwrap();
        assert!(matches!(session.wait_event(PATIENCE).unwrap(), Event::SessionStarted { .. }));
        (session, pipes)
    };
    let (mut one, pipes_of_one) = start("trap 'exit 5' TERM; echo; while :; do sleep 0.01; done");
    let (mut other, _pipes) = start("sleep 1000");
    (&pipes_of_one.stdout).read_exact(&mut [0]).unwrap();
    one.signal(libc::SIGTERM).unwrap();
    assert_eq!(ended(&mut one), Outcome::Exited { code: 5 });
    other.signal(libc::SIGKILL).unwrap();
    assert_eq!(ended(&mut other), Outcome::Signaled { signal: libc::SIGKILL });
}

#[test]
fn no_descriptor_leaks_into_a_session_and_its_way_in_cannot_be_bent() {
    let place = Place::new();
    let [_, own] = kinds(&place);
    let (_client, _) = launched(&place, &own);
    let (outcome, output, _) = run(&own, &exec("ls /proc/self/fd"));
    assert_eq!((outcome, output.as_str()), (Outcome::Exited { code: 0 }, "0\n1\n2\n3\n"));
    for number in 3..24 {
        let mut program = exec("pwd");
        program.working_directory = Some(format!("/proc/self/fd/{number}").into());
        assert!(matches!(run(&own, &program).0, Outcome::NotStarted { .. }), "{number}");
        let mut program = exec("");
        program.command = Command::Program { file: format!("/proc/self/fd/{number}"), argv: vec![] };
        assert!(matches!(run(&own, &program).0, Outcome::NotStarted { .. }), "{number}");
    }
    // A container that has covered its terminals gets none, and no file of its own in their place.
    let (outcome, ..) = run(&own, &exec("rm -f /dev/ptmx; ln -s /etc/passwd /dev/ptmx"));
    assert_eq!(outcome, Outcome::Exited { code: 0 });
    let mut program = exec("tty");
    program.terminal = Some(WindowSize { rows: 1, columns: 1 });
    let mut session = Session::start(&own.runtime_dir, &program, None).unwrap();
    assert_eq!(session.wait_event(PATIENCE).unwrap(), Event::SessionTerminal);
    assert_eq!(ended(&mut session), Outcome::Exited { code: 0 });
}

#[test]
fn what_cannot_be_is_refused_before_it_is_sent() {
    let place = Place::new();
    let spec = place.spec("refused", "sleep 1000");
    let (_client, _) = launched(&place, &spec);
    let mut with_terminal = exec("true");
    with_terminal.terminal = Some(WindowSize { rows: 1, columns: 1 });
    assert!(Session::start(&spec.runtime_dir, &with_terminal, Some(pipes_streams())).is_err());
    assert!(Session::start(&spec.runtime_dir, &exec("true"), None).is_err());
    let huge = exec(&"x".repeat(200_000));
    assert!(Session::start(&spec.runtime_dir, &huge, Some(pipes_streams())).is_err());
}

#[test]
fn a_session_is_no_root_of_the_machine_either_and_inherits_what_it_names() {
    let place = Place::new();
    let mut spec = place.spec("careful", "echo $$ > pid; exec sleep 1000");
    spec.user = Some("nobody".to_owned());
    spec.never_host_root = true;
    spec.environment.extend([("A".to_owned(), "a".to_owned()), ("B".to_owned(), "b".to_owned())]);
    let mut client = place.launcher.launch(&spec).unwrap().client;
    started(&mut client);
    let mut program = exec("echo $A-$B-$PATH");
    program.inherited = vec!["B".into(), "PATH".into(), "C".into()];
    let (outcome, said, _) = run(&spec, &program);
    assert_eq!((outcome, said.as_str()), (Outcome::Exited { code: 0 }, "-b-/bin:/usr/bin\n"));
    program.user = Some("0".to_owned());
    let Outcome::NotStarted { error } = run(&spec, &program).0 else { panic!("root came in") };
    assert_eq!(error.failure, SetupFailure::User);
}
