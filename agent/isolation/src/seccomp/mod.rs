//! The system calls a container may make: those the kernel had when this list was made, without the ones that reach the
//! machine. Everything newer answers ENOSYS, as an older kernel would, so that programs fall back.
//!
//! The filter is a binary search over ranges of numbers, some two hundred instructions that the kernel compiles once;
//! one comparison per system call would take ten times as long to install and to pass.

//!
//! An operator may use a profile of the form that Docker and OCI have instead ([`Profile`]).

mod compile;
mod names;
mod profile;

use std::io;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::{Context, IsolationError};

use compile::{Condition, Rule, Test, Verdict};

pub use profile::Profile;

/// `mseal`, the last number looked at (Linux 6.10). Numbers are the same on all architectures from 424 on.
const LAST_KNOWN: u32 = 462;

/// Answered with EPERM: mounts, namespaces, modules, clocks, keys, tracing of the kernel, and io_uring, which goes round
/// every filter. Docker's default denies these, too, to a container without capabilities.
const DENIED: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_move_pages,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
];

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// `clone` may not make namespaces. `clone3`, whose flags a filter cannot see, does not exist, so that libc uses `clone`.
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

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
    /// The default of every container. Compiled when it is first asked for.
    pub fn standard() -> &'static Self {
        static STANDARD: LazyLock<Filter> = LazyLock::new(|| {
            compile::compile(|number| match libc::c_long::from(number) {
                libc::SYS_clone3 => Verdict::Return(ENOSYS),
                libc::SYS_clone => Verdict::Depends(vec![without_namespaces()], EPERM),
                listed if DENIED.contains(&listed) => Verdict::Return(EPERM),
                _ => Verdict::Return(ALLOW),
            })
        });
        &STANDARD
    }

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

fn without_namespaces() -> Rule {
    let test = Test::Masked(u64::from(NAMESPACES));
    Rule { conditions: vec![Condition { argument: 0, test, value: 0 }], value: ALLOW }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn run(filter: &Filter, architecture: u32, number: u32, argument: u32) -> u32 {
        answer(filter, architecture, number, [argument.into(), 0, 0, 0, 0, 0])
    }

    #[test]
    fn every_number_gets_the_verdict_of_the_list() {
        let filter = Filter::standard();
        for number in 0..1000_u32 {
            let listed = libc::c_long::from(number);
            let expected = if number > LAST_KNOWN || listed == libc::SYS_clone3 {
                ENOSYS
            } else if DENIED.contains(&listed) {
                EPERM
            } else {
                ALLOW
            };
            assert_eq!(run(filter, ARCHITECTURE, number, 0), expected, "{number}");
        }
    }

    #[test]
    fn clone_makes_threads_and_no_namespaces() {
        let filter = Filter::standard();
        let clone = |flags: i32| run(filter, ARCHITECTURE, libc::SYS_clone as u32, flags as u32);
        assert_eq!(clone(libc::CLONE_VM | libc::CLONE_THREAD), ALLOW);
        assert_eq!(clone(libc::CLONE_NEWUSER | libc::SIGCHLD), EPERM);
    }

    #[test]
    fn other_architectures_and_x32_have_no_system_calls() {
        let filter = Filter::standard();
        assert_eq!(run(filter, 0x4000_0003, 1, 0), ENOSYS);
        assert_eq!(run(filter, ARCHITECTURE, 0x4000_0001, 0), ENOSYS);
    }

    #[test]
    fn it_stays_small() {
        assert!(Filter::standard().0.len() < 256, "{}", Filter::standard().0.len());
    }
}
