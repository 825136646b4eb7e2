//! The files of a container's runtime directory.
//!
//! | file | written by | says |
//! |---|---|---|
//! | `shim.log` | shim | its complaints; locked (`flock`) for as long as the shim lives |
//! | `shim.sock` | shim | where it listens |
//! | `container.json` | shim | [`crate::ContainerState`] |
//! | `exit` | shim | [`crate::ExitReport`], durable |

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::protocol::PROTOCOL_VERSION;

/// The shim's log, and the lock that tells whether it lives.
pub const LOG: &str = "shim.log";
/// The shim's socket.
pub const SOCKET: &str = "shim.sock";
/// The [`crate::ContainerState`].
pub const STATE: &str = "container.json";
/// The [`crate::ExitReport`].
pub const EXIT: &str = "exit";
/// More than an exit report takes, and what a file system counts in.
const RESERVED: i64 = 4096;

/// Creates the directory for its owner alone; one that exists is kept.
///
/// # Errors
/// The kernel's.
pub fn ensure(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Opens the log for appending, for its owner alone.
///
/// # Errors
/// The kernel's.
pub fn open_log(directory: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(directory.join(LOG))
}

/// Takes the lock on an open log. `false`: somebody holds it, so a shim lives.
///
/// # Errors
/// The kernel's.
pub fn try_lock(log: &File) -> io::Result<bool> {
    match log.try_lock() {
        Ok(()) => Ok(true),
        Err(fs::TryLockError::WouldBlock) => Ok(false),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Whether a shim lives in this directory. `false` also when there is no such directory.
///
/// # Errors
/// The kernel's.
pub fn shim_lives(directory: &Path) -> io::Result<bool> {
    match File::open(directory.join(LOG)) {
        Ok(log) => Ok(!try_lock(&log)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A short path to a file of an open directory: a socket address holds 107 bytes, a path many more.
pub fn through(directory: &File, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}

/// Reads a record. `None` when the file is not there.
///
/// # Errors
/// The kernel's, or `InvalidData` when it is not the record it should be, or one of a newer format.
pub fn read_record<T: DeserializeOwned>(directory: &Path, name: &str) -> io::Result<Option<T>> {
    let bytes = match fs::read(directory.join(name)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let Versioned { version } = serde_json::from_slice(&bytes)?;
    if version > PROTOCOL_VERSION {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "{name} is of format {version} and this program reads up to {PROTOCOL_VERSION}: run the newer agent again"
            ),
        ));
    }
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/// What every record begins with, whatever else a later format may hold.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// How a record is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Survives the end of any process. Free.
    Process,
    /// Survives the machine, once this returns. Takes milliseconds.
    Machine,
}

/// Writes a record whole or not at all, for its owner alone.
///
/// # Errors
/// The kernel's; an older record is then unchanged.
pub fn write_record<T: Serialize>(
    directory: &Path,
    name: &str,
    record: &T,
    durability: Durability,
) -> io::Result<()> {
    let temporary = directory.join(format!("{name}.new"));
    // Room that was reserved is kept.
    let mut file =
        OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(&temporary)?;
    let bytes = serde_json::to_vec(record)?;
    file.write_all(&bytes)?;
    file.set_len(bytes.len() as u64)?;
    if durability == Durability::Machine {
        file.sync_data()?;
    }
    fs::rename(&temporary, directory.join(name))?;
    if durability == Durability::Machine {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Keeps room on the disk for a record that is to be written later, so that whoever fills the disk does not keep the agent from
/// hearing it.
///
/// # Errors
/// The kernel's; the record can be written then while there is room.
pub fn reserve_record(directory: &Path, name: &str) -> io::Result<()> {
    let temporary = directory.join(format!("{name}.new"));
    let file = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(&temporary)?;
    let beyond = nix::fcntl::FallocateFlags::FALLOC_FL_KEEP_SIZE;
    Ok(nix::fcntl::fallocate(&file, beyond, 0, RESERVED)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_a_newer_format_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let newer = serde_json::json!({ "version": PROTOCOL_VERSION + 1, "unheard of": [] });
        write_record(folder.path(), EXIT, &newer, Durability::Process).unwrap();
        let error = read_record::<crate::ExitReport>(folder.path(), EXIT).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("exit is of format 2"), "{error}");
    }
}
