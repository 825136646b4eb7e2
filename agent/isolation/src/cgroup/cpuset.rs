//! The cpuset controller: the processors that a container may run on. v1 and v2 have the same file.

use std::path::{Path, PathBuf};

use crate::IsolationError;

use super::file::{read, write};
use super::{Controller, Limits, Statistics, Target};

/// Either form.
#[derive(Debug, Clone)]
pub struct Cpuset {
    /// The container's directory in the hierarchy that has `cpuset`. On v1 it is there only if it is asked for.
    pub directory: PathBuf,
    /// On v1 a group has no processors and no memory until they are written, so it gets those of the groups above.
    pub v1: bool,
}

impl Controller for Cpuset {
    fn apply(&self, limits: &Limits, target: Target) -> Result<(), IsolationError> {
        match &limits.processors {
            Some(list) => {
                if self.v1 {
                    inherit(&self.directory)?;
                }
                write(&self.directory, "cpuset.cpus", list)
            }
            None if target == Target::New || !self.directory.exists() => Ok(()),
            None if self.v1 => match self.directory.parent() {
                Some(above) => write(&self.directory, "cpuset.cpus", &text(above, "cpuset.cpus")?),
                None => Ok(()),
            },
            // A lone line break is how the kernel wants to hear "those of the group above".
            None => write(&self.directory, "cpuset.cpus", "\n"),
        }
    }

    fn read(&self, _: &mut Statistics) -> Result<(), IsolationError> {
        Ok(())
    }
}

fn inherit(directory: &Path) -> Result<(), IsolationError> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        if !text(directory, name)?.is_empty() {
            continue;
        }
        let Some(above) = directory.parent() else { return Ok(()) };
        inherit(above)?;
        write(directory, name, &text(above, name)?)?;
    }
    Ok(())
}

fn text(directory: &Path, name: &str) -> Result<String, IsolationError> {
    Ok(read(directory, name)?.unwrap_or_default().trim().to_owned())
}
