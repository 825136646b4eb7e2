//! Open files that go along with a message over a Unix socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// No message carries more.
const MAX: usize = 4;

/// Sends bytes and files; gives how many bytes were taken.
///
/// # Errors
/// The kernel's.
pub fn send(stream: &UnixStream, bytes: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let numbers: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let control: &[ControlMessage<'_>] = if numbers.is_empty() { &[] } else { &rights };
    let bytes = [IoSlice::new(bytes)];
    Ok(sendmsg::<()>(stream.as_raw_fd(), &bytes, control, MsgFlags::MSG_NOSIGNAL, None)?)
}

/// Receives bytes, and files into `files`; gives how many bytes came, 0 at the end.
///
/// # Errors
/// The kernel's, and `InvalidData` for more files than a message may carry.
pub fn receive(stream: &UnixStream, bytes: &mut [u8], files: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut control = cmsg_space!([RawFd; MAX]);
    let mut bytes = [IoSliceMut::new(bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut bytes, Some(&mut control), flags)?;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            // SAFETY: the kernel has just given us these descriptors, so nobody else owns them.
            files.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    if message.flags.contains(MsgFlags::MSG_CTRUNC) || files.len() > MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "too many open files in a message"));
    }
    Ok(message.bytes)
}
