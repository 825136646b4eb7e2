//! Divides itself ahead of every order, which is much faster than starting a program.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use chapada_isolation::clone3::{Clone3, Cloned};
use chapada_isolation::descriptors;
use chapada_isolation::seccomp::Filter;
use chapada_shim::{ZYGOTE_PLACE, descriptors as messages};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::socket::{MsgFlags, recv};

use crate::detach::{leave_groups, sentence};
use crate::ready::{self, Ready};

/// Returns in each shim, with its order on standard input, the agent's connection on standard output and its log on standard
/// error; and with `None` where the agent has gone: in the zygote itself, and in the shim that waited. One waits at a time,
/// and takes its order from the agent's socket by itself: the zygote never sees one, which may hold secrets.
pub(crate) fn divide() -> Result<Option<Ready>, String> {
    let socket = std::io::stdin().as_fd().try_clone_to_owned();
    let socket =
        UnixStream::from(socket.map_err(|error| format!("cannot keep the agent's socket: {error}"))?);
    if !take_place(&socket)? {
        return Ok(None);
    }
    // Compiled once, for all who are divided from here.
    Filter::standard();
    // The kernel takes the status of shims, which nobody wants.
    on_child(SigHandler::SigIgn)?;
    let mut before = None;
    loop {
        let (taken, turn) = descriptors::pipe().map_err(|error| sentence(&error))?;
        let clone = Clone3 { namespaces: 0, into_cgroup: None, of_parent: false };
        // SAFETY: this program never starts a thread.
        match unsafe { clone.run() }.map_err(|error| sentence(&error))? {
            Cloned::Child(zygote) => {
                drop(taken);
                on_child(SigHandler::SigDfl)?;
                return ready::wait(&zygote, socket, before, turn);
            }
            Cloned::Parent { .. } => drop(turn),
        }
        descriptors::wait_readable(&taken);
        match (&taken).read(&mut [0]) {
            Ok(1) => before = Some(taken),
            // Another one would end as this one did. The agent starts another zygote.
            _ if !is_over(&socket) => return Err("a shim ended before its order came".to_owned()),
            _ => return Ok(None),
        }
    }
}

/// Goes where shims are to be born; false when the agent has gone.
fn take_place(socket: &UnixStream) -> Result<bool, String> {
    let (mut word, mut files) = ([0], Vec::new());
    loop {
        match messages::receive(socket, &mut word, &mut files) {
            Ok(0) => return Ok(false),
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("cannot hear the agent: {error}")),
        }
    }
    match files.pop() {
        Some(place) if word == ZYGOTE_PLACE => leave_groups(File::from(place)).map(|()| true),
        _ => Err("the first thing to come is a place".to_owned()),
    }
}

/// Whether the agent has gone and has left no order.
fn is_over(socket: &UnixStream) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    recv(std::os::fd::AsRawFd::as_raw_fd(socket), &mut [0], flags) == Ok(0)
}

fn on_child(handler: SigHandler) -> Result<(), String> {
    // SAFETY: neither of the two handlers used here runs code of ours.
    unsafe { signal(Signal::SIGCHLD, handler) }
        .map(drop)
        .map_err(|error| format!("cannot set up the signal of children: {error}"))
}
