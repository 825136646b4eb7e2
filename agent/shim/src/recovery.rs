//! Finds the containers of an earlier agent process again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chapada_isolation::process;

use crate::exit::ExitReport;
use crate::runtime_dir::{self, EXIT, STATE};
use crate::state::ContainerState;

/// A container that an earlier agent process started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredContainer {
    /// Its id: the name of its runtime directory.
    pub id: String,
    /// Its runtime directory, for [`crate::ShimClient::connect`] and [`crate::cleanup`].
    pub runtime_dir: PathBuf,
    /// How it stands.
    pub state: RecoveredState,
}

/// How a container stands after the agent was away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecoveredState {
    /// Its shim lives, and so does the container: connect.
    Running {
        /// Process 1, if the shim has come that far.
        pid: Option<i32>,
    },
    /// It ended, and this is how.
    Exited(Box<ExitReport>),
    /// Its shim is gone without a word: the machine went down, or something killed the shim, and so the container with it.
    Dead,
}

/// Why the runtime directories could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot recover containers from {path}")]
pub struct RecoverError {
    /// The file or directory.
    pub path: String,
    /// The kernel's answer, or what is wrong with the record.
    #[source]
    pub source: io::Error,
}

/// Looks at every directory below `runtime_root`. No such directory: no containers.
///
/// # Errors
/// When a directory cannot be listed or a record is not readable; the error names it. Other containers can then be found
/// by moving that directory away.
pub fn recover(runtime_root: &Path) -> Result<Vec<RecoveredContainer>, RecoverError> {
    let at = |path: &Path| {
        let path = path.display().to_string();
        move |source| RecoverError { path, source }
    };
    let entries = match fs::read_dir(runtime_root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(runtime_root)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(at(runtime_root))?;
        let runtime_dir = entry.path();
        if !runtime_dir.is_dir() {
            continue;
        }
        let state = state_of(&runtime_dir).map_err(at(&runtime_dir))?;
        found.push(RecoveredContainer {
            id: entry.file_name().to_string_lossy().into_owned(),
            runtime_dir,
            state,
        });
    }
    found.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(found)
}

fn state_of(runtime_dir: &Path) -> io::Result<RecoveredState> {
    if let Some(report) = runtime_dir::read_record(runtime_dir, EXIT)? {
        return Ok(RecoveredState::Exited(Box::new(report)));
    }
    if runtime_dir::shim_lives(runtime_dir)? {
        let state: Option<ContainerState> = runtime_dir::read_record(runtime_dir, STATE)?;
        let pid = state.filter(|state| process::is_same(state.pid, state.start_time)).map(|state| state.pid);
        return Ok(RecoveredState::Running { pid });
    }
    // The shim may have written its report and gone between the two looks.
    let report = runtime_dir::read_record(runtime_dir, EXIT)?;
    Ok(report.map_or(RecoveredState::Dead, |report| RecoveredState::Exited(Box::new(report))))
}
