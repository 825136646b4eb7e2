//! Where the containers of this bench live: layers, sandboxes, cgroups; gone with it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use chapada_shim::{Cgroups, IdRange, Launcher, cleanup, recover};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, chown, mkfifo};

/// Ids of the host for the containers' users; the first of them is the root of each, for one runs at a time. A crowd takes
/// the ranges that follow.
pub(super) const IDS: IdRange = IdRange { first: 1_000_000, count: 65_536 };
/// Where a container sees its sandbox.
pub(super) const SANDBOX: &str = "/mnt/mesos/sandbox";
/// Ten thousand times what a start takes.
const PATIENCE_MILLIS: u16 = 20_000;

/// Files and cgroups of the bench.
pub(super) struct Place {
    dir: tempfile::TempDir,
    pub(super) launcher: Launcher,
}

impl Place {
    /// Builds the probe, and a layer with it and busybox.
    pub(super) fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("chapada-bench-").tempdir_in("/var/tmp")?;
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        let cgroups = Cgroups::discover(format!("chapada-bench-{}", std::process::id()))?;
        let launcher = Launcher::new(chapada_shim_image::SHIM_IMAGE, cgroups)?;
        let place = Self { dir, launcher };
        place.base_layer("layer", None)?;
        Ok(place)
    }

    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A directory of this name, empty at first, that belongs to this user.
    pub(super) fn directory(&self, name: &str, owner: Option<u32>) -> Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        give(&path, owner)?;
        Ok(path)
    }

    /// What an image has: the probe, busybox, and the directories that runtimes mount on.
    pub(super) fn base_layer(&self, name: &str, owner: Option<u32>) -> Result<PathBuf> {
        let layer = self.directory(name, owner)?;
        for inner in ["bin", "dev", "etc", "proc", "sys", "tmp", "mnt", "mnt/mesos", "mnt/mesos/sandbox"] {
            self.directory(&format!("{name}/{inner}"), owner)?;
        }
        let probe = layer.join("bin/first");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/first.c");
        let options = ["-static", "-nostdlib", "-fno-stack-protector", "-Os", "-o"];
        let built = Command::new("cc").args(options).arg(&probe).arg(source).status()?;
        ensure!(built.success(), "cc cannot build {source}");
        let busybox = layer.join("bin/busybox");
        fs::copy("/bin/busybox", &busybox).context("the Debian package busybox-static is missing")?;
        fs::write(layer.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
        for file in [probe, busybox, layer.join("etc/passwd")] {
            give(&file, owner)?;
        }
        Ok(layer)
    }

    pub(super) fn run(&self) -> PathBuf {
        self.path("run")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for left in recover(&self.run()).unwrap_or_default() {
            if let Err(error) = cleanup(self.launcher.cgroups(), &self.run(), &left.id) {
                eprintln!("chapada-bench: {}: {error}", left.id);
            }
        }
        if let Err(error) = self.launcher.remove_cgroups() {
            eprintln!("chapada-bench: {error}");
        }
    }
}

fn give(path: &Path, owner: Option<u32>) -> Result<()> {
    let Some(owner) = owner else { return Ok(()) };
    chown(path, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)))
        .with_context(|| format!("cannot give {} away", path.display()))
}

/// The pipe through which the probe says that it runs.
pub(super) struct Signal(File);

impl Signal {
    /// Makes the pipe in a sandbox; the container knows it as [`Signal::inside`].
    pub(super) fn new(sandbox: &Path) -> Result<Self> {
        let path = sandbox.join("first");
        mkfifo(&path, Mode::from_bits_truncate(0o622)).context("cannot make a pipe")?;
        fs::set_permissions(&path, Permissions::from_mode(0o622))?;
        // For writing as well, so that opening does not wait for the container.
        Ok(Self(OpenOptions::new().read(true).write(true).open(&path)?))
    }

    /// Where the container finds it.
    pub(super) fn inside() -> String {
        format!("{SANDBOX}/first")
    }

    /// Waits for the first instruction, and gives the seconds since `begun`.
    pub(super) fn wait(&mut self, begun: Instant) -> Result<f64> {
        let mut wanted = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut wanted, PollTimeout::from(PATIENCE_MILLIS))?;
        let taken = begun.elapsed().as_secs_f64();
        ensure!(ready == 1, "nothing ran in the container within {PATIENCE_MILLIS} ms");
        let mut said = [0];
        self.0.read_exact(&mut said)?;
        Ok(taken)
    }
}

/// Seconds for which the processors of this machine have been busy since it started.
pub(super) fn busy_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq
    ensure!(ticks.len() >= 7, "/proc/stat has a first line of its own: {line}");
    Ok((ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) / 100.0)
}
