//! A daemon that cannot start says in one sentence what is wrong and what to do.

use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::Duration;

use chapada_harness::{Daemon, binary, container_cgroups, eventually};

fn chapada(arguments: &[&str]) -> Output {
    Command::new(binary("chapada"))
        .args(arguments)
        .env_remove("CHAPADA_MASTER")
        .output()
        .expect("chapada is built")
}

fn refused(arguments: &[&str], code: i32, words: &[&str]) {
    let out = chapada(arguments);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{arguments:?}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{arguments:?} should say {word:?}: {stderr}");
    }
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let work = folder.path().to_string_lossy().into_owned();
    refused(&["master", "--port", &port, "--work-dir", &work], 1, &[&port, "--port"]);
    refused(
        &["agent", "--master", "127.0.0.1:1", "--port", &port, "--work-dir", &work],
        1,
        &[&port, "--port"],
    );
    refused(
        &["services", "--master", "127.0.0.1:1", "--port", &port, "--work-dir", &work],
        1,
        &[&port, "--port"],
    );
}

#[test]
fn listening_off_loopback_without_credentials_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let work = folder.path().to_string_lossy().into_owned();
    let off = ["--ip", "0.0.0.0", "--port", "0", "--work-dir", &work];
    for daemon in ["master", "agent", "services"] {
        let mut arguments = vec![daemon];
        arguments.extend(off);
        if daemon != "master" {
            arguments.extend(["--master", "127.0.0.1:1"]);
        }
        refused(&arguments, 1, &["--insecure"]);
    }
}

#[test]
fn an_unknown_flag_and_an_unknown_key_name_the_nearest() {
    refused(&["master", "--work-dri", "x"], 2, &["--work-dir"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("master.toml");
    std::fs::write(&file, "work-dri = \"x\"\n").expect("a file");
    refused(&["master", "--config", &file.to_string_lossy()], 2, &["work-dri", "work-dir"]);
}

#[test]
fn a_client_that_reaches_nobody_says_so() {
    refused(&["status", "--master", "127.0.0.1:1"], 4, &["127.0.0.1:1", "--master"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    refused(&["master", "--port", "0", "--work-dir", "/proc/chapada"], 1, &["/proc/chapada"]);
}

#[test]
fn a_full_disk_is_named_with_the_remedy() {
    let disk = FullDisk::mount();
    let cgroups = format!("chapada-refused-{}", std::process::id());
    for daemon in ["agent", "services", "master"] {
        let work = disk.0.path().join(daemon).to_string_lossy().into_owned();
        let mut arguments = vec![daemon, "--port", "0", "--work-dir", &work];
        if daemon != "master" {
            arguments.extend(["--master", "127.0.0.1:1"]);
        }
        if daemon == "agent" {
            arguments.extend(["--cgroups-root", &cgroups]);
        }
        refused(&arguments, 1, &["No space left", disk.0.path().to_str().expect("text"), "--work-dir"]);
    }
    assert!(container_cgroups(&cgroups).is_empty(), "an agent that did not start left its cgroups");
}

/// A file system without a free byte; gone with the value.
struct FullDisk(tempfile::TempDir);

impl FullDisk {
    fn mount() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("full"), folder.path(), Some("tmpfs"), flags, Some("size=64k"))
            .expect("root mounts");
        let disk = Self(folder);
        for daemon in ["agent", "services", "master"] {
            std::fs::create_dir(disk.0.path().join(daemon)).expect("room for a folder");
        }
        let full = std::fs::write(disk.0.path().join("filler"), vec![0; 128 << 10]).expect_err("it is full");
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        disk
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(self.0.path(), nix::mount::MntFlags::MNT_DETACH);
    }
}

#[test]
fn without_zookeeper_a_daemon_says_so_and_keeps_trying() {
    let folder = tempfile::tempdir().expect("a folder");
    let master = ["master", "--port", "0", "--zk", "zk://127.0.0.1:1/chapada"].map(str::to_owned).to_vec();
    let agent = ["agent", "--port", "0", "--master", "zk://127.0.0.1:1/chapada"].map(str::to_owned).to_vec();
    for (name, mut arguments) in [("master", master), ("agent", agent)] {
        arguments.extend(["--work-dir".to_owned(), folder.path().join(name).to_string_lossy().into_owned()]);
        let mut daemon = Daemon::start(name, folder.path(), None, &arguments);
        eventually(&format!("the {name} names ZooKeeper"), Duration::from_secs(60), || {
            let log = daemon.log();
            let said =
                log.contains("no ZooKeeper server at zk://127.0.0.1:1/chapada answers: check that it runs");
            if said { Ok(()) } else { Err(log) }
        });
        assert!(daemon.stop().success(), "it was still there and stops as asked");
    }
}

#[test]
fn an_agent_without_root_says_what_it_needs() {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("chapada");
    std::fs::copy(binary("chapada"), &copy).expect("a copy that anyone can run");
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .expect("open folder");
    let work = folder.path().join("agent");
    let out = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .args(["agent", "--master", "127.0.0.1:1", "--port", "0", "--work-dir"])
        .arg(&work)
        .output()
        .expect("setpriv is part of Debian");
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("root"), "{stderr}");
}
