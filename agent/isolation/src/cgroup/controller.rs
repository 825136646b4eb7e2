//! The one trait behind which cgroup v1 and v2 look alike.

use crate::IsolationError;

use super::{Limits, Statistics};

/// One resource controller of one container, in the form this machine has.
pub trait Controller {
    /// Writes the limits. May be called again while the container runs.
    ///
    /// # Errors
    /// Names the value and the file the kernel refused.
    fn apply(&self, limits: &Limits) -> Result<(), IsolationError>;

    /// Adds what this controller counts. A group that is gone adds nothing.
    ///
    /// # Errors
    /// Names the file that could not be read.
    fn read(&self, into: &mut Statistics) -> Result<(), IsolationError>;
}
