//! Whether an address is one of this machine's, as the network of the calling thread has it.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

/// The address as its family writes it, with the link that it is on if it is one of a link.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(given) if given.ip().to_ipv4_mapped().is_none() => {
            SocketAddrV6::new(*given.ip(), given.port(), 0, given.scope_id()).into()
        }
        other => SocketAddr::new(other.ip().to_canonical(), other.port()),
    }
}

/// Whether it is: nothing else can be bound, or where the kernel lets sockets have foreign addresses (`ip_nonlocal_bind`), sent
/// from. With that set for IPv6 it holds for all of them, so that whoever refuses those of this machine refuses too much; who admits
/// them asks [`is_assigned`]. Sends nothing.
///
/// # Errors
/// The kernel's: also for an address of a link that does not say of which (`fe80::1` without `%eth0`).
pub fn is_own(address: SocketAddr) -> io::Result<bool> {
    let address = canonical(address);
    let mut any_port = address;
    any_port.set_port(0);
    match UdpSocket::bind(any_port) {
        Ok(socket) => Ok(socket.connect(address).is_ok()),
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Ok(false),
        // Of a family that the machine has not.
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether it is one of loopback, or an interface has it, whatever the kernel lets sockets bind: only processes of this machine can
/// hold a connection from there. Not all of theirs are among these: a route can make an address the machine's, too.
///
/// # Errors
/// The kernel's.
pub fn is_assigned(address: SocketAddr) -> io::Result<bool> {
    let interfaces = getifaddrs()?;
    Ok(is_among(address, interfaces.filter_map(|interface| internet(&interface.address?))))
}

fn is_among(address: SocketAddr, own: impl IntoIterator<Item = SocketAddr>) -> bool {
    let portless = |address: SocketAddr| {
        let mut address = canonical(address);
        address.set_port(0);
        address
    };
    let address = portless(address);
    address.ip().is_loopback() || own.into_iter().any(|own| portless(own) == address)
}

fn internet(address: &SockaddrStorage) -> Option<SocketAddr> {
    let four = address.as_sockaddr_in().map(|four| SocketAddrV4::from(*four).into());
    four.or_else(|| address.as_sockaddr_in6().map(|six| SocketAddrV6::from(*six).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_admits_goes_by_what_interfaces_have() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let own = ["192.0.2.1:0", "[2001:db8::1]:0", "[fe80::1%2]:0"].map(address);
        let here = ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "192.0.2.1:4000"];
        let here = here.into_iter().chain(["[::ffff:192.0.2.1]:4000", "[2001:db8::1]:1", "[fe80::1%2]:1"]);
        for here in here {
            assert!(is_among(address(here), own), "{here}");
        }
        for elsewhere in ["192.0.2.2:4000", "[2001:db8::2]:1", "[fe80::1%3]:1", "[fe80::1]:1", "0.0.0.0:1"] {
            assert!(!is_among(address(elsewhere), own), "{elsewhere}");
        }
        assert!(is_assigned(address("127.0.0.1:5051")).unwrap());
        assert!(!is_assigned(address("198.51.100.7:5051")).unwrap());
    }

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

    /// `struct in6_ifreq` of `linux/ipv6.h`.
    #[repr(C)]
    struct AddressOfLink {
        address: [u8; 16],
        prefix: u32,
        link: i32,
    }

    /// Needs root, and IPv6.
    #[test]
    fn an_address_of_a_link_is_the_machines_on_that_link_alone() {
        let lo = 1;
        let of_link = |last: u16, link: u32| {
            let ip = std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last);
            SocketAddr::from(SocketAddrV6::new(ip, 5051, 0, link))
        };
        if !std::path::Path::new("/proc/net/if_inet6").exists() {
            return; // a kernel without IPv6
        }
        assert!(!is_own(of_link(0xfff7, lo)).unwrap(), "another's on the same link");
        assert!(is_own(of_link(0xfff7, 0)).is_err(), "nobody said on which link");
        std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            crate::loopback::bring_up().unwrap();
            let socket = UdpSocket::bind("[::1]:0").unwrap();
            let mut address = [0; 16];
            (address[0], address[1], address[15]) = (0xfe, 0x80, 1);
            let request = AddressOfLink { address, prefix: 64, link: 1 };
            // SAFETY: SIOCSIFADDR of an IPv6 socket reads such a struct, which outlives the call.
            let result = unsafe {
                libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&socket), libc::SIOCSIFADDR, &raw const request)
            };
            assert_eq!(result, 0, "{}", io::Error::last_os_error());
            // The kernel looks for whoever has it already, which takes it a moment even where nobody can.
            let begun = std::time::Instant::now();
            while !is_own(of_link(1, lo)).unwrap() {
                assert!(begun.elapsed() < std::time::Duration::from_secs(60), "it never is");
                std::thread::yield_now();
            }
            assert!(!is_own(of_link(2, lo)).unwrap());
            assert!(is_assigned(of_link(1, lo)).unwrap() && !is_assigned(of_link(1, 2)).unwrap());
            std::fs::write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1").unwrap();
            assert!(is_own(of_link(2, lo)).unwrap(), "whoever refuses for it refuses too much");
            assert!(!is_assigned(of_link(2, lo)).unwrap(), "and nobody is admitted for it");
        })
        .join()
        .unwrap();
    }
}
