//! The terminal of a container's command. Its process 1 makes it, inside; the shim keeps the side that shows, so that it
//! outlives any agent, and the pump reads that.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use chapada_isolation::terminals::{Terminal, WindowSize};
use chapada_isolation::user::User;
use chapada_isolation::{Context, IsolationError, beneath, descriptors};
use chapada_shim::{ContainerSpec, Event, descriptors as messages};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{Uid, fchown};

use crate::clients::{ClientId, Clients, line};
use crate::complain::complain;
use crate::pump::Pump;

/// The side that shows, when it has come.
pub(crate) struct Shown {
    comes_from: UnixStream,
    master: Option<File>,
}

impl Shown {
    /// Also what process 1 sends it by.
    pub(crate) fn expect() -> Result<(Self, UnixStream), IsolationError> {
        let (comes_from, theirs) = UnixStream::pair().context("create", "a socket for a terminal")?;
        comes_from.set_nonblocking(true).context("set up", "a socket for a terminal")?;
        Ok((Self { comes_from, master: None }, theirs))
    }

    /// What to poll for reading.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.master.is_none().then(|| self.comes_from.as_fd())
    }

    /// Takes it when it has come.
    pub(crate) fn follow(&mut self, pump: Option<&mut Pump>) {
        let mut files = Vec::new();
        if self.master.is_some()
            || !matches!(messages::receive(&self.comes_from, &mut [0], &mut files), Ok(1))
        {
            return;
        }
        self.master = files.pop().map(File::from);
        if let (Some(master), Some(pump)) = (&self.master, pump)
            && let Err(error) = pump.take_terminal(master)
        {
            complain(format_args!("cannot log what the terminal shows: {error}"));
        }
    }

    /// Lets a client type.
    pub(crate) fn give(&self, clients: &Clients, to: ClientId) -> Result<(), String> {
        let master = self.master.as_ref().ok_or("its terminal is not there yet")?;
        // Who asked and left is told nothing.
        let Some(client) = clients.stream(to) else { return Ok(()) };
        match messages::send(client, &line(&Event::Terminal), &[master.as_fd()]) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.to_string()),
            _ => Ok(()),
        }
    }
}

/// Makes the terminal, in process 1, as the three streams of the command.
pub(crate) fn install(
    spec: &ContainerSpec,
    size: WindowSize,
    user: &User,
    send_by: &UnixStream,
) -> Result<(), IsolationError> {
    let root = beneath::directory(Path::new("/"))?;
    let terminal = Terminal::open(&root, size)?;
    let owner = spec.user_namespace.map_or(Some(user.uid), |range| range.on_host(user.uid));
    fchown(&terminal.slave, owner.map(Uid::from_raw), None).context("give away", "the terminal")?;
    for number in 0..3 {
        descriptors::install(&terminal.slave, number)?;
    }
    // Nobody who reads or types may ever be made to wait by it.
    let nonblocking = fcntl(&terminal.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
    nonblocking.context("set up", "the terminal")?;
    messages::send(send_by, b"t", &[terminal.master.as_fd()]).context("pass on", "the terminal")?;
    descriptors::close_on_exec()
}
