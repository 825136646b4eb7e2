//! Removes cgroup directories. A group stays busy for a moment after its last process is gone, so removal is repeated.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{Context, IsolationError};

use super::file::is_gone;

/// A killed process that the kernel has not let go of after this long is stuck in a driver or a dead file system.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Removes the directory and the groups below it. A group that is not there is success.
pub(super) fn remove(directory: &Path) -> Result<(), IsolationError> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match fs::remove_dir(directory) {
            Ok(()) => return Ok(()),
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) if error.raw_os_error() != Some(libc::EBUSY) || started.elapsed() > GIVE_UP_AFTER => {
                return Err(error).context("remove the cgroup", directory.display());
            }
            Err(_) => remove_children(directory)?,
        }
        if fs::remove_dir(directory).is_ok() {
            return Ok(());
        }
        sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn remove_children(directory: &Path) -> Result<(), IsolationError> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}
