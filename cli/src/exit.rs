//! Exit codes and the one place where errors are printed.

use std::process::ExitCode;

use crate::client::ApiError;

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const NOT_FOUND: u8 = 3;
const UNREACHABLE: u8 = 4;

/// Prints the whole chain of an error on stderr and picks the code.
pub(crate) fn of(outcome: anyhow::Result<()>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    if closed_pipe(&error) {
        return ExitCode::SUCCESS;
    }
    eprintln!("chapada: {error:#}");
    ExitCode::from(match error.downcast_ref::<ApiError>() {
        Some(ApiError::NotFound(_)) => NOT_FOUND,
        Some(ApiError::Unreachable { .. }) => UNREACHABLE,
        Some(ApiError::Refused { .. } | ApiError::Garbled { .. }) | None => FAILED,
    })
}

/// An error in the command line or in a configuration file.
pub(crate) fn usage(error: &config_error::Error) -> ExitCode {
    eprintln!("chapada: {error}");
    ExitCode::from(USAGE)
}

/// `chapada tasks | head` is no failure.
fn closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

use crate::config as config_error;
