//! Waits for orders and divides itself for each, which is much faster than starting a program.

use std::fs::File;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use chapada_isolation::clone3::{Clone3, Cloned};
use chapada_isolation::descriptors;
use chapada_shim::{ZYGOTE_PLACE, descriptors as messages};
use nix::sys::signal::{SigHandler, Signal, signal};

use crate::detach::{leave_groups, sentence};

/// Returns in each shim, true, with its order on standard input, the agent's connection on standard output and its log on
/// standard error; and in the zygote itself when the agent has gone, false. The zygote never looks at an order, which may
/// hold secrets.
pub(crate) fn divide() -> Result<bool, String> {
    let socket = std::io::stdin().as_fd().try_clone_to_owned();
    let socket =
        UnixStream::from(socket.map_err(|error| format!("cannot keep the agent's socket: {error}"))?);
    // The kernel takes the status of shims, which nobody wants.
    on_child(SigHandler::SigIgn)?;
    loop {
        let (mut word, mut files) = ([0], Vec::new());
        match messages::receive(&socket, &mut word, &mut files) {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(format!("cannot hear the agent: {error}")),
        }
        if word == ZYGOTE_PLACE {
            let place = files.pop().ok_or("a place comes as a file")?;
            leave_groups(File::from(place))?;
            continue;
        }
        // An order, a socket and a log.
        if files.len() != 3 {
            return Err("an order has three files".to_owned());
        }
        let clone = Clone3 { namespaces: 0, into_cgroup: None, of_parent: false };
        // SAFETY: this program never starts a thread.
        match unsafe { clone.run() } {
            Ok(Cloned::Parent { .. }) => {}
            Ok(Cloned::Child) => {
                let _closed_with_all_others = socket.into_raw_fd();
                return become_shim(files).map(|()| true);
            }
            Err(error) => eprintln!("chapada-shim: {}", sentence(&error)),
        }
    }
}

fn become_shim(files: Vec<OwnedFd>) -> Result<(), String> {
    for (number, file) in (0..3).zip(&files) {
        descriptors::install(file, number).map_err(|error| sentence(&error))?;
    }
    for file in files {
        let _closed_with_all_others = file.into_raw_fd();
    }
    // SAFETY: whatever is above standard error has just been given up.
    unsafe { descriptors::close_inherited() }.map_err(|error| sentence(&error))?;
    on_child(SigHandler::SigDfl)
}

fn on_child(handler: SigHandler) -> Result<(), String> {
    // SAFETY: neither of the two handlers used here runs code of ours.
    unsafe { signal(Signal::SIGCHLD, handler) }
        .map(drop)
        .map_err(|error| format!("cannot set up the signal of children: {error}"))
}
