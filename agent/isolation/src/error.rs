//! The one error of this crate: which operation failed, on what, and the kernel's answer.

use std::fmt::Display;
use std::io;

/// A kernel feature refused. The message names the operation and its subject (a path, a user, a number).
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {subject}")]
pub struct IsolationError {
    /// What was tried, as words that follow "cannot": `write to`, `mount`, `find user`.
    pub operation: &'static str,
    /// What it was tried on.
    pub subject: String,
    /// The kernel's answer.
    #[source]
    pub source: io::Error,
}

impl IsolationError {
    /// An error whose cause is a value we refused ourselves, not the kernel.
    pub fn invalid(operation: &'static str, subject: impl Display, reason: &str) -> Self {
        let source = io::Error::new(io::ErrorKind::InvalidInput, reason.to_owned());
        Self { operation, subject: subject.to_string(), source }
    }

    /// The kernel's error number, `None` when we refused ourselves.
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }
}

/// Turns a failed system call into an [`IsolationError`].
pub trait Context<T> {
    /// Says which operation failed and on what. `subject` is only formatted on failure.
    ///
    /// # Errors
    /// The error of `self`, with its context.
    fn context<S: Display>(self, operation: &'static str, subject: S) -> Result<T, IsolationError>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context<S: Display>(self, operation: &'static str, subject: S) -> Result<T, IsolationError> {
        self.map_err(|error| IsolationError { operation, subject: subject.to_string(), source: error.into() })
    }
}
