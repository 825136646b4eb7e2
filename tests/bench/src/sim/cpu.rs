//! How much CPU this thread has used: the only real time that a simulated cluster looks at. Whatever else the machine
//! does counts for nothing.

use std::time::{Duration, Instant};

use cpu_time::ThreadTime;

/// Measures one piece of work after the other.
///
/// Asking the kernel for the CPU of a thread costs as much as some of the work does, so it is asked at the beginning and
/// the end only; in between the steady clock says how much each part took.
pub(crate) struct Meter {
    cpu: ThreadTime,
    clock: Instant,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self { cpu: ThreadTime::now(), clock: Instant::now() }
    }

    /// What has passed by the steady clock, which runs on while the thread has to wait for the machine.
    pub(crate) fn passed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// The CPU since the start.
    pub(crate) fn spent(&self) -> Duration {
        self.cpu.elapsed()
    }
}
