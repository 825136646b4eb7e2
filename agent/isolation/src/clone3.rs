//! Makes a process in new namespaces and, on cgroup v2, in its cgroup from its first instruction on.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::Signal;

use crate::{Context, IsolationError};

/// The namespaces every container has of its own. The cgroup namespace is unshared later, once the v1 groups are joined,
/// so that its root is the container's group.
pub const ALWAYS: i32 = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;

/// libc's constant of this name does not fit its type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What the new process gets.
#[derive(Debug, Default)]
pub struct Clone3<'a> {
    /// `CLONE_NEW…` flags.
    pub namespaces: i32,
    /// The v2 group to be born in.
    pub into_cgroup: Option<BorrowedFd<'a>>,
    /// Whether the new process is a child not of the caller but of its parent, which then has to wait for it.
    pub of_parent: bool,
}

/// Which of the two processes we are.
#[derive(Debug)]
pub enum Cloned {
    /// The one that called.
    Parent {
        /// The new process, in our pid namespace.
        pid: i32,
        /// The new process, without danger of meeting a later one of the same number. Readable when it has ended.
        pidfd: OwnedFd,
    },
    /// The new one, with a copy of the caller's memory.
    Child(Caller),
}

/// The process that made this one.
#[derive(Debug)]
pub struct Caller(OwnedFd);

impl Caller {
    /// Has the kernel end this process, by SIGKILL, when its parent ends: the caller, or a child of that. To be asked for again
    /// after a change of user, which lets go of it.
    ///
    /// # Errors
    /// `ESRCH` when the caller has ended before: nobody else ends this process then, so it has to end by itself.
    pub fn end_together(&self) -> Result<(), IsolationError> {
        let asked = prctl::set_pdeathsig(Signal::SIGKILL);
        let mut watched = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        // The kernel tells nobody who asks too late.
        let asked = asked.and_then(|()| poll(&mut watched, PollTimeout::ZERO));
        let lives = asked.and_then(|ended| if ended > 0 { Err(Errno::ESRCH) } else { Ok(()) });
        lives.context("end together with", "the process that made this one")
    }
}

impl Clone3<'_> {
    /// Makes the process.
    ///
    /// # Safety
    /// The calling process must have a single thread: a lock that another thread held would stay locked in the child.
    ///
    /// # Errors
    /// The kernel's; `EPERM` without root.
    pub unsafe fn run(&self) -> Result<Cloned, IsolationError> {
        let caller = open(std::process::id().cast_signed()).context("hold", "this process")?;
        let mut pidfd: i32 = -1;
        // SAFETY: clone_args is plain numbers, for which zero is a value.
        let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
        arguments.flags = (self.namespaces | libc::CLONE_PIDFD) as u64;
        arguments.pidfd = (&raw mut pidfd) as u64;
        // With this flag the kernel takes the caller's own signal.
        if self.of_parent {
            arguments.flags |= libc::CLONE_PARENT as u64;
        } else {
            arguments.exit_signal = libc::SIGCHLD as u64;
        }
        if let Some(group) = &self.into_cgroup {
            arguments.flags |= CLONE_INTO_CGROUP;
            arguments.cgroup = group.as_raw_fd() as u64;
        }
        // SAFETY: without CLONE_VM and a stack this is fork: the child goes on with a copy of this memory. The
        // arguments outlive the call; that there is one thread is the caller's promise.
        let result =
            unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
        match result {
            0 => Ok(Cloned::Child(Caller(caller))),
            pid if pid > 0 => {
                // SAFETY: the kernel has just given us this descriptor, so nobody else owns it.
                Ok(Cloned::Parent { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
            }
            _ => Err(io::Error::last_os_error()).context("clone", "a process into new namespaces"),
        }
    }
}

/// Opens a process by its number; a child that has not been waited for is sure to be the right one.
///
/// # Errors
/// `ESRCH` when it has ended.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(result as i32) })
}

/// Sends a signal to a process by its descriptor.
///
/// # Errors
/// `ESRCH` when it has ended.
pub fn signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: plain numbers and a null siginfo, which the call allows.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
