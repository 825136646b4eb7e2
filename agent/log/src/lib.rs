//! The agent's write-ahead log: records in, durability out. One thread owns the file and writes what has gathered as
//! one frame with one sync (group commit). Start at [`LogFile::open`] and [`LogHandle::start`].
#![forbid(unsafe_code)]

mod checks;
mod executor;
mod file;
mod frame;
mod operation;
mod record;
mod watch;
mod writer;

#[cfg(test)]
mod tests;

pub use file::{LogFile, Sync, contents, written};
pub use watch::watch_of;
pub use writer::{LogHandle, Progress};

use std::io;
use std::path::PathBuf;

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The kernel refused something.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Not our file.
    #[error("{0} is not the log of an agent: give this agent a --work-dir of its own")]
    NotALog(PathBuf),
    /// Written by a newer version.
    #[error("{path} has format {version}, and this agent knows {known}: run the newer version that wrote it")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        version: u32,
        /// Ours.
        known: u32,
    },
    /// Damaged before its end: what follows cannot be trusted to be all.
    #[error(
        "{path} is damaged at byte {offset}, and sound records follow: restore it from a copy, or move it away, which \
         makes this a new agent whose tasks are ended"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        offset: u64,
    },
    /// A frame whose sum is right has content that is not ours.
    #[error(
        "{path} has a record at byte {offset} that this version cannot read: run the newer version that wrote it"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Where its frame begins.
        offset: u64,
    },
}

impl LogError {
    fn io(operation: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }
}
