//! Kills everything in a group at once, so that nothing can fork its way out.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::IsolationError;

use super::file::{read, write};
use super::freeze;

/// `cgroup.kill`, which v2 has since Linux 5.14. A group that is gone is success.
pub(super) fn kill_v2(directory: &Path) -> Result<(), IsolationError> {
    gone_is_fine(write(directory, "cgroup.kill", "1"))
}

/// Freeze, SIGKILL all, thaw: the v1 way. A group that is gone is success.
pub(super) fn kill_v1(freezer: &Path) -> Result<(), IsolationError> {
    if !freezer.exists() {
        return Ok(());
    }
    gone_is_fine(freeze::v1(freezer, true))?;
    kill_each(freezer)?;
    gone_is_fine(write(freezer, "freezer.state", "THAWED"))
}

fn kill_each(directory: &Path) -> Result<(), IsolationError> {
    for pid in processes(directory)? {
        // A process that is gone already is what we want.
        let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    if let Ok(entries) = fs::read_dir(directory) {
        for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
            kill_each(&entry.path())?;
        }
    }
    Ok(())
}

/// The processes of a group, as this process sees them; 0, a process of another pid namespace, is left out.
pub(super) fn processes(directory: &Path) -> Result<Vec<i32>, IsolationError> {
    let text = read(directory, "cgroup.procs")?.unwrap_or_default();
    Ok(text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect())
}

fn gone_is_fine(result: Result<(), IsolationError>) -> Result<(), IsolationError> {
    match result {
        Err(error) if super::file::is_gone(&error.source) => Ok(()),
        result => result,
    }
}
