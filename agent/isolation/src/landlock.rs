//! Landlock: a process gives up files that its user could still reach, for good, whatever is wrong with it later. Needs no
//! privilege but `no_new_privs`. Source: `linux/landlock.h`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::{Context, IsolationError};

/// The first version with which files can be linked between directories at all.
const OLDEST: libc::c_long = 2;

const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REMOVE_DIR: u64 = 1 << 4;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_DIR: u64 = 1 << 7;
const MAKE_REG: u64 = 1 << 8;
const MAKE_SYM: u64 = 1 << 12;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;

const READ: u64 = READ_FILE | READ_DIR;
/// Plain files, directories and links; neither running them, nor devices, sockets and pipes.
const WRITE: u64 =
    READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SYM | REFER | TRUNCATE;

const BIND_TCP: u64 = 1;
/// Sockets with abstract names, which belong to a network and not to any file; and signals.
const SCOPES: u64 = 0b11;

const CREATE_VERSION: libc::c_long = 1;
const PATH_BENEATH: libc::c_long = 1;

#[repr(C)]
struct Ruleset {
    files: u64,
    network: u64,
    scoped: u64,
}

#[repr(C, packed)]
struct Beneath {
    access: u64,
    directory: i32,
}

/// From here on this thread, and whatever it starts, reads files beneath `readable` alone, changes them beneath `writable`
/// alone, runs no program, and as far as the kernel knows how, listens nowhere, and neither reaches sockets with abstract names nor
/// signals any process of others. What is open already stays so. `false`: the kernel has no Landlock, or an old one, and
/// nothing has changed.
///
/// # Errors
/// Names the step; EPERM without `no_new_privs`.
pub fn confine(readable: &[BorrowedFd<'_>], writable: &[BorrowedFd<'_>]) -> Result<bool, IsolationError> {
    let Some(version) = version() else { return Ok(false) };
    let (rules, size) = all(version);
    // SAFETY: the kernel reads as many bytes of the ruleset as are said, which outlives the call.
    let made = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const rules, size, 0) };
    let made = checked(made).context("make", "a ruleset of Landlock")?;
    let number = i32::try_from(made).unwrap_or(-1);
    // SAFETY: the kernel has just opened this descriptor for us alone.
    let ruleset = unsafe { OwnedFd::from_raw_fd(number) };
    let known = rules.files;
    let each = readable.iter().map(|directory| (directory, READ));
    for (directory, access) in each.chain(writable.iter().map(|directory| (directory, WRITE & known))) {
        let rule = Beneath { access, directory: directory.as_raw_fd() };
        // SAFETY: a rule of this type is what its number says, and outlives the call.
        let added = unsafe {
            libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), PATH_BENEATH, &raw const rule, 0)
        };
        checked(added).context("add", "a rule of Landlock")?;
    }
    // SAFETY: plain numbers.
    let restricted = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
    checked(restricted).context("take on", "the rules of Landlock")?;
    Ok(true)
}

/// The version of the kernel's Landlock, if it has one that will do.
fn version() -> Option<libc::c_long> {
    let none: *const Ruleset = std::ptr::null();
    // SAFETY: without a ruleset, its size and with this flag the kernel answers with a number and reads nothing.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0usize, CREATE_VERSION) };
    (version >= OLDEST).then_some(version)
}

/// Everything that this version can deny, and the bytes of it that this version knows.
fn all(version: libc::c_long) -> (Ruleset, usize) {
    let rights = match version {
        2 => 14,
        3 | 4 => 15,
        _ => 16,
    };
    let size = match version {
        ..=3 => 8,
        4 | 5 => 16,
        _ => 24,
    };
    (Ruleset { files: (1 << rights) - 1, network: BIND_TCP, scoped: SCOPES }, size)
}

fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::net::TcpListener;
    use std::os::fd::AsFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
    use std::process::Command;
    use std::thread;

    use super::*;

    #[test]
    fn what_was_not_named_cannot_be_reached_any_more() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["in", "out", "in/a", "in/b"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("out/file"), "x").unwrap();
        let name = SocketAddr::from_abstract_name(format!("chapada-{}", std::process::id())).unwrap();
        let _listener = UnixListener::bind_addr(&name).unwrap();
        let inside = File::open(at("in")).unwrap();
        let readable = File::open(at("out")).unwrap();
        // Only this thread is confined.
        let confined = thread::scope(|scope| {
            let confine = || {
                crate::privileges::no_new_privileges().unwrap();
                if !confine(&[readable.as_fd()], &[inside.as_fd()]).unwrap() {
                    return false;
                }
                fs::write(at("in/a/file"), "y").unwrap();
                fs::hard_link(at("in/a/file"), at("in/b/file")).unwrap();
                std::os::unix::fs::symlink("a/file", at("in/link")).unwrap();
                fs::remove_file(at("in/a/file")).unwrap();
                assert_eq!(fs::read_to_string(at("out/file")).unwrap(), "x");
                assert!(fs::write(at("out/file"), "y").is_err());
                assert!(fs::remove_file(at("out/file")).is_err());
                assert!(fs::write(at("new"), "y").is_err());
                assert!(fs::read("/etc/hostname").is_err() && fs::read_dir("/").is_err());
                assert!(Command::new("/bin/true").status().is_err());
                if version().is_some_and(|version| version >= 6) {
                    assert!(TcpListener::bind("127.0.0.1:0").is_err());
                    assert!(UnixStream::connect_addr(&name).is_err());
                }
                true
            };
            scope.spawn(confine).join().unwrap()
        });
        assert_eq!(confined, version().is_some());
        fs::write(at("new"), "others are as they were").unwrap();
    }
}
