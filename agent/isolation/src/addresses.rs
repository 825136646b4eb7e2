//! Whether an address is one of this machine's, as the network of the calling thread has it.

use std::io;
use std::net::{SocketAddr, UdpSocket};

/// Whether it is: nothing else can be bound, or where the kernel lets sockets have foreign addresses (`ip_nonlocal_bind`), sent
/// from. With that set for IPv6 it holds for all of them, so that whoever refuses those of this machine refuses too much.
/// Sends nothing.
///
/// # Errors
/// The kernel's.
pub fn is_own(address: SocketAddr) -> io::Result<bool> {
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    match UdpSocket::bind(SocketAddr::new(address.ip(), 0)) {
        Ok(socket) => Ok(socket.connect(address).is_ok()),
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Ok(false),
        // Of a family that the machine has not.
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_the_machines_however_it_is_written_and_others_are_not() {
        let is_own = |text: &str| is_own(text.parse().unwrap()).unwrap();
        for own in ["127.0.0.1:5051", "127.9.9.9:1", "[::ffff:127.0.0.1]:5051"] {
            assert!(is_own(own), "{own}");
        }
        for other in ["198.51.100.7:5051", "[2001:db8::7]:5051", "[::ffff:198.51.100.7]:5051"] {
            assert!(!is_own(other), "{other}");
        }
    }
}
