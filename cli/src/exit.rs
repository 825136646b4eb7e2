//! Exit codes and the one place where errors are printed.

use std::io::ErrorKind;
use std::process::ExitCode;

use crate::client::ApiError;

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const NOT_FOUND: u8 = 3;
const UNREACHABLE: u8 = 4;

/// Prints the whole chain of an error on stderr and picks the code.
pub(crate) fn of(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    let error = match outcome {
        Ok(code) => return code,
        Err(error) => error,
    };
    if closed_pipe(&error) {
        return ExitCode::SUCCESS;
    }
    eprintln!("chapada: {error:#}{}", remedy(&error));
    ExitCode::from(match error.downcast_ref::<ApiError>() {
        Some(ApiError::NotFound(_)) => NOT_FOUND,
        Some(ApiError::Unreachable { .. } | ApiError::Unavailable { .. }) => UNREACHABLE,
        Some(ApiError::Refused { .. } | ApiError::Garbled { .. } | ApiError::Tls(_)) | None => FAILED,
    })
}

/// An error in the command line or in a configuration file.
pub(crate) fn usage(error: &crate::config::Error) -> ExitCode {
    eprintln!("chapada: {error}");
    ExitCode::from(USAGE)
}

/// `chapada tasks | head` is no failure.
fn closed_pipe(error: &anyhow::Error) -> bool {
    has_kind(error, ErrorKind::BrokenPipe)
}

/// What to do about a cause that says only what is wrong, because it came from the kernel.
fn remedy(error: &anyhow::Error) -> &'static str {
    if has_kind(error, ErrorKind::StorageFull) || format!("{error:#}").contains(NO_SPACE) {
        "; free some space there, or choose another folder with --work-dir"
    } else {
        ""
    }
}

/// The kernel's words, for libraries that hide the error number.
const NO_SPACE: &str = "No space left on device";

fn has_kind(error: &anyhow::Error, kind: ErrorKind) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == kind))
}
