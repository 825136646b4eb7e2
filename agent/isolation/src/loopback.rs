//! The one interface of a fresh network namespace.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::{Context, IsolationError};

/// Of the thread that reads it.
const OWN: &str = "/proc/thread-self/ns/net";

/// From this port on anybody may listen.
const ANY_PORT: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

/// A network namespace with no process in it and its `lo` up; it ends with the last descriptor of it. `None` when the kernel
/// gives none: a container that makes its own learns why.
///
/// # Errors
/// When the way back to its own network is closed to this thread, which must not go on then.
pub fn lone_network() -> Result<Option<OwnedFd>, IsolationError> {
    let Ok(own) = File::open(OWN) else { return Ok(None) };
    if unshare(CloneFlags::CLONE_NEWNET).is_err() {
        return Ok(None);
    }
    let made = bring_up().and_then(|()| File::open(OWN).context("open", OWN));
    setns(own, CloneFlags::CLONE_NEWNET).context("return to", "the host's network")?;
    Ok(made.ok().map(OwnedFd::from))
}

/// Brings `lo` up, with its addresses 127.0.0.1 and ::1, and lets everybody listen on every port: nobody else is there whose
/// port it could be.
///
/// # Errors
/// The kernel's.
pub fn bring_up() -> Result<(), IsolationError> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .context("open a socket for", "lo")?;
    // SAFETY: ifreq is plain numbers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    let result = if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    result.context("bring up", "lo")?;
    std::fs::write(ANY_PORT, "0").context("open ports in", ANY_PORT)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// Needs root.
    #[test]
    fn a_lone_network_is_another_than_ours_and_its_maker_stays_where_it_was() {
        let now = || std::fs::metadata(OWN).unwrap().ino();
        let before = now();
        let network = File::from(lone_network().unwrap().expect("root may make one"));
        assert_eq!(now(), before);
        assert_ne!(network.metadata().unwrap().ino(), before);
        setns(&network, CloneFlags::CLONE_NEWNET).unwrap();
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(std::fs::read_to_string(ANY_PORT).unwrap().trim(), "0");
    }
}
