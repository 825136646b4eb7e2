//! The system calls a container may make: those of a list in `standard`. What the kernel had when the list was made and it does
//! not name answers EPERM; everything newer answers ENOSYS, as an older kernel would, so that programs fall back.
//!
//! The filter is a binary search over ranges of numbers, some hundreds of instructions that the kernel compiles once;
//! one comparison per system call would take ten times as long to install and to pass.
//!
//! An operator may use a profile of the form that Docker and OCI have instead ([`Profile`]).

mod compile;
mod names;
mod profile;
mod standard;

use std::io;

use serde::{Deserialize, Serialize};

use crate::{Context, IsolationError};

pub use profile::Profile;

/// `removexattrat`, the last number looked at (Linux 6.13). Numbers are the same on all architectures from 424 on.
const LAST_KNOWN: u32 = 466;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Offsets in `struct seccomp_data`; the machines we build for are little-endian.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// One instruction, as the kernel lays it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
struct Instruction {
    operation: u16,
    yes: u8,
    no: u8,
    value: u32,
}

/// A compiled filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter(Vec<Instruction>);

impl Filter {
    /// Puts it on this process and its descendants, for good. Needs no-new-privileges.
    ///
    /// # Errors
    /// The kernel's.
    pub fn install(&self) -> Result<(), IsolationError> {
        let program = libc::sock_fprog {
            len: u16::try_from(self.0.len())
                .map_err(too_long)
                .context("install", "the system call filter")?,
            filter: self.0.as_ptr().cast_mut().cast(),
        };
        // SAFETY: the kernel copies the program, of which length and address are right, and does not write to it.
        let result =
            unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
        let result = if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        result.context("install", "the system call filter")
    }
}

fn too_long(_: std::num::TryFromIntError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it has more than 65535 instructions")
}

/// What the kernel would do, for the few instructions we use.
#[cfg(test)]
fn answer(filter: &Filter, architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let (mut at, mut loaded) = (0, 0_u32);
    loop {
        let step = filter.0[at];
        let code = u32::from(step.operation);
        at += 1;
        match code & 0x07 {
            libc::BPF_LD => {
                loaded = match step.value {
                    NUMBER => number,
                    ARCH => architecture,
                    offset => {
                        let argument = arguments[(offset - FIRST_ARGUMENT) as usize / 8];
                        (argument >> (8 * (offset % 8))) as u32
                    }
                }
            }
            libc::BPF_ALU => loaded &= step.value,
            libc::BPF_RET => return step.value,
            _ if code & 0xf0 == libc::BPF_JA => at += step.value as usize,
            _ => {
                let yes = match code & 0xf0 {
                    libc::BPF_JEQ => loaded == step.value,
                    libc::BPF_JGE => loaded >= step.value,
                    _ => loaded > step.value,
                };
                at += usize::from(if yes { step.yes } else { step.no });
            }
        }
    }
}
