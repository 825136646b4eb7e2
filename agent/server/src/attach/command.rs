//! The command of a container: reading along what it writes, and typing on its terminal. Its shim keeps both, so that neither
//! needs the agent that began it.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chapada_shim::{AlongStreams, ClientError, WindowSize};
use chapada_wire::v1::TtyInfo;
use chapada_wire::v1::agent::process_io::data::Type;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_util::task::TaskTracker;

use super::fanout::Attached;
use super::{Piece, Stdin, watched};

/// Pieces between a container's pipes and the network; the pipes hold the rest.
const AHEAD: usize = 4;
/// What is read at once.
const PIECE: usize = 16 * 1024;
/// What a pipe holds: what a reader may be behind. It is charged to the container.
const PIPE: i32 = 256 * 1024;

/// Reads along what the command writes from now on, until its end.
///
/// # Errors
/// When its shim cannot be asked, or it writes nothing any more.
pub(crate) async fn read_along(runtime_dir: PathBuf, tasks: &TaskTracker) -> Result<Attached, ClientError> {
    let pipe = || -> io::Result<(OwnedFd, OwnedFd)> {
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(theirs.as_fd(), FcntlArg::F_SETPIPE_SZ(PIPE))?;
        Ok((ours, theirs))
    };
    let broken = ClientError::Broken;
    let ((out, stdout), (err, stderr), (fate, cut)) =
        (pipe().map_err(broken)?, pipe().map_err(broken)?, pipe().map_err(broken)?);
    let streams = AlongStreams { stdout, stderr, cut };
    let asked = spawn_blocking(move || chapada_shim::read_along(&runtime_dir, &streams)).await;
    asked.map_err(|panic| ClientError::Protocol(panic.to_string()))??;
    let end = |descriptor| pipe::Receiver::from_owned_fd(descriptor).map_err(broken);
    let (out, err, mut fate) = (end(out)?, end(err)?, end(fate)?);
    let (sender, pieces) = mpsc::channel(AHEAD);
    let was_cut = Arc::new(AtomicBool::new(false));
    let cut = was_cut.clone();
    tasks.spawn(async move {
        let all = async {
            tokio::join!(pass_on(out, Type::Stdout, &sender), pass_on(err, Type::Stderr, &sender));
            was_cut.store(fate.read_u8().await.is_ok(), Ordering::Relaxed);
        };
        tokio::select! {
            () = all => {}
            () = sender.closed() => {}
        }
    });
    Ok(Attached { pieces, cut })
}

async fn pass_on(mut pipe: pipe::Receiver, kind: Type, to: &mpsc::Sender<Piece>) {
    let mut buffer = vec![0; PIECE];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        let data = Bytes::copy_from_slice(&buffer[..count]);
        if to.send(Piece { kind, data }).await.is_err() {
            return;
        }
    }
}

/// The terminals that somebody types on, by the names of their containers. One at a time types.
#[derive(Debug, Default)]
pub(crate) struct Terminals(Arc<Mutex<BTreeSet<String>>>);

/// A terminal that is typed on by whoever has this.
#[derive(Debug)]
pub(crate) struct Typing {
    pub(crate) stdin: Stdin,
    _held: Held,
}

#[derive(Debug)]
struct Held {
    name: String,
    all: Arc<Mutex<BTreeSet<String>>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

impl Terminals {
    /// The terminal of the container whose shim has this name; `None` when somebody types on it.
    ///
    /// # Errors
    /// When its shim cannot be asked, or it has none.
    pub(crate) async fn take(&self, runtime_dir: PathBuf, shim: &str) -> Result<Option<Typing>, ClientError> {
        if !self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(shim.to_owned()) {
            return Ok(None);
        }
        let held = Held { name: shim.to_owned(), all: self.0.clone() };
        let taken = spawn_blocking(move || chapada_shim::take_terminal(&runtime_dir)).await;
        let terminal = taken.map_err(|panic| ClientError::Protocol(panic.to_string()))??;
        let terminal = Arc::new(watched(terminal).map_err(ClientError::Broken)?);
        Ok(Some(Typing { stdin: Stdin::Terminal(terminal), _held: held }))
    }
}

/// A size of a terminal; what is not said is as terminals were.
pub(crate) fn window_size(terminal: &TtyInfo) -> WindowSize {
    let size = terminal.window_size.unwrap_or_default();
    let side =
        |side: Option<u32>, usual: u16| side.map_or(usual, |side| u16::try_from(side).unwrap_or(u16::MAX));
    WindowSize { rows: side(size.rows, 24), columns: side(size.columns, 80) }
}
