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
    "python3-venv",
    "skopeo",
    "systemd",
    "umoci",
    "zookeeper",
];
/// The unmodified clients from PyPI that the system tests run, with all they need, each pinned.
const REQUIREMENTS: &str = "tests/system/clients/requirements.txt";
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

/// A virtual environment below `target/` with Debian's C extensions and PyPI's clients on top: the PyPI builds of http-parser do
/// not compile with Python 3.11.
fn python() -> Result<()> {
    let (folder, requirements) = (root().join("target/python"), root().join(REQUIREMENTS));
    let wanted = std::fs::read_to_string(&requirements).context("cannot read what is required")?;
    if std::fs::read_to_string(folder.join("installed")).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    run(
        "python environment",
        Command::new("/usr/bin/python3").args(["-m", "venv", "--system-site-packages"]).arg(&folder),
    )?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--no-deps", "--ignore-installed", "--requirement"]).arg(&requirements);
    run("install the Python clients", &mut pip)?;
    std::fs::write(folder.join("installed"), wanted).context("cannot note what was installed")
}
