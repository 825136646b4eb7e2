//! The agent's end of a shim's socket.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::descriptors;
use crate::protocol::{Event, Request};
use crate::runtime_dir::{SOCKET, through};
use crate::spec::InvalidSpec;

/// An event is far smaller; a peer that sends a longer line is no shim.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// A connection to one shim. The socket does not block: wait for it to be readable (it is [`AsFd`] and [`AsRawFd`], as
/// tokio's `AsyncFd` wants it), then call [`ShimClient::poll_event`] until it gives `None`.
#[derive(Debug)]
pub struct ShimClient {
    stream: UnixStream,
    received: Vec<u8>,
    /// Files that came with events.
    files: Vec<OwnedFd>,
    closed: bool,
}

/// Why a shim could not be asked or heard.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens in that runtime directory.
    #[error("cannot connect to the shim of {runtime_dir}")]
    Connect {
        /// The runtime directory.
        runtime_dir: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to the shim broke")]
    Broken(#[source] io::Error),
    /// The shim closed the connection: it has ended.
    #[error("the shim has closed the connection")]
    Closed,
    /// The peer does not speak our protocol.
    #[error("the shim sent what is no event: {0}")]
    Protocol(String),
    /// The request cannot be.
    #[error(transparent)]
    Spec(#[from] InvalidSpec),
    /// The time given was over.
    #[error("no event came within {0:?}")]
    Timeout(Duration),
}

impl ShimClient {
    /// Connects to the shim that listens in this runtime directory. Its first event says how the container stands.
    ///
    /// # Errors
    /// [`ClientError::Connect`] when no shim listens there, or it has as many clients as it takes.
    pub fn connect(runtime_dir: &Path) -> Result<Self, ClientError> {
        let open = || {
            let directory = File::open(runtime_dir)?;
            let stream = UnixStream::connect(through(&directory, SOCKET))?;
            Self::over(stream)
        };
        open()
            .map_err(|source| ClientError::Connect { runtime_dir: runtime_dir.display().to_string(), source })
    }

    /// Speaks over a stream that is connected already.
    pub(crate) fn over(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, received: Vec::new(), files: Vec::new(), closed: false })
    }

    /// The next event, or `None` when none has come yet. Never blocks.
    ///
    /// # Errors
    /// [`ClientError::Closed`] after the last event; [`ClientError::Broken`], [`ClientError::Protocol`].
    pub fn poll_event(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if let Some(event) = self.take_line()? {
                return Ok(Some(event));
            }
            if self.closed {
                return Err(ClientError::Closed);
            }
            let mut chunk = [0; 4096];
            match descriptors::receive(&self.stream, &mut chunk, &mut self.files) {
                Ok(0) => self.closed = true,
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => self.closed = true,
                Err(error) => return Err(ClientError::Broken(error)),
            }
        }
    }

    /// The next event; blocks the calling thread for at most `timeout`.
    ///
    /// # Errors
    /// As [`ShimClient::poll_event`], and [`ClientError::Timeout`].
    pub fn wait_event(&mut self, timeout: Duration) -> Result<Event, ClientError> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(event) = self.poll_event()? {
                return Ok(event);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ClientError::Timeout(timeout));
            }
            let wait = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)], wait) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(ClientError::Broken(error.into())),
            }
        }
    }

    /// Sends a signal to the command. A refusal comes as [`Event::Refused`].
    ///
    /// # Errors
    /// When the shim has ended, or does not read.
    pub fn kill(&mut self, signal: i32) -> Result<(), ClientError> {
        self.request(&Request::Kill { signal })
    }

    /// SIGKILLs everything in the container. [`Event::Exited`] follows.
    ///
    /// # Errors
    /// As [`ShimClient::kill`].
    pub fn destroy(&mut self) -> Result<(), ClientError> {
        self.request(&Request::Destroy)
    }

    /// Asks how the container stands; the answer is an event.
    ///
    /// # Errors
    /// As [`ShimClient::kill`].
    pub fn request_status(&mut self) -> Result<(), ClientError> {
        self.request(&Request::Status)
    }

    /// The file that came with an event that says so.
    pub(crate) fn take_file(&mut self) -> Option<OwnedFd> {
        self.files.pop()
    }

    pub(crate) fn request(&mut self, request: &Request) -> Result<(), ClientError> {
        self.request_with(request, &[])
    }

    /// A request with open files.
    pub(crate) fn request_with(
        &mut self,
        request: &Request,
        files: &[BorrowedFd<'_>],
    ) -> Result<(), ClientError> {
        let mut line = serde_json::to_vec(request).map_err(|error| ClientError::Broken(error.into()))?;
        line.push(b'\n');
        // The socket takes a request whole or, if the shim hangs with a full queue, not at all.
        match descriptors::send(&self.stream, &line, files) {
            Ok(count) if count == line.len() => Ok(()),
            Ok(_) => Err(ClientError::Broken(ErrorKind::WriteZero.into())),
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                Err(ClientError::Closed)
            }
            Err(error) => Err(ClientError::Broken(error)),
        }
    }

    fn take_line(&mut self) -> Result<Option<Event>, ClientError> {
        let Some(end) = self.received.iter().position(|byte| *byte == b'\n') else {
            if self.received.len() > MAX_LINE_BYTES {
                return Err(ClientError::Protocol(format!("a line of more than {MAX_LINE_BYTES} bytes")));
            }
            return Ok(None);
        };
        let line: Vec<u8> = self.received.drain(..=end).collect();
        serde_json::from_slice(&line).map(Some).map_err(|error| ClientError::Protocol(error.to_string()))
    }
}

impl AsFd for ShimClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl AsRawFd for ShimClient {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}
