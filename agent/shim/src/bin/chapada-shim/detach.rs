//! Leaves the agent: its session, its cgroup, its signals.

use std::fs::File;
use std::io::Write;

use chapada_isolation::IsolationError;
use chapada_isolation::cgroup::{Cgroups, SHIMS};
use chapada_isolation::descriptors;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::unistd::setsid;

/// What others may send to a whole session or service, and what a closed socket sends. SIGKILL is the way to end a shim.
const IGNORED: [Signal; 6] =
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGPIPE, Signal::SIGTSTP];

/// Real-time signals included.
const LAST_SIGNAL: i32 = 64;

/// Leaves the agent's session, and whatever is sent to that; and closes what an agent's bug may have left open.
pub(crate) fn leave_agent() -> Result<(), String> {
    // SAFETY: called first in `main`, when this process has opened nothing.
    unsafe { descriptors::close_inherited() }.map_err(|error| sentence(&error))?;
    // Whoever leads a process group cannot start a session, and is in none of a terminal's to begin with.
    let _leader = setsid();
    // Run from a descriptor, it would be called by its number; and shims have a task's environment in their memory.
    prctl::set_name(c"chapada-shim").map_err(|error| format!("cannot take its name: {error}"))?;
    prctl::set_dumpable(false).map_err(|error| format!("cannot protect its memory: {error}"))?;
    ignore_signals().map_err(|error| format!("cannot ignore signals: {error}"))
}

/// Leaves the agent's cgroups for the shims': what is done to the agent's is not done to this process, nor to what it divides
/// itself into.
pub(crate) fn leave_groups(cgroups: File) -> Result<(), String> {
    let cgroups: Cgroups =
        serde_json::from_reader(cgroups).map_err(|error| format!("cannot read its place: {error}"))?;
    cgroups.group(SHIMS).enter().map_err(|error| sentence(&error))
}

/// Leaves the zygote's session.
pub(crate) fn leave_zygote() -> Result<(), String> {
    setsid().map(drop).map_err(|error| format!("cannot start a session: {error}"))
}

/// Joins v1 groups by their `tasks` files.
pub(crate) fn join(tasks: Vec<File>) -> std::io::Result<()> {
    tasks.into_iter().try_for_each(|mut file| file.write_all(b"0"))
}

fn ignore_signals() -> nix::Result<()> {
    SigSet::empty().thread_set_mask()?;
    for number in IGNORED {
        // SAFETY: SigIgn runs no handler.
        unsafe { signal(number, SigHandler::SigIgn) }?;
    }
    Ok(())
}

/// Gives every signal back its default, as a command expects it; also those that our own parents ignored, and the two
/// that the C library keeps for itself and would not let us touch.
pub(crate) fn restore_signals() -> nix::Result<()> {
    // The kernel's own sigaction: handler, flags, restorer and mask, all of them zero.
    let default = [0_u64; 4];
    for number in (1..=LAST_SIGNAL).filter(|number| ![libc::SIGKILL, libc::SIGSTOP].contains(number)) {
        let old = std::ptr::null_mut::<u64>();
        // SAFETY: the kernel reads 32 bytes, which outlive the call, and no handler is installed.
        let result =
            unsafe { libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), old, size_of::<u64>()) };
        Errno::result(result)?;
    }
    SigSet::empty().thread_set_mask()
}

/// An error and its cause in one line.
pub(crate) fn sentence(error: &IsolationError) -> String {
    format!("{error}: {}", error.source)
}
