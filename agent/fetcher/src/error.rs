//! Why something could not be fetched.

use std::io;

use chapada_isolation::IsolationError;

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A file of the machine or of the sandbox.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The user could not be found or become.
    #[error("{error}: {source}", error = .0, source = .0.source)]
    User(IsolationError),
    /// The server could not be reached, or broke off.
    #[error("{0}")]
    Network(String),
    /// The server answered with another status than 200.
    #[error("the server answered with status {0}")]
    Status(u16),
    /// The server sent nothing for too long.
    #[error("the server sent nothing for {0} s")]
    Stalled(u64),
    /// It is more than is allowed.
    #[error("{0}")]
    TooMuch(String),
    /// The bytes are not those that were meant.
    #[error("its checksum is {found}, not {expected}")]
    Checksum {
        /// What they add up to.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// The archive is damaged, or would write where it must not.
    #[error("cannot unpack it: {0}")]
    Archive(String),
    /// The order makes no sense.
    #[error("{0}")]
    Order(String),
}

impl FetchError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
