//! A whole cluster in one command.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use chapada_harness::{binary, free_port, processes_of};

#[test]
fn dev_runs_the_sample_app_and_takes_everything_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = dev(folder.path()).output().expect("chapada is built");
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("first_task_running = "), "{stdout}\n{stderr}");
    nothing_left(folder.path());
}

#[test]
fn dev_takes_everything_down_although_nobody_reads_what_it_prints() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = dev(folder.path()).stdout(Stdio::piped()).spawn().expect("chapada is built");
    drop(child.stdout.take());
    child.wait().expect("it ends");
    nothing_left(folder.path());
}

fn nothing_left(folder: &Path) {
    let left = processes_of(&folder.to_string_lossy());
    assert!(left.is_empty(), "nothing is left running: {left:?}");
}

fn dev(folder: &Path) -> Command {
    let ports = [(); 3].map(|()| free_port(Ipv4Addr::LOCALHOST).to_string());
    let mut command = Command::new(binary("chapada"));
    command.args(["dev", "--once", "--work-dir"]).arg(folder);
    command.args(["--port", &ports[0], "--agent-port", &ports[1], "--services-port", &ports[2]]);
    command
}
