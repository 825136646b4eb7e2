//! The pids controller: a bound on processes and threads. v1 and v2 have the same files.

use std::path::PathBuf;

use crate::IsolationError;

use super::file::{read, read_number, write};
use super::{Controller, Limits, Statistics, Target};

/// Either form.
#[derive(Debug, Clone)]
pub struct Pids {
    /// The container's directory in the hierarchy that has `pids`.
    pub directory: PathBuf,
}

impl Controller for Pids {
    fn apply(&self, limits: &Limits, target: Target) -> Result<(), IsolationError> {
        if limits.processes.is_none() && target == Target::New {
            return Ok(());
        }
        let value = limits.processes.map_or("max".to_owned(), |count| count.to_string());
        write(&self.directory, "pids.max", &value)
    }

    fn read(&self, into: &mut Statistics) -> Result<(), IsolationError> {
        into.threads = read_number(&self.directory, "pids.current")?.unwrap_or(0);
        let lines = read(&self.directory, "cgroup.procs")?.map_or(0, |text| text.lines().count());
        into.processes = u64::try_from(lines).unwrap_or(u64::MAX);
        Ok(())
    }
}
