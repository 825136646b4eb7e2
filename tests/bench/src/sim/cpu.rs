//! How much CPU this thread has used: the only real time that a simulated cluster looks at. Whatever else the machine
//! does counts for nothing.

use std::time::Duration;

use cpu_time::ThreadTime;

/// Measures one piece of work. To ask the kernel costs about half a microsecond, which is part of every figure.
pub(crate) struct Meter(ThreadTime);

impl Meter {
    pub(crate) fn start() -> Self {
        Self(ThreadTime::now())
    }

    /// The CPU since the start.
    pub(crate) fn spent(&self) -> Duration {
        self.0.elapsed()
    }
}
