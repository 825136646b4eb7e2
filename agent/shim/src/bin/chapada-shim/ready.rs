//! A shim that waits for its order has made ahead what takes long and is the same for all: a network with its `lo` up, a user
//! namespace without ids. What an order does not need goes again, and all of it with the process.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use chapada_isolation::clone3::Caller;
use chapada_isolation::{descriptors, ids, loopback};
use chapada_shim::{ZYGOTE_ORDER, descriptors as messages};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;

use crate::detach::{leave_zygote, sentence};

/// What has been made ahead.
pub(crate) struct Ready {
    pub(crate) network: Option<OwnedFd>,
    pub(crate) ids: Option<ids::Vacant>,
    pub(crate) turn: Turn,
}

/// Says when it goes that this shim's container has been made, and that the next shim may make things ahead without being in
/// its way.
pub(crate) struct Turn(File);

impl Drop for Turn {
    fn drop(&mut self) {
        // One byte fits the pipe; should the zygote have gone, there is no next shim.
        let _nobody_reads = self.0.write_all(b"m");
    }
}

/// Waits for an order in a new process, and says through `turn` that one has come. Returns then with the order on standard
/// input, the agent's connection on standard output and the shim's log on standard error; `None` when the agent has gone.
/// `before` tells of the shim that took the last order.
pub(crate) fn wait(
    zygote: &Caller,
    agent: UnixStream,
    before: Option<File>,
    mut turn: File,
) -> Result<Option<Ready>, String> {
    zygote.end_together().map_err(|error| sentence(&error))?;
    leave_zygote()?;
    let (mut network, mut ids) = (None, None);
    // Whoever orders many containers at once does not wait for things to be made ahead.
    if before.is_none_or(|before| comes_before_an_order(&before, &agent)) {
        // What cannot be made now is tried again, and complained of, by the container that needs it.
        network = loopback::lone_network().map_err(|error| sentence(&error))?;
        // SAFETY: this program never starts a thread.
        ids = unsafe { ids::Vacant::make() }.ok();
    }
    let (mut word, mut files) = ([0], Vec::new());
    loop {
        match messages::receive(&agent, &mut word, &mut files) {
            Ok(0) => return Ok(None),
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("cannot hear the agent: {error}")),
        }
    }
    // From here on it outlives the zygote.
    prctl::set_pdeathsig(None).map_err(|error| format!("cannot leave the zygote: {error}"))?;
    // Should the zygote be gone, nobody makes another one ready.
    let _nobody_reads = turn.write_all(&word);
    if word != ZYGOTE_ORDER || files.len() != 3 {
        return Err("an order is one word and three files".to_owned());
    }
    for (number, file) in (0..).zip(&files) {
        descriptors::install(file, number).map_err(|error| sentence(&error))?;
    }
    Ok(Some(Ready { network, ids, turn: Turn(turn) }))
}

/// Waits for either. An end counts as a word.
fn comes_before_an_order(word: &File, agent: &UnixStream) -> bool {
    let mut watched = [agent.as_fd(), word.as_fd()].map(|file| PollFd::new(file, PollFlags::POLLIN));
    while poll(&mut watched, PollTimeout::NONE) == Err(Errno::EINTR) {}
    watched[0].any() == Some(false)
}
