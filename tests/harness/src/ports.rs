//! Ports for servers that are started after they were told to others.

use std::net::{IpAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports are taken from here on,
const FIRST_PORT: u16 = 12_000;
/// so many of them, in turn.
const PORTS: u16 = 18_000;

/// Different ports, free a moment ago, below those that the kernel hands out by itself (so that no outgoing connection
/// of another test takes one before its server does).
pub(crate) fn free_ports(ip: IpAddr, count: usize) -> Vec<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let own_share = std::process::id().wrapping_mul(97);
    let candidates = std::iter::repeat_with(|| {
        let number = own_share.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        FIRST_PORT + u16::try_from(number % u32::from(PORTS)).expect("less than a u16")
    });
    candidates.filter(|port| TcpListener::bind((ip, *port)).is_ok()).take(count).collect()
}

/// A port that was free a moment ago, for a server that is started later. None that the kernel hands out by itself, so that
/// no outgoing connection takes it before its server does.
#[must_use]
pub fn free_port(ip: impl Into<IpAddr>) -> u16 {
    free_ports(ip.into(), 1)[0]
}
