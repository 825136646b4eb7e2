//! The unit files in `systemd/`: systemd takes them as they are, and they keep containers over a restart of the agent.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may fail only by failing their test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const DAEMONS: [&str; 3] = ["agent", "master", "services"];

fn unit(daemon: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("systemd/chapada-{daemon}.service"))
}

fn settings(daemon: &str) -> BTreeSet<String> {
    fs::read_to_string(unit(daemon)).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn systemd_takes_every_unit_without_a_word() {
    let directory = tempfile::tempdir().unwrap();
    for daemon in DAEMONS {
        // The program that it is to start has to be there.
        let text = fs::read_to_string(unit(daemon)).unwrap();
        let text = text.replace("/usr/bin/chapada ", concat!(env!("CARGO_BIN_EXE_chapada"), " "));
        let path = directory.path().join(unit(daemon).file_name().unwrap());
        fs::write(&path, text).unwrap();
        let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output();
        let verified = verified.expect("the Debian package systemd is missing");
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(verified.status.success() && said.is_empty(), "{daemon}: {said}");
    }
}

#[test]
fn what_units_start_are_commands_with_flags_that_exist() {
    for daemon in DAEMONS {
        let settings = settings(daemon);
        let start =
            settings.iter().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/chapada ")).unwrap();
        let arguments: Vec<&str> = start.split(' ').collect();
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config.toml");
        fs::write(&config, "").unwrap();
        let [command, "--config", _] = arguments[..] else { panic!("{start}") };
        let program = Command::new(env!("CARGO_BIN_EXE_chapada"))
            .args([command, "--config"])
            .arg(&config)
            .arg("--print-config")
            .output()
            .unwrap();
        assert!(program.status.success(), "{}", String::from_utf8_lossy(&program.stderr));
        let directory = format!("work-dir = \"/var/lib/chapada/{daemon}\"");
        assert!(String::from_utf8_lossy(&program.stdout).contains(&directory), "systemd makes {directory}");
        assert!(settings.contains(&format!("StateDirectory=chapada/{daemon}")));
    }
}

#[test]
fn a_restart_of_the_agent_ends_nothing_but_the_agent() {
    let settings = settings("agent");
    for line in ["Delegate=yes", "KillMode=process", "Restart=always"] {
        assert!(settings.contains(line), "{line}");
    }
    // These hold for all that a service starts, in any cgroup: containers too.
    let inherited =
        ["Protect", "Private", "Restrict", "SystemCall", "OOMScoreAdjust", "NoNewPrivileges", "Runtime"];
    let breaks = |line: &&String| inherited.iter().any(|name| line.starts_with(name));
    assert_eq!(settings.iter().find(breaks), None);
}
