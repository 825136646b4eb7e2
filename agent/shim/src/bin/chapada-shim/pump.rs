//! What the command writes goes through pipes to a process of ours in the container's groups, so that the work is charged to
//! the container, and from there to its logs. The shim keeps the pipes, too: should the container's memory be the end of that
//! process, the rest of what was written is not lost.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use chapada_isolation::cgroup::Group;
use chapada_isolation::clone3::{self, Clone3, Cloned};
use chapada_isolation::{Context, IsolationError, capabilities, descriptors, privileges};
use chapada_shim::{LogLimits, SetupError, SetupFailure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::container::of;
use crate::detach;
use crate::log::Log;

/// What it needs to begin a file in a directory of another user's, and to give it away.
const NEEDED: [u32; 3] = [0, 1, 3]; // CHOWN, DAC_OVERRIDE, FOWNER
/// As much as a pipe holds.
const CHUNK: usize = 64 * 1024;
/// A container that has ended writes no more, so all that is left to do is to write down what a pipe holds.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pipes and logs of a container.
pub(crate) struct Pump {
    streams: Vec<Stream>,
    process: Option<(i32, OwnedFd)>,
}

struct Stream {
    pipe: File,
    log: Log,
}

impl Pump {
    /// Makes the pipes; gives the ends that the command writes to.
    pub(crate) fn new(
        sandbox: &File,
        logs: [File; 2],
        limits: LogLimits,
    ) -> Result<(Self, [File; 2]), SetupError> {
        let stream = |name, file| {
            let (pipe, write) = descriptors::pipe()?;
            let directory = sandbox.try_clone().context("hold", "the sandbox")?;
            let log = Log::new(directory, name, file, limits).context("look at", name)?;
            Ok((Stream { pipe, log }, write))
        };
        let [stdout, stderr] = logs;
        let make = || {
            let ((stdout, out), (stderr, err)) = (stream("stdout", stdout)?, stream("stderr", stderr)?);
            Ok((Self { streams: vec![stdout, stderr], process: None }, [out, err]))
        };
        make().map_err(of(SetupFailure::Sandbox))
    }

    /// Starts the process, in the container's groups.
    pub(crate) fn start(&mut self, group: &Group) -> Result<(), SetupError> {
        let tasks = group.open_tasks().map_err(of(SetupFailure::Cgroup))?;
        let v2 = group.open_v2().map_err(of(SetupFailure::Cgroup))?;
        let clone = Clone3 { namespaces: 0, into_cgroup: v2.as_ref().map(AsFd::as_fd), of_parent: false };
        // SAFETY: this program never starts a thread.
        match unsafe { clone.run() }.map_err(of(SetupFailure::Shim))? {
            Cloned::Parent { pid, pidfd } => self.process = Some((pid, pidfd)),
            Cloned::Child => {
                let ready = detach::join(tasks).context("join", "the container's groups");
                if let Err(error) = ready.and_then(|()| settle()) {
                    eprintln!("chapada-shim: {error}: {}; the shim writes the logs at the end", error.source);
                } else {
                    self.run();
                }
                // SAFETY: `_exit` is always sound; buffers copied from the shim must not be written twice.
                unsafe { libc::_exit(0) }
            }
        }
        Ok(())
    }

    /// Until nobody can write any more.
    fn run(&mut self) {
        let mut buffer = vec![0; CHUNK];
        while !self.streams.is_empty() {
            let mut watched: Vec<PollFd<'_>> = self
                .streams
                .iter()
                .map(|stream| PollFd::new(stream.pipe.as_fd(), PollFlags::POLLIN))
                .collect();
            if poll(&mut watched, PollTimeout::NONE).is_err() {
                continue;
            }
            self.streams.retain_mut(|stream| stream.take(&mut buffer));
        }
    }

    /// Lets the process come to its end, after that of the container, and writes down what it left.
    pub(crate) fn finish(&mut self) {
        if let Some((pid, pidfd)) = self.process.take() {
            let patience = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
            let _over_or_too_slow = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], patience);
            let _it_has_ended = clone3::signal(pidfd.as_fd(), libc::SIGKILL);
            // SAFETY: it is our child, and no status is wanted.
            unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
        }
        let mut buffer = vec![0; CHUNK];
        for stream in &mut self.streams {
            stream.rejoin();
            // Something entered from outside may hold the pipe and write on; it is given as much as the pipe held.
            stream.take(&mut buffer);
        }
    }
}

impl Stream {
    /// Takes what is there; whether more can come.
    fn take(&mut self, buffer: &mut [u8]) -> bool {
        match self.pipe.read(buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.log.append(&buffer[..count]);
                true
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    /// The process had a log of its own, and may have begun other files.
    fn rejoin(&mut self) {
        self.log.reopen();
    }
}

/// Gives up what this process does not need.
fn settle() -> Result<(), IsolationError> {
    nix::sys::prctl::set_name(c"chapada-logs").context("name", "the log pump")?;
    capabilities::bound(&NEEDED)?;
    capabilities::keep(&NEEDED, &[])?;
    privileges::no_new_privileges()?;
    crate::child::die_with_parent()
}
