//! Tells one process from a later one of the same number.

use std::fs;
use std::io;

/// When a process started, in clock ticks since boot: field 22 of `/proc/<pid>/stat`.
///
/// # Errors
/// `NotFound` when there is no such process.
pub fn start_time(pid: i32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the name in parentheses, which may hold anything, so fields are counted after the last one.
    text.rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no start time in the process's stat"))
}

/// Whether the process of this number is still the one that started then.
pub fn is_same(pid: i32, started: u64) -> bool {
    start_time(pid).is_ok_and(|now| now == started)
}

/// Names this boot of the machine.
///
/// # Errors
/// When `/proc` is not mounted.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_itself_and_no_other() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let started = start_time(pid).unwrap();
        assert!(is_same(pid, started));
        assert!(!is_same(pid, started + 1));
        assert!(!is_same(-1, started));
    }
}
