//! A shim that waits for its order has made ahead what takes long and is the same for all: a network with its `lo` up, a user
//! namespace without ids. What an order does not need goes again, and all of it with the process.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use chapada_isolation::{descriptors, ids, loopback};
use chapada_shim::{ZYGOTE_ORDER, descriptors as messages};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;

use crate::child::die_with_parent;
use crate::detach::{leave_zygote, sentence};

/// Whoever orders many containers at once does not wait for things to be made ahead, nor gives its processors to that.
const QUIET: Duration = Duration::from_millis(2);

/// What has been made ahead.
#[derive(Default)]
pub(crate) struct Ready {
    pub(crate) network: Option<OwnedFd>,
    pub(crate) ids: Option<ids::Vacant>,
}

impl Ready {
    /// What cannot be made now is tried again, and complained of, by the container that needs it.
    fn make() -> Result<Self, String> {
        let network = loopback::lone_network().map_err(|error| sentence(&error))?;
        // SAFETY: this program never starts a thread.
        Ok(Self { network, ids: unsafe { ids::Vacant::make() }.ok() })
    }
}

/// Waits for an order in a new process, and says through `taken` that one has come. Returns then with the order on standard
/// input, the agent's connection on standard output and the shim's log on standard error; `None` when the agent has gone.
pub(crate) fn wait(agent: UnixStream, mut taken: File) -> Result<Option<Ready>, String> {
    die_with_parent().map_err(|error| sentence(&error))?;
    leave_zygote()?;
    let ready = if is_quiet(&agent)? { Ready::make()? } else { Ready::default() };
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
    let _nobody_reads = taken.write_all(&word);
    if word != ZYGOTE_ORDER || files.len() != 3 {
        return Err("an order is one word and three files".to_owned());
    }
    for (number, file) in (0..).zip(&files) {
        descriptors::install(file, number).map_err(|error| sentence(&error))?;
    }
    Ok(Some(ready))
}

fn is_quiet(agent: &UnixStream) -> Result<bool, String> {
    let patience = PollTimeout::try_from(QUIET).unwrap_or(PollTimeout::ZERO);
    let heard = poll(&mut [PollFd::new(agent.as_fd(), PollFlags::POLLIN)], patience);
    heard.map(|count| count == 0).map_err(|error| format!("cannot wait for the agent: {error}"))
}
