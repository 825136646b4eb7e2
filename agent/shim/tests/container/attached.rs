//! Commands with terminals, and who reads along what a command writes.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use crate::place::*;
use chapada_shim::*;

fn along() -> (AlongStreams, [File; 3]) {
    let pipe = || nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let file = |descriptor: OwnedFd| File::from(descriptor);
    let ((out, stdout), (err, stderr), (fate, cut)) = (pipe(), pipe(), pipe());
    (AlongStreams { stdout, stderr, cut }, [file(out), file(err), file(fate)])
}

/// Reads along from now on.
fn attach(spec: &ContainerSpec) -> [File; 3] {
    let (streams, ours) = along();
    read_along(&spec.runtime_dir, &streams).unwrap();
    ours
}

fn rest(file: &mut File) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}

/// Reads until this was said.
fn until(file: &mut File, wanted: &str) {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(wanted) {
        let mut piece = [0; 4096];
        let count = file.read(&mut piece).unwrap();
        assert!(count > 0, "{:?} without {wanted:?}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&piece[..count]);
    }
}

fn kinds(place: &Place, script: &str) -> [ContainerSpec; 3] {
    let hosts = place.spec("hosts", script);
    let mut first = place.spec("first", script);
    first.pid1 = Pid1::Command;
    first.user = Some("nobody".into());
    let mut own = place.own_root("own", script);
    own.user_namespace = Some(IdRange { first: 1_600_000, count: 65_536 });
    own.user = Some("1234".into());
    [hosts, first, own]
}

#[test]
fn a_command_has_a_terminal_that_outlives_who_types_on_it() {
    let place = Place::new();
    for mut spec in kinds(&place, "tty; stty size; read x; stty size; echo \"heard $x\"; read y; exit 4") {
        spec.terminal = Some(WindowSize { rows: 9, columns: 99 });
        let mut client = place.launcher.launch(&spec).unwrap().client;
        started(&mut client);
        let stdout = || std::fs::read_to_string(spec.sandbox.join("stdout")).unwrap();
        eventually("it is in the log", || stdout().contains("9 99\r\n"));
        assert!(stdout().starts_with("/dev/pts/0\r\n"), "{:?}", stdout());
        // The first one leaves, as an agent that is restarted does.
        drop((take_terminal(&spec.runtime_dir).unwrap(), client));
        let [mut out, _err, mut cut] = attach(&spec);
        let mut terminal = take_terminal(&spec.runtime_dir).unwrap();
        resize(&terminal, WindowSize { rows: 40, columns: 120 }).unwrap();
        terminal.write_all(b"you\n").unwrap();
        until(&mut out, "40 120\r\nheard you\r\n");
        // The key that interrupts works, so the terminal is in control.
        terminal.write_all(b"\x03").unwrap();
        assert_ne!(outcome_of(&place, &spec), Outcome::Exited { code: 4 });
        assert_eq!((rest(&mut cut), stdout().contains("heard you\r\n")), (String::new(), true));
    }
}

/// How a container ends. A shim that is about to go takes no connection any more, and its report is on disk by then.
fn outcome_of(place: &Place, spec: &ContainerSpec) -> Outcome {
    let Ok(mut client) = ShimClient::connect(&spec.runtime_dir) else { return ended(place, spec) };
    loop {
        match client.wait_event(PATIENCE) {
            Ok(Event::Exited { report }) => return report.outcome,
            Ok(_) => {}
            Err(ClientError::Closed) => return ended(place, spec),
            Err(error) => panic!("{error}"),
        }
    }
}

/// How a container ended whose shim has gone.
fn ended(place: &Place, spec: &ContainerSpec) -> Outcome {
    let found = recover(&place.runtime_root()).unwrap().into_iter().find(|found| found.id == spec.id);
    let Some(RecoveredState::Exited(report)) = found.map(|found| found.state) else { panic!("no report") };
    report.outcome
}

#[test]
fn several_read_along_and_who_reads_nothing_is_told_and_delays_nobody() {
    let place = Place::new();
    let script =
        "until [ -e go ]; do :; done; echo to-err >&2; head -c 3000000 /dev/zero | tr '\\0' x; echo end";
    for spec in kinds(&place, script) {
        let mut client = place.launcher.launch(&spec).unwrap().client;
        started(&mut client);
        let [mut out, mut err, mut cut] = attach(&spec);
        let [_unread, _, mut told] = attach(&spec);
        drop(attach(&spec));
        std::fs::write(spec.sandbox.join("go"), "").unwrap();
        assert_eq!(exit_of(&mut client).outcome, Outcome::Exited { code: 0 });
        assert_eq!(rest(&mut told), "c");
        // Nobody read meanwhile, so this one was cut off as well.
        assert_eq!(rest(&mut cut), "c");
        assert!(rest(&mut out).len() < 3_000_000);
        assert_eq!(rest(&mut err), "to-err\n");
        assert!(place.sandbox_file(&spec.id, "stdout").ends_with("xend\n"));
    }
}

#[test]
fn what_cannot_be_attached_to_is_refused() {
    let place = Place::new();
    let mut silent = place.spec("silent", "exec sleep 1000 >&- 2>&-");
    silent.logs = Some(LogLimits::default());
    let mut client = place.launcher.launch(&silent).unwrap().client;
    started(&mut client);
    assert!(matches!(take_terminal(&silent.runtime_dir), Err(ClientError::Spec(_))));
    eventually("nothing reads it any more", || read_along(&silent.runtime_dir, &along().0).is_err());
    // Many more than there may be: those who left make room, and no one is kept waiting.
    let spec = place.spec("many", "exec sleep 1000");
    let mut client = place.launcher.launch(&spec).unwrap().client;
    started(&mut client);
    let mut held: Vec<_> = (0..9).map(|_| attach(&spec)).collect();
    let [_, _, told] = &mut held[8];
    assert_eq!(rest(told), "c");
    drop(held);
    let [out, _, mut told] = attach(&spec);
    client.destroy().unwrap();
    exit_of(&mut client);
    assert_eq!(rest(&mut told), "", "it was taken");
    drop(out);
    let mut wrong = place.spec("wrong", "true");
    (wrong.terminal, wrong.logs) = (Some(WindowSize { rows: 1, columns: 1 }), None);
    assert!(place.launcher.launch(&wrong).unwrap_err().to_string().contains("terminal"));
}
