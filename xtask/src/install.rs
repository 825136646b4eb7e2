//! Installs what the tests need and the machine lacks. Needs root for the Debian packages.

use std::process::Command;

use anyhow::{Context, Result};

use crate::run::{cargo, on_path, root, run};

/// Real components that the tests start, as Debian packages them.
const PACKAGES: &[&str] = &[
    "busybox-static",
    "chromium",
    "containernetworking-plugins",
    "docker-registry",
    "iproute2",
    "iptables",
    "nftables",
    "python3-http-parser",
    "python3-kazoo",
    "python3-marathon",
    "python3-venv",
    "skopeo",
    "systemd",
    "umoci",
    "zookeeper",
];
/// The unmodified client of the Mesos v1 scheduler API that the system tests run.
const PYMESOS: &str = "pymesos==0.3.15";
const CARGO_DENY: &str = "cargo-deny@0.20.2";

/// Idempotent: what is there already costs a look.
pub(crate) fn install() -> Result<()> {
    packages(PACKAGES)?;
    python()?;
    if !on_path("cargo-deny") {
        cargo_deny()?;
    }
    Ok(())
}

/// Without its own git client: the licence, ban and source checks need no network.
pub(crate) fn cargo_deny() -> Result<()> {
    run(
        "install cargo-deny",
        &mut cargo(&["install", "--quiet", "--locked", "--no-default-features", CARGO_DENY]),
    )
}

/// Those of these Debian packages that are missing.
pub(crate) fn packages(wanted: &[&'static str]) -> Result<()> {
    let missing: Vec<&str> = wanted.iter().copied().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    run("refresh the package lists", Command::new("apt-get").args(["update", "-qq"]))?;
    run(&format!("install {}", missing.join(" ")), &mut apt(&missing))
}

fn apt(packages: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(packages);
    command
}

fn installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["-W", "-f=${db:Status-Status}", package])
        .output()
        .is_ok_and(|out| out.stdout == b"installed")
}

/// A virtual environment below `target/` with Debian's C extensions and PyPI's pymesos on top: the PyPI builds of
/// http-parser do not compile with Python 3.11.
fn python() -> Result<()> {
    let folder = root().join("target/python");
    if folder.join("installed").is_file() {
        return Ok(());
    }
    run(
        "python environment",
        Command::new("/usr/bin/python3").args(["-m", "venv", "--system-site-packages"]).arg(&folder),
    )?;
    let pip = folder.join("bin/pip");
    run("install pymesos", Command::new(pip).args(["install", "--quiet", "--no-deps", PYMESOS, "addict"]))?;
    std::fs::write(folder.join("installed"), PYMESOS).context("cannot note what was installed")
}
