//! The one trait behind which cgroup v1 and v2 look alike.

use crate::IsolationError;

use super::{Limits, Quota, Statistics};

/// What limits are written to. A new group has the kernel's defaults, which need not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A group that has just been made.
    New,
    /// One that may have had other limits.
    Running,
}

/// One resource controller of one container, in the form this machine has.
pub trait Controller {
    /// Writes the limits; for a new group all but what [`Controller::quota`] has.
    ///
    /// # Errors
    /// Names the value and the file the kernel refused.
    fn apply(&self, limits: &Limits, target: Target) -> Result<(), IsolationError>;

    /// Opens what a new group's processes may take of the processors, if that is limited.
    ///
    /// # Errors
    /// Names the file.
    fn quota(&self, _limits: &Limits) -> Result<Option<Quota>, IsolationError> {
        Ok(None)
    }

    /// Adds what this controller counts. A group that is gone adds nothing.
    ///
    /// # Errors
    /// Names the file that could not be read.
    fn read(&self, into: &mut Statistics) -> Result<(), IsolationError>;

    /// Adds what is only of interest once all is over.
    ///
    /// # Errors
    /// As [`Controller::read`].
    fn read_last(&self, _into: &mut Statistics) -> Result<(), IsolationError> {
        Ok(())
    }
}
