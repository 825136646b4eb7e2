//! Removes every trace of a container.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use chapada_isolation::IsolationError;
use chapada_isolation::cgroup::Cgroups;

use crate::runtime_dir;
use crate::spec::{InvalidSpec, check_id};

/// A shim whose container is dead has one small file to write.
const SHIM_WAIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(2);

/// What stayed behind. Calling [`cleanup`] again takes up where it stopped.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// The id is not one.
    #[error(transparent)]
    Id(#[from] InvalidSpec),
    /// A cgroup could not be emptied or removed.
    #[error(transparent)]
    Cgroup(#[from] IsolationError),
    /// The shim did not end although its container is dead.
    #[error("the shim of {0} still runs after its container was killed")]
    ShimLives(String),
    /// The runtime directory could not be removed.
    #[error("cannot remove {path}")]
    RuntimeDirectory {
        /// The path.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// Kills what still runs of the container, waits for its shim, removes its cgroups and its runtime directory (and with it the
/// exit report; read that first). The sandbox stays. Succeeds for a container that never was. May block for seconds.
///
/// # Errors
/// Says what stayed behind.
pub fn cleanup(cgroups: &Cgroups, runtime_root: &Path, id: &str) -> Result<(), CleanupError> {
    cleanup_within(cgroups, runtime_root, &[], id)
}

/// The same for a container that is in these others, the outermost first.
///
/// # Errors
/// As [`cleanup`].
pub fn cleanup_within(
    cgroups: &Cgroups,
    runtime_root: &Path,
    within: &[String],
    id: &str,
) -> Result<(), CleanupError> {
    within.iter().map(String::as_str).chain([id]).try_for_each(check_id)?;
    let runtime_dir = runtime_root.join(id);
    let group = cgroups.group_within(within, id);
    let failed = |source| CleanupError::RuntimeDirectory { path: runtime_dir.clone(), source };
    group.kill()?;
    let started = Instant::now();
    while runtime_dir::shim_lives(&runtime_dir).map_err(failed)? {
        if started.elapsed() > SHIM_WAIT {
            return Err(CleanupError::ShimLives(runtime_dir.display().to_string()));
        }
        // It may not have put its container into the group when we killed first.
        group.kill()?;
        sleep(PAUSE);
    }
    group.remove()?;
    match fs::remove_dir_all(&runtime_dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}
