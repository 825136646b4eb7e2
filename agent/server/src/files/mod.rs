//! Files of sandboxes, and of nothing else: every path is opened beneath the directory of all sandboxes, through no
//! symbolic link, and only plain files are read.

mod browse;
mod log;
mod place;
mod read;

pub(crate) use browse::Entry;
pub(crate) use log::LogReader;
pub(crate) use place::{Files, Place};
pub(crate) use read::{CHUNK, Chunk, Reader};

use std::io;

use nix::errno::Errno;
use tokio::task::spawn_blocking;

/// Why a file is not shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// There is no such file in a sandbox.
    #[error("no such file in a sandbox: {0}")]
    NotFound(String),
    /// The path is none, or leads out.
    #[error("{0}")]
    Invalid(String),
    /// It is there and cannot be read as a file.
    #[error("{0} is not a plain file")]
    NotAFile(String),
    /// The kernel's refusal.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl FileError {
    fn of(path: &str, source: io::Error) -> Self {
        let path_of = path.to_owned();
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ENOTDIR) => Self::NotFound(path_of),
            Some(Errno::ELOOP) => Self::Invalid(format!("{path} is, or leads through, a symbolic link")),
            Some(Errno::EXDEV) => Self::Invalid(format!("{path} leads out of the sandbox")),
            _ => Self::Io { path: path_of, source },
        }
    }
}

/// Runs what blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    let panicked = |error| FileError::Io { path: "a file".to_owned(), source: std::io::Error::other(error) };
    spawn_blocking(work).await.map_err(panicked)?
}
