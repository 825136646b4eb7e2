//! Process 1 of a container: waits for the command, reaps whatever else ends, and forwards signals.

use std::io::Write;

use chapada_isolation::clone3::Caller;
use chapada_isolation::{Context, IsolationError, descriptors, privileges};
use chapada_shim::SetupFailure;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::unistd::{Pid, chdir};

use crate::child::fail;
use crate::container::{Opened, of};

/// Blocks all signals, before the fork, so that none is lost: from then on they wait until [`run`] takes them.
pub(crate) fn block_signals() -> nix::Result<()> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)
}

/// Serves until the command has ended. Everything else in the container dies with this process.
pub(crate) fn run(command: Pid, opened: Opened, shim: &Caller) -> ! {
    let Opened { setup, mut status, stdin, files, streams, terminal, joined, network, tasks, quota } = opened;
    drop((files, streams, terminal, joined, network, tasks, quota));
    if let Err(error) = settle(&stdin, shim) {
        fail(setup, &of(SetupFailure::Privileges)(error));
    }
    // The end of the first tells the shim that the command runs, once that has let go of it too.
    drop((setup, stdin));
    // SAFETY: what this process still had of the shim's was a copy, which nothing here uses.
    unsafe { descriptors::close_all_but(&status) };
    loop {
        if let Some(ended) = reap(command) {
            // Four bytes fit the pipe; should the shim be gone, so is whoever would read them.
            let _nobody_reads = status.write_all(&ended.to_ne_bytes());
            // SAFETY: `_exit` is always sound; buffers copied from the shim must not be written twice.
            unsafe { libc::_exit(0) }
        }
        forward(next_signal(), command);
    }
}

/// Lets go of the sandbox and its files, and of root's power.
fn settle(nothing: &std::fs::File, shim: &Caller) -> Result<(), IsolationError> {
    for number in 0..3 {
        descriptors::install(nothing, number)?;
    }
    chdir("/").context("change to", "/")?;
    nix::sys::prctl::set_name(c"chapada-init").context("name", "init")?;
    privileges::become_init()?;
    shim.end_together()
}

/// Takes the status of every process that has ended; the command's is the result.
fn reap(command: Pid) -> Option<i32> {
    let mut status = 0;
    loop {
        // SAFETY: the status outlives the call.
        match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
            0 => return None,
            pid if pid == command.as_raw() => return Some(status),
            pid if pid < 0 => return None,
            _ => {} // an orphan
        }
    }
}

/// Waits for a signal. 0 when the wait was disturbed.
fn next_signal() -> i32 {
    let all = SigSet::all();
    // SAFETY: an initialised set, and no siginfo wanted.
    unsafe { libc::sigwaitinfo(all.as_ref(), std::ptr::null_mut()) }
}

fn forward(signal: i32, command: Pid) {
    if signal <= 0 || signal == libc::SIGCHLD {
        return;
    }
    // SAFETY: plain numbers. The command leads a process group of its own number; if it has not come that far, it alone
    // is meant, and if it has ended, nobody.
    unsafe {
        if libc::kill(-command.as_raw(), signal) < 0 {
            libc::kill(command.as_raw(), signal);
        }
    }
}
