//! A thread that works only when nobody else wants the processor or the disk.

use std::io;

/// Source: `linux/ioprio.h`.
const IOPRIO_WHO_PROCESS: libc::c_int = 1;
const IOPRIO_IDLE: libc::c_int = 3 << 13;

/// Makes the calling thread such a one, for good.
///
/// # Errors
/// The kernel's. Half of it may be done then.
pub fn stand_back() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameters outlive the call; 0 is the calling thread.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call takes three numbers; 0 is the calling thread.
    match unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_IDLE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_this_thread_alone() {
        let class = || {
            // SAFETY: the calls take and give numbers; 0 is the calling thread.
            unsafe {
                (libc::sched_getscheduler(0), libc::syscall(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0))
            }
        };
        let before = class();
        let idle = std::thread::spawn(move || {
            stand_back().unwrap();
            class()
        });
        assert_eq!(idle.join().unwrap(), (libc::SCHED_IDLE, IOPRIO_IDLE.into()));
        assert_eq!(class(), before);
    }
}
