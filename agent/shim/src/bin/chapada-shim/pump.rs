//! What the command writes goes through pipes to a process of ours in the container's groups, so that the work is charged to
//! the container, and from there to its logs. The shim keeps the pipes, too: should the container's memory be the end of that
//! process, the rest of what was written is not lost. Others may read along ([`crate::readers`]).

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use chapada_isolation::cgroup::Group;
use chapada_isolation::clone3::{self, Caller, Clone3, Cloned};
use chapada_isolation::{Context, IsolationError, capabilities, descriptors, privileges};
use chapada_shim::{LogLimits, SetupError, SetupFailure, descriptors as messages};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::complain::complain;
use crate::container::of;
use crate::detach;
use crate::log::Log;
use crate::readers::Readers;

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
    /// Where the process is told of readers and of a terminal, by the files that come along.
    control: UnixStream,
    /// Its end of that, until it is there.
    far: Option<UnixStream>,
    readers: Readers,
}

struct Stream {
    /// What is read; a terminal comes later.
    source: Option<File>,
    log: Log,
    /// Standard output or standard error.
    number: usize,
}

impl Pump {
    /// Makes the pipes; gives the ends that the command writes to.
    pub(crate) fn new(
        sandbox: &File,
        logs: [File; 2],
        limits: LogLimits,
    ) -> Result<(Self, [File; 2]), SetupError> {
        let stream = |number, name, file| {
            let (pipe, write) = descriptors::pipe()?;
            let directory = sandbox.try_clone().context("hold", "the sandbox")?;
            let log = Log::new(directory, name, file, limits).context("look at", name)?;
            Ok((Stream { source: Some(pipe), log, number }, write))
        };
        let [stdout, stderr] = logs;
        let make = || {
            let ((stdout, out), (stderr, err)) = (stream(0, "stdout", stdout)?, stream(1, "stderr", stderr)?);
            let (control, far) = UnixStream::pair().context("create", "a socket for the log pump")?;
            for end in [&control, &far] {
                end.set_nonblocking(true).context("set up", "a socket for the log pump")?;
            }
            let (streams, far, readers) = (vec![stdout, stderr], Some(far), Readers::default());
            Ok((Self { streams, process: None, control, far, readers }, [out, err]))
        };
        make().map_err(of(SetupFailure::Sandbox))
    }

    /// Reads a terminal instead, which comes later. To be called before the start.
    pub(crate) fn expect_terminal(&mut self) {
        self.streams.truncate(1);
        self.streams.iter_mut().for_each(|stdout| stdout.source = None);
    }

    /// The terminal that was expected.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn take_terminal(&mut self, master: &File) -> io::Result<()> {
        messages::send(&self.control, b"t", &[master.as_fd()])?;
        for stdout in &mut self.streams {
            stdout.source = Some(master.try_clone()?);
        }
        Ok(())
    }

    /// Has what is written go to these pipes as well: standard output, standard error, and who was too slow.
    ///
    /// # Errors
    /// When nothing is written any more.
    pub(crate) fn attach(&self, files: Vec<OwnedFd>) -> io::Result<()> {
        if files.len() != 3 {
            return Err(io::Error::new(ErrorKind::InvalidInput, "three pipes must come along"));
        }
        let files: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        messages::send(&self.control, b"a", &files).map(drop)
    }

    /// Starts the process, in the container's groups.
    pub(crate) fn start(&mut self, group: &Group) -> Result<(), SetupError> {
        let tasks = group.open_tasks().map_err(of(SetupFailure::Cgroup))?;
        let v2 = group.open_v2().map_err(of(SetupFailure::Cgroup))?;
        let clone = Clone3 { namespaces: 0, into_cgroup: v2.as_ref().map(AsFd::as_fd), of_parent: false };
        // SAFETY: this program never starts a thread.
        match unsafe { clone.run() }.map_err(of(SetupFailure::Shim))? {
            Cloned::Parent { pid, pidfd } => {
                self.process = Some((pid, pidfd));
                self.far = None;
            }
            Cloned::Child(shim) => {
                let ready = detach::join(tasks).context("join", "the container's groups");
                if let Err(error) = ready.and_then(|()| settle(&shim)) {
                    complain(format_args!("{error}: {}; the shim writes the logs at the end", error.source));
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
            let sources = self.streams.iter().filter_map(|stream| stream.source.as_ref()).map(AsFd::as_fd);
            let watched = sources.chain(self.far.as_ref().map(AsFd::as_fd));
            let mut watched: Vec<PollFd<'_>> =
                watched.map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN)).collect();
            if poll(&mut watched, PollTimeout::NONE).is_err() {
                continue;
            }
            self.hear();
            let readers = &mut self.readers;
            self.streams.retain_mut(|stream| stream.take(&mut buffer, readers));
        }
    }

    /// What the shim tells: each message is one byte, with files.
    fn hear(&mut self) {
        while let Some(far) = &self.far {
            let (mut what, mut files) = ([0], Vec::new());
            match messages::receive(far, &mut what, &mut files) {
                Ok(1) if what == *b"t" => {
                    let mut terminal = files.pop().map(File::from);
                    self.streams.iter_mut().for_each(|stdout| stdout.source = terminal.take());
                }
                Ok(1) => self.readers.add(files),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The shim is gone, and so is this process in a moment.
                Ok(_) | Err(_) => self.far = None,
            }
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
            stream.take(&mut buffer, &mut self.readers);
        }
    }
}

impl Stream {
    /// Takes what is there; whether more can come.
    fn take(&mut self, buffer: &mut [u8], readers: &mut Readers) -> bool {
        let Some(source) = &mut self.source else { return true };
        match source.read(buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.log.append(&buffer[..count]);
                readers.give(self.number, &buffer[..count]);
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
fn settle(shim: &Caller) -> Result<(), IsolationError> {
    nix::sys::prctl::set_name(c"chapada-logs").context("name", "the log pump")?;
    capabilities::bound(&NEEDED)?;
    capabilities::keep(&NEEDED, &[])?;
    privileges::no_new_privileges()?;
    shim.end_together()
}
