//! Which open files a process passes on.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

use crate::{Context, IsolationError};

/// Marks everything above standard error to be closed by `execve`, whoever opened it.
///
/// # Errors
/// The kernel's.
pub fn close_on_exec() -> Result<(), IsolationError> {
    close_range(libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes everything above standard error.
///
/// # Safety
/// Nothing in this process may own or use such a descriptor afterwards.
///
/// # Errors
/// The kernel's.
pub unsafe fn close_inherited() -> Result<(), IsolationError> {
    close_range(0)
}

/// Closes everything above standard error but this.
///
/// # Safety
/// As for [`close_inherited`].
pub unsafe fn close_all_but(kept: impl AsFd) {
    let kept = kept.as_fd().as_raw_fd().cast_unsigned();
    for (first, last) in [(3, kept.saturating_sub(1)), (kept.saturating_add(1).max(3), libc::c_uint::MAX)] {
        // SAFETY: plain numbers; that nobody misses them is the caller's promise. An empty range is refused, and no loss.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}

fn close_range(flags: libc::c_uint) -> Result<(), IsolationError> {
    // SAFETY: with CLOEXEC nothing is closed now; without it, `close_inherited` hands the duty to its caller.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, flags) };
    let result = if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    result.context("close", "the descriptors above standard error")
}

/// Makes `file` the standard input (0), output (1) or error (2) of this process.
///
/// # Errors
/// The kernel's.
pub fn install(file: impl AsFd, number: i32) -> Result<(), IsolationError> {
    // SAFETY: the three standard descriptors are owned by nobody in Rust, so replacing one breaks no ownership.
    let result = unsafe { libc::dup2(file.as_fd().as_raw_fd(), number) };
    let result = if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    result.context("install the standard descriptor", number)
}

/// A pipe: the end that is read, which does not block, and the end that is written.
///
/// # Errors
/// The kernel's.
pub fn pipe() -> Result<(File, File), IsolationError> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).context("create", "a pipe")?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("set up", "a pipe")?;
    Ok((File::from(read), File::from(write)))
}

/// Waits until there is something to read, or nothing more to come.
pub fn wait_readable(descriptor: impl AsFd) {
    let mut watched = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
    while poll(&mut watched, PollTimeout::NONE) == Err(Errno::EINTR) {}
}
