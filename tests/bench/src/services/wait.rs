//! Waiting for what comes by itself.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::peer::WITHIN;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// Looks until it is there; `look` says what there is instead. An error when it takes far beyond what any step takes.
pub(super) fn wait<T>(look: impl FnMut() -> Result<Result<T, String>>) -> Result<T> {
    wait_with(PAUSE, look)
}

/// As [`wait`], for looks that cost something: with longer pauses.
pub(super) fn wait_with<T>(
    pause: Duration,
    mut look: impl FnMut() -> Result<Result<T, String>>,
) -> Result<T> {
    let until = Instant::now() + WITHIN;
    loop {
        let instead = match look()? {
            Ok(found) => return Ok(found),
            Err(instead) => instead,
        };
        ensure!(Instant::now() < until, "{instead} after {WITHIN:?}");
        std::thread::sleep(pause);
    }
}

/// What is waited for when nothing has to be found: `Ok` when it is so.
pub(super) fn when(so: bool, instead: impl FnOnce() -> String) -> Result<(), String> {
    if so { Ok(()) } else { Err(instead()) }
}
