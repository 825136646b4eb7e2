//! Another program in a running container: what `exec` starts, and what a check runs.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chapada_isolation::terminals::WindowSize;
use serde::{Deserialize, Serialize};

use crate::client::{ClientError, ShimClient};
use crate::protocol::{Event, Request};
use crate::spec::{Command, InvalidSpec, absolute, check_environment};

/// A request must fit the shim's patience.
const MAX_BYTES: usize = 128 * 1024;

/// A program to run in a running container: in its namespaces and groups, with its rlimits, capabilities and filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecSpec {
    /// What to run.
    pub command: Command,
    /// The whole environment, as for a container.
    pub environment: Vec<(String, String)>,
    /// Variables that it has as the container's command had them at its start, so that nobody else needs to keep secret
    /// ones; those that are not there, or are in `environment`, are left out.
    #[serde(default)]
    pub inherited: Vec<String>,
    /// As for a container. `None`: the container's own user.
    pub user: Option<String>,
    /// Where it starts, absolute in the container. `None`: the sandbox.
    pub working_directory: Option<PathBuf>,
    /// A terminal of this size instead of streams.
    pub terminal: Option<WindowSize>,
}

impl ExecSpec {
    /// Checks what can be checked without the kernel.
    ///
    /// # Errors
    /// Names the field and the rule.
    pub fn validate(&self) -> Result<(), InvalidSpec> {
        self.command.validate()?;
        check_environment(&self.environment)?;
        self.working_directory.iter().try_for_each(|path| absolute("working_directory", path))?;
        match serde_json::to_vec(self) {
            Ok(bytes) if bytes.len() <= MAX_BYTES => Ok(()),
            _ => Err(InvalidSpec { field: "command", rule: "with its environment it must fit 128 KiB" }),
        }
    }
}

/// The program's ends of pipes, or whatever else it is to read and write.
#[derive(Debug)]
pub struct SessionStreams {
    /// Standard input.
    pub stdin: OwnedFd,
    /// Standard output.
    pub stdout: OwnedFd,
    /// Standard error.
    pub stderr: OwnedFd,
}

/// A program that runs as long as this connection: dropped, it and everything it started are killed. The socket does not
/// block; see [`ShimClient`] for how to wait.
#[derive(Debug)]
pub struct Session {
    client: ShimClient,
}

impl Session {
    /// Asks the shim of this runtime directory to run it, on these streams or, if it wants a terminal, on none. What comes
    /// of it is told by events: [`Event::SessionTerminal`] first if there is one, [`Event::SessionStarted`], and last
    /// [`Event::SessionEnded`].
    ///
    /// # Errors
    /// When the spec is wrong, streams are missing or too many, or the shim cannot be asked.
    pub fn start(
        runtime_dir: &Path,
        spec: &ExecSpec,
        streams: Option<SessionStreams>,
    ) -> Result<Self, ClientError> {
        spec.validate()?;
        if spec.terminal.is_some() == streams.is_some() {
            let rule = "a program has either a terminal or streams";
            return Err(InvalidSpec { field: "terminal", rule }.into());
        }
        let mut client = ShimClient::connect(runtime_dir)?;
        let request = Request::Exec { spec: Box::new(spec.clone()) };
        let files = streams.as_ref().map(|it| [it.stdin.as_fd(), it.stdout.as_fd(), it.stderr.as_fd()]);
        client.request_with(&request, files.as_ref().map_or(&[], |files| files.as_slice()))?;
        Ok(Self { client })
    }

    /// The next event of the session, or `None` when none has come yet. Never blocks.
    ///
    /// # Errors
    /// As [`ShimClient::poll_event`]; the session has ended then.
    pub fn poll_event(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            match self.client.poll_event()? {
                Some(event) if !event.is_of_session() => {}
                event => return Ok(event),
            }
        }
    }

    /// The next event; blocks the calling thread for at most `timeout` after whatever else the shim says.
    ///
    /// # Errors
    /// As [`ShimClient::wait_event`].
    pub fn wait_event(&mut self, timeout: Duration) -> Result<Event, ClientError> {
        loop {
            let event = self.client.wait_event(timeout)?;
            if event.is_of_session() {
                return Ok(event);
            }
        }
    }

    /// The terminal, once, after [`Event::SessionTerminal`]: what is written to it is typed, what is read is shown, and
    /// [`crate::resize`] resizes it. Reading fails with `EIO` when the program and all it started are gone.
    pub fn take_terminal(&mut self) -> Option<File> {
        self.client.take_file().map(File::from)
    }

    /// Sends a signal to the program's process group.
    ///
    /// # Errors
    /// As [`ShimClient::kill`].
    pub fn signal(&mut self, signal: i32) -> Result<(), ClientError> {
        self.client.request(&Request::SignalSession { signal })
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.client.as_fd()
    }
}

impl AsRawFd for Session {
    fn as_raw_fd(&self) -> RawFd {
        self.client.as_raw_fd()
    }
}
