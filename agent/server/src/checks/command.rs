//! A command in the container of a task: as a session beside it, which ends with whoever waits for it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use chapada_agent_core::Answer;
use chapada_shim::{ClientError, Event, ExecSpec, Outcome, Session, SessionStreams};
use tokio::io::unix::AsyncFd;

/// A command that a signal ends has this status and the signal's number, as in shells.
const SIGNALED: i32 = 128;

/// Runs it, and gives how it ended. Dropped before that, the command and all it started are killed.
pub(super) async fn run(runtime_dir: &Path, spec: &ExecSpec) -> Answer {
    match ended(runtime_dir, spec).await {
        Ok(Outcome::Exited { code }) => Answer::Exit(code),
        Ok(Outcome::Signaled { signal }) => Answer::Exit(SIGNALED + signal),
        Ok(Outcome::NotStarted { error }) => Answer::Nothing(error.to_string()),
        Err(error) => Answer::Nothing(error.to_string()),
    }
}

async fn ended(runtime_dir: &Path, spec: &ExecSpec) -> Result<Outcome, RunError> {
    let session = Session::start(runtime_dir, spec, Some(silence()?))?;
    let mut session = watch(session)?;
    loop {
        while let Some(event) = session.get_mut().poll_event()? {
            match event {
                Event::SessionEnded { outcome } => return Ok(outcome),
                Event::Refused { message, .. } => return Err(RunError::Refused(message)),
                _ => {}
            }
        }
        session.readable_mut().await?.clear_ready();
    }
}

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the command was refused: {0}")]
    Refused(String),
}

/// Nothing to read, and nobody who listens: what counts is how the command ends.
fn silence() -> io::Result<SessionStreams> {
    let null: OwnedFd = File::open("/dev/null")?.into();
    let sink: OwnedFd = OpenOptions::new().write(true).open("/dev/null")?.into();
    Ok(SessionStreams { stdin: null, stdout: sink.try_clone()?, stderr: sink })
}

#[expect(
    deprecated,
    reason = "the replacement is unsafe; a session has one descriptor for life, which is all it asks"
)]
fn watch(session: Session) -> io::Result<AsyncFd<Session>> {
    AsyncFd::new(session)
}
