//! Interfaces of this network: finding out whether one is half of a pair, and deleting it. The kernel is asked over netlink.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

use crate::{Context, IsolationError};

const HEADER: usize = 16;
/// `struct ifinfomsg`.
const LINK: usize = 16;
/// A message about one interface fits.
const MESSAGE: usize = 16 << 10;
/// Nested attributes have it set beside their number.
const KIND_MASK: u16 = 0x3fff;
/// `IFLA_INFO_KIND`; libc has it for other types only.
const INFO_KIND: u16 = 1;

/// Deletes an interface if it is half of a pair (`veth`), and with it the other half, wherever that is; says whether it was
/// there and did.
///
/// # Errors
/// The kernel's.
pub fn delete_pair(name: &str) -> Result<bool, IsolationError> {
    let index = match if_nametoindex(name) {
        Err(Errno::ENODEV) => return Ok(false),
        index => index.context("find the interface", name)?,
    };
    let asked = || {
        let netlink = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        let answer = ask(&netlink, libc::RTM_GETLINK, index)?;
        if kind(&answer) != Some(b"veth") {
            return Ok(false);
        }
        ask(&netlink, libc::RTM_DELLINK, index).map(|_| true)
    };
    match asked() {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(false),
        done => done.context("delete the interface", name),
    }
}

/// Sends a request about one interface; the body of the answer.
fn ask(netlink: &OwnedFd, request: u16, index: u32) -> io::Result<Vec<u8>> {
    let flags = (libc::NLM_F_REQUEST | if request == libc::RTM_GETLINK { 0 } else { libc::NLM_F_ACK }) as u16;
    let mut message = Vec::with_capacity(HEADER + LINK);
    message.extend(((HEADER + LINK) as u32).to_ne_bytes());
    message.extend(request.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]); // number and sender
    message.extend([0; 4]); // family and kind of device
    message.extend(index.to_ne_bytes());
    message.extend([0; 8]); // flags
    sendto(netlink.as_raw_fd(), &message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = vec![0; MESSAGE];
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    answer.truncate(length);
    let kind = field(&answer, 4).map(u16::from_ne_bytes);
    if kind == Some(libc::NLMSG_ERROR as u16) {
        let error = field(&answer, HEADER).map(i32::from_ne_bytes).unwrap_or(-libc::EPROTO);
        return if error == 0 { Ok(Vec::new()) } else { Err(io::Error::from_raw_os_error(-error)) };
    }
    Ok(answer.split_off(HEADER.min(answer.len())))
}

/// What kind of interface an answer is about, as `ip link` names them.
fn kind(answer: &[u8]) -> Option<&[u8]> {
    let info = attribute(answer.get(LINK..)?, libc::IFLA_LINKINFO)?;
    attribute(info, INFO_KIND)?.strip_suffix(b"\0")
}

/// The attribute of this number in a list of them.
fn attribute(mut list: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(field(list, 0)?));
        let number = u16::from_ne_bytes(field(list, 2)?) & KIND_MASK;
        let body = list.get(4..length)?;
        if number == wanted {
            return Some(body);
        }
        list = list.get(length.next_multiple_of(4)..)?;
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute_of(number: u16, body: &[u8]) -> Vec<u8> {
        let length = (4 + body.len()) as u16;
        let mut bytes = [length.to_ne_bytes(), number.to_ne_bytes()].concat();
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn the_kind_is_found_among_attributes() {
        let nested = attribute_of(INFO_KIND, b"veth\0");
        let mut answer = vec![0; LINK];
        answer.extend(attribute_of(3, b"name\0"));
        answer.extend(attribute_of(libc::IFLA_LINKINFO | 0x8000, &nested));
        assert_eq!(kind(&answer), Some(&b"veth"[..]));
        assert_eq!(kind(&answer[..answer.len() - 4]), None);
        assert_eq!(kind(&[]), None);
        assert_eq!(attribute(&[0, 0, 1, 0], 2), None, "of no length");
    }

    #[test]
    fn only_half_of_a_pair_is_deleted() {
        assert!(!delete_pair("lo").unwrap());
        assert!(!delete_pair("no-such-link").unwrap());
    }
}
