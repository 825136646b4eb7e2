//! Reading along what a container's command writes, and typing on its terminal.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use crate::client::{ClientError, ShimClient};
use crate::protocol::{Event, Request};
use crate::spec::InvalidSpec;

/// A shim answers at once.
const LIMIT: Duration = Duration::from_secs(5);

/// The writing ends of three pipes.
#[derive(Debug)]
pub struct AlongStreams {
    /// Takes what the command writes to standard output, or what its terminal shows.
    pub stdout: OwnedFd,
    /// Takes what it writes to standard error.
    pub stderr: OwnedFd,
    /// Takes one byte if the reader was too slow.
    pub cut: OwnedFd,
}

/// Has what the command of this runtime directory's container writes from now on written to these pipes as well, which are
/// closed at its end. The command waits for no reader: when a pipe is full, all three are closed, with a byte in `cut`.
/// Blocks for a moment.
///
/// # Errors
/// When the shim cannot be asked, or the container has no limited logs or writes nothing any more.
pub fn read_along(runtime_dir: &Path, streams: &AlongStreams) -> Result<(), ClientError> {
    let mut client = ShimClient::connect(runtime_dir)?;
    let files = [streams.stdout.as_fd(), streams.stderr.as_fd(), streams.cut.as_fd()];
    client.request_with(&Request::Attach, &files)?;
    answer(&mut client, &Event::Attached)
}

/// The side of the command's terminal that is typed on, and by which [`crate::resize`] resizes it. It does not block, and is
/// not to be read. Blocks for a moment.
///
/// # Errors
/// When the shim cannot be asked, or the command has no terminal.
pub fn take_terminal(runtime_dir: &Path) -> Result<File, ClientError> {
    let mut client = ShimClient::connect(runtime_dir)?;
    client.request(&Request::TakeTerminal)?;
    answer(&mut client, &Event::Terminal)?;
    let file = client.take_file().map(File::from);
    file.ok_or_else(|| ClientError::Protocol("a terminal without a file".to_owned()))
}

/// Waits for this event.
fn answer(client: &mut ShimClient, wanted: &Event) -> Result<(), ClientError> {
    loop {
        match client.wait_event(LIMIT)? {
            event if event == *wanted => return Ok(()),
            Event::Refused { request: Request::TakeTerminal, .. } => {
                let rule = "the container was started without one";
                return Err(InvalidSpec { field: "terminal", rule }.into());
            }
            Event::Refused { message, .. } => return Err(ClientError::Protocol(message)),
            Event::Exited { .. } => return Err(ClientError::Closed),
            _ => {}
        }
    }
}
