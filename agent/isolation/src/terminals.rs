//! Terminals of a container: pairs of a side that a program has and a side that shows it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::statfs::fstatfs;
use serde::{Deserialize, Serialize};

use crate::{Context, IsolationError, beneath};

/// Source: `linux/magic.h`.
const DEVPTS: nix::sys::statfs::FsType = nix::sys::statfs::FsType(0x1cd1);

/// How much text a terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// A new terminal.
#[derive(Debug)]
pub struct Terminal {
    /// What is written here is typed; what is read here is shown. Closed, it hangs up.
    pub master: File,
    /// The program's side.
    pub slave: File,
}

impl Terminal {
    /// Makes one in the mount namespace of a container, in which somebody may have put other things in its place.
    ///
    /// # Errors
    /// When there is none, or what is there is none.
    pub fn open(root: &File, size: WindowSize) -> Result<Self, IsolationError> {
        let path = Path::new("dev/pts/ptmx");
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK;
        let master = beneath::open(root, path, flags, 0).context("open", "/dev/pts/ptmx")?;
        let system = fstatfs(&master).context("look at", "/dev/pts/ptmx")?;
        let is_device = master.metadata().is_ok_and(|found| found.file_type().is_char_device());
        if system.filesystem_type() != DEVPTS || !is_device {
            return Err(IsolationError::invalid("use", "/dev/pts/ptmx", "it is no terminal"));
        }
        let slave = slave_of(&master).context("make", "a terminal")?;
        fcntl(&master, FcntlArg::F_SETFL(OFlag::empty())).context("set up", "a terminal")?;
        resize(&master, size)?;
        Ok(Self { master, slave })
    }
}

/// By the master alone: a path would lead through the container.
fn slave_of(master: &File) -> io::Result<File> {
    let unlocked: libc::c_int = 0;
    // SAFETY: this ioctl reads a number that outlives the call.
    checked(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) })?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: this ioctl takes plain flags.
    let slave = checked(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // SAFETY: the kernel has just given us this descriptor, so nobody else owns it.
    Ok(unsafe { File::from_raw_fd(slave) })
}

/// Says how large a terminal is; its program gets SIGWINCH if that is new.
///
/// # Errors
/// The kernel's; `ENOTTY` when it is none.
pub fn resize(terminal: impl AsFd, size: WindowSize) -> Result<(), IsolationError> {
    let size = libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: this ioctl reads a winsize, which outlives the call.
    let result = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    checked(result).map(drop).context("resize", "a terminal")
}

/// Makes an open terminal the one that controls this session, which must have none. Signals and job control need it.
///
/// # Errors
/// The kernel's.
pub fn control(slave: impl AsFd) -> Result<(), IsolationError> {
    // SAFETY: this ioctl takes a plain number.
    let result = unsafe { libc::ioctl(slave.as_fd().as_raw_fd(), libc::TIOCSCTTY, 0) };
    checked(result).map(drop).context("take control of", "a terminal")
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
