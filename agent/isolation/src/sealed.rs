//! Programs that run from sealed memory: no path leads to them, and nobody can change them.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::{Context, IsolationError};

/// An empty file in memory, closed on exec.
///
/// # Errors
/// The kernel's.
pub fn memory_file(name: &str) -> io::Result<OwnedFd> {
    let name = CString::new(name)?;
    Ok(memfd_create(name.as_c_str(), MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?)
}

/// A program in memory, sealed against any change; run it as `/proc/self/fd/<number>`.
///
/// # Errors
/// The kernel's.
pub fn program(name: &str, image: &[u8]) -> Result<OwnedFd, IsolationError> {
    let mut file = File::from(memory_file(name).context("create the memory file", name)?);
    file.write_all(image).context("fill the memory file", name)?;
    let seals =
        SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).context("seal the memory file", file.as_raw_fd())?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_program_cannot_be_written() {
        let mut file = File::from(program("test", b"#!/bin/sh\n").unwrap());
        assert!(file.write_all(b"more").is_err());
        assert!(file.set_len(0).is_err());
    }
}
