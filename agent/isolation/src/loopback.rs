//! The one interface of a fresh network namespace.

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::{Context, IsolationError};

/// From this port on anybody may listen.
const ANY_PORT: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

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
