//! The daemons of a development cluster as child processes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::{Child, Command};

/// A daemon that was asked to stop has this long before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// How much of its log a daemon that ended by itself is shown with.
const LAST_LINES: usize = 15;

pub(super) struct Daemon {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts this same program as a daemon, in a process group of its own so that Ctrl-C reaches only `dev`.
    pub(super) fn spawn(name: &'static str, work_dir: &Path, flags: &[&str]) -> Result<Self> {
        let logs = work_dir.join("logs");
        std::fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new(std::env::current_exe().context("cannot find this program")?)
            .arg(name)
            .arg("--work-dir")
            .arg(work_dir.join(name))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start the {name}"))?;
        Ok(Self { name, child, log })
    }

    /// Where to read how much memory it takes.
    pub(super) fn memory(&self) -> Memory {
        Memory { name: self.name, pid: self.child.id() }
    }

    /// SIGTERM, and SIGKILL when that does not help.
    pub(super) async fn stop(mut self) -> Result<()> {
        let Some(pid) = self.child.id() else { return Ok(()) };
        let pid = nix::unistd::Pid::from_raw(i32::try_from(pid)?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        if tokio::time::timeout(GRACE, self.child.wait()).await.is_err() {
            eprintln!("chapada: the {} did not stop within {GRACE:?} and is killed", self.name);
            self.child.kill().await?;
        }
        Ok(())
    }

    fn ended(&mut self) -> Option<anyhow::Error> {
        let status = self.child.try_wait().ok().flatten()?;
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
        Some(anyhow::anyhow!("the {} ended by itself ({status}); its last words:\n{last}", self.name))
    }
}

/// Reads the memory of one daemon.
pub(super) struct Memory {
    pub(super) name: &'static str,
    pid: Option<u32>,
}

impl Memory {
    /// Resident, as the kernel counts it.
    pub(super) fn resident_mib(&self) -> Result<f64> {
        let pid = self.pid.with_context(|| format!("the {} has ended", self.name))?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().context("the kernel gave no VmRSS")?;
        Ok(kib / 1024.0)
    }
}

/// Waits until any of them ends, and says which and with what words.
pub(super) async fn first_to_end(daemons: &mut [Daemon]) -> anyhow::Error {
    loop {
        for daemon in daemons.iter_mut() {
            if let Some(error) = daemon.ended() {
                return error;
            }
        }
        tokio::time::sleep(super::LOOK_EVERY).await;
    }
}
