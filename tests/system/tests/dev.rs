//! A whole cluster in one command.

use std::process::Command;

use chapada_harness::{binary, processes_of};

#[test]
fn dev_runs_the_sample_app_and_takes_everything_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports: Vec<String> = (0..3)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a port"))
        .collect::<Vec<_>>()
        .iter()
        .map(|listener| listener.local_addr().expect("bound").port().to_string())
        .collect();
    let out = Command::new(binary("chapada"))
        .args(["dev", "--once", "--work-dir"])
        .arg(folder.path())
        .args(["--port", &ports[0], "--agent-port", &ports[1], "--services-port", &ports[2]])
        .output()
        .expect("chapada is built");
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("first_task_running = "), "{stdout}\n{stderr}");
    let left = processes_of(&folder.path().to_string_lossy());
    assert!(left.is_empty(), "nothing is left running: {left:?}");
}
