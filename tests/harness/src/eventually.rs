//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until `look` gives a value, for at most `within`.
///
/// # Panics
/// When time is up, with the last thing seen.
pub fn eventually<T>(what: &str, within: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + within;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if Instant::now() >= deadline => {
                panic!("waited {within:?} until {what}; last seen: {seen}")
            }
            Err(_) => std::thread::park_timeout(LOOK_EVERY),
        }
    }
}
