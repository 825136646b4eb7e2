//! A session from its beginning to its end: a task that stays with it, reads what it writes, and passes signals on.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chapada_shim::{ClientError, Event, ExecSpec, Outcome, Session as Program, SessionStreams};
use chapada_wire::v1::agent::process_io::data::Type;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;
use tokio::io::AsyncReadExt;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::sessions::{NotNamed, Session, Sessions};
use super::{ContainerPath, Piece, Stdin, watched};

/// Pieces between a program and who launched it. If that one is slow the program waits, as on a terminal.
const AHEAD: usize = 16;
/// What is read at once.
const PIECE: usize = 16 * 1024;
/// How long a shim may take to start a program.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long after the end of a program somebody may go on writing in its place: where there is no v2 tree, what has left its
/// process group is not killed with it.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// What wait(2) says of a program that was killed.
const KILLED: i32 = 9;

/// A session that has begun: what it writes, for the one whose connection it ends with. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) pieces: mpsc::Receiver<Piece>,
}

/// Why a session did not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotBegun {
    #[error(transparent)]
    Name(#[from] NotNamed),
    /// The program cannot be run there.
    #[error("{0}")]
    Program(String),
    /// The shim or the kernel did not do it.
    #[error("cannot run a program in the container: {0}")]
    Shim(#[from] ClientError),
    #[error("cannot make its streams: {0}")]
    Streams(#[from] io::Error),
}

impl Sessions {
    /// Begins a session in the container whose shim has this runtime directory.
    ///
    /// # Errors
    /// Nothing runs then, and the name is free.
    pub(crate) async fn run(
        &self,
        path: &ContainerPath,
        runtime_dir: &Path,
        spec: &ExecSpec,
        tasks: &TaskTracker,
    ) -> Result<Begun, NotBegun> {
        let (session, signals) = self.begin(path)?;
        let mut name = Name { sessions: self, path, session: Some(session.clone()) };
        let running = Running::start(runtime_dir, spec, session, signals).await?;
        name.session = None;
        let (owner, pieces) = mpsc::channel(AHEAD);
        tasks.spawn(running.attend(owner));
        Ok(Begun { pieces })
    }
}

/// A name that is free again if the session does not begin, be it that nobody waits for it any more.
struct Name<'a> {
    sessions: &'a Sessions,
    path: &'a ContainerPath,
    session: Option<Arc<Session>>,
}

impl Drop for Name<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            session.conclude(None);
            self.sessions.remove(self.path);
        }
    }
}

/// A program that runs.
struct Running {
    session: Arc<Session>,
    program: AsyncFd<Program>,
    outputs: Outputs,
    signals: mpsc::Receiver<i32>,
}

/// What a program writes to.
type Outputs = Vec<(Type, Output)>;

/// Our end of that.
enum Output {
    Pipe(pipe::Receiver),
    Terminal(Arc<AsyncFd<File>>),
}

impl Running {
    async fn start(
        runtime_dir: &Path,
        spec: &ExecSpec,
        session: Arc<Session>,
        signals: mpsc::Receiver<i32>,
    ) -> Result<Self, NotBegun> {
        let (mut outputs, mut stdin) = (Vec::new(), Stdin::Closed);
        let streams = match spec.terminal {
            Some(_) => None,
            None => {
                let (streams, ends, sender) = pipes()?;
                (outputs, stdin) = (ends, Stdin::Pipe(sender));
                Some(streams)
            }
        };
        let mut program = watched(Program::start(runtime_dir, spec, streams)?)?;
        let started = async {
            loop {
                while let Some(event) = program.get_mut().poll_event()? {
                    match event {
                        Event::SessionTerminal => {
                            if let Some(terminal) = program.get_mut().take_terminal() {
                                fcntl(&terminal, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
                                    .map_err(io::Error::from)?;
                                let terminal = Arc::new(watched(terminal)?);
                                outputs.push((Type::Stdout, Output::Terminal(terminal.clone())));
                                stdin = Stdin::Terminal(terminal);
                            }
                        }
                        Event::SessionStarted { .. } => return Ok(()),
                        Event::SessionEnded { outcome: Outcome::NotStarted { error } } => {
                            return Err(NotBegun::Program(error.message));
                        }
                        Event::Refused { message, .. } => return Err(NotBegun::Program(message)),
                        _ => {}
                    }
                }
                program.readable_mut().await.map_err(ClientError::Broken)?.clear_ready();
            }
        };
        timeout(START_LIMIT, started).await.map_err(|_| ClientError::Timeout(START_LIMIT))??;
        *session.stdin.lock().await = stdin;
        Ok(Self { session, program, outputs, signals })
    }

    /// Stays until the program has ended and all that it wrote is read. When its owner leaves, it is killed.
    async fn attend(mut self, owner: mpsc::Sender<Piece>) {
        let over = CancellationToken::new();
        let session = self.session.clone();
        let mut outputs = std::mem::take(&mut self.outputs).into_iter();
        let (first, second) = (outputs.next(), outputs.next());
        let (status, (), ()) = tokio::join!(
            async {
                let status = self.until_the_end(&owner).await;
                over.cancel();
                status
            },
            pass_on(first, &session, &owner, &over),
            pass_on(second, &session, &owner, &over),
        );
        session.conclude(status);
        *session.stdin.lock().await = Stdin::Closed; // whoever writes has let go, or does now
        drop(owner); // last: who reads to the end and then asks how it ended is told
    }

    /// The status of the program, as wait(2) gives it.
    async fn until_the_end(mut self, owner: &mpsc::Sender<Piece>) -> Option<i32> {
        loop {
            match self.program.get_mut().poll_event() {
                Ok(Some(Event::SessionEnded { outcome })) => return outcome.wait_status(),
                Ok(Some(Event::Refused { message, .. })) => {
                    tracing::debug!(message, "a session did not take a signal");
                }
                Ok(Some(_)) => {}
                Ok(None) => tokio::select! {
                    // Dropping its connection kills it.
                    () = owner.closed() => return Some(KILLED),
                    Some(signal) = self.signals.recv() => {
                        if let Err(error) = self.program.get_mut().signal(signal) {
                            tracing::debug!(%error, "a session did not take a signal");
                        }
                    }
                    ready = self.program.readable_mut() => match ready {
                        Ok(mut guard) => guard.clear_ready(),
                        Err(_) => return Some(KILLED),
                    },
                },
                // The shim is gone, and all of its container.
                Err(_) => return Some(KILLED),
            }
        }
    }
}

/// Gives what a program writes to its owner, as fast as that one reads, and to those who read along.
async fn pass_on(
    output: Option<(Type, Output)>,
    session: &Session,
    owner: &mpsc::Sender<Piece>,
    over: &CancellationToken,
) {
    let Some((kind, mut output)) = output else { return };
    let mut buffer = vec![0; PIECE];
    loop {
        let count = if over.is_cancelled() {
            timeout(LAST_WORDS, output.read(&mut buffer)).await.unwrap_or(Ok(0))
        } else {
            tokio::select! {
                biased; // what is there, before the end
                count = output.read(&mut buffer) => count,
                () = over.cancelled() => continue,
            }
        };
        // A terminal that is gone says so by an error.
        let Ok(count @ 1..) = count else { return };
        let piece = Piece { kind, data: Bytes::copy_from_slice(&buffer[..count]) };
        session.output.send(&piece);
        if owner.send(piece).await.is_err() {
            return;
        }
    }
}

impl Output {
    /// Can be dropped before it is done: nothing is lost.
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Pipe(pipe) => pipe.read(buffer).await,
            Self::Terminal(terminal) => loop {
                let mut guard = terminal.readable().await?;
                if let Ok(count) = guard.try_io(|terminal| terminal.get_ref().read(buffer)) {
                    return count;
                }
            },
        }
    }
}

/// Three pipes, and our ends of them.
fn pipes() -> io::Result<(SessionStreams, Outputs, pipe::Sender)> {
    let pipe = || -> io::Result<(OwnedFd, OwnedFd)> { Ok(pipe2(OFlag::O_CLOEXEC)?) };
    let ((stdin, typed), (out, stdout), (err, stderr)) = (pipe()?, pipe()?, pipe()?);
    let output = |end| pipe::Receiver::from_owned_fd(end).map(Output::Pipe);
    let outputs = vec![(Type::Stdout, output(out)?), (Type::Stderr, output(err)?)];
    Ok((SessionStreams { stdin, stdout, stderr }, outputs, pipe::Sender::from_owned_fd(typed)?))
}
