//! Stops every process of a group where it is, and lets it go on.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::IsolationError;

use super::file::{field, read, write};

/// Freezing takes microseconds unless a process is stuck in the kernel.
const WAIT: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_micros(200);

pub(super) fn v1(directory: &Path, frozen: bool) -> Result<(), IsolationError> {
    let state = if frozen { "FROZEN" } else { "THAWED" };
    write(directory, "freezer.state", state)?;
    until(|| Ok(read(directory, "freezer.state")?.is_none_or(|now| now.trim() == state)))
}

pub(super) fn v2(directory: &Path, frozen: bool) -> Result<(), IsolationError> {
    let value = u64::from(frozen);
    write(directory, "cgroup.freeze", &value.to_string())?;
    until(|| Ok(read(directory, "cgroup.events")?.is_none_or(|text| field(&text, "frozen") == Some(value))))
}

/// Until the kernel says so, or the time is over: what can be frozen is then.
fn until(reached: impl Fn() -> Result<bool, IsolationError>) -> Result<(), IsolationError> {
    let started = Instant::now();
    while !reached()? && started.elapsed() < WAIT {
        sleep(PAUSE);
    }
    Ok(())
}
