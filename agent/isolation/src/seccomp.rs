//! The system calls a container may make: those the kernel had when this list was made, without the ones that reach the
//! machine. Everything newer answers ENOSYS, as an older kernel would, so that programs fall back.
//!
//! The filter is a binary search over ranges of numbers, some two hundred instructions that the kernel compiles once;
//! one comparison per system call would take ten times as long to install and to pass.

use std::io;

use crate::{Context, IsolationError};

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Return(u32),
    UnlessNamespaces,
}

/// A compiled filter.
#[derive(Debug)]
pub struct Filter(Vec<libc::sock_filter>);

impl Filter {
    /// The default of every container.
    pub fn standard() -> Self {
        let mut program = vec![
            load(ARCH),
            jump(libc::BPF_JEQ, ARCHITECTURE, 1, 0),
            give(ENOSYS), // 32-bit programs
            load(NUMBER),
        ];
        search(&ranges(), &mut program);
        Self(program)
    }

    /// Puts it on this process and its descendants, for good. Needs no-new-privileges.
    ///
    /// # Errors
    /// The kernel's.
    pub fn install(&self) -> Result<(), IsolationError> {
        let program = libc::sock_fprog {
            len: u16::try_from(self.0.len()).expect("the list above makes a few hundred instructions"),
            filter: self.0.as_ptr().cast_mut(),
        };
        // SAFETY: the kernel copies the program, of which length and address are right, and does not write to it.
        let result =
            unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
        let result = if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        result.context("install", "the system call filter")
    }
}

/// Where each verdict begins, in order, from number 0 to the end.
fn ranges() -> Vec<(u32, Verdict)> {
    let verdict = |number: u32| match libc::c_long::from(number) {
        libc::SYS_clone3 => Verdict::Return(ENOSYS),
        libc::SYS_clone => Verdict::UnlessNamespaces,
        _ if number > LAST_KNOWN => Verdict::Return(ENOSYS),
        listed if DENIED.contains(&listed) => Verdict::Return(EPERM),
        _ => Verdict::Return(ALLOW),
    };
    let mut ranges: Vec<(u32, Verdict)> =
        (0..=LAST_KNOWN + 1).map(|number| (number, verdict(number))).collect();
    ranges.dedup_by_key(|range| range.1);
    ranges
}

/// Decides between the ranges by halves. Jumps are relative and go forward over at most 255 instructions.
fn search(ranges: &[(u32, Verdict)], program: &mut Vec<libc::sock_filter>) {
    match ranges {
        [] => {}
        [(_, Verdict::Return(value))] => program.push(give(*value)),
        [(_, Verdict::UnlessNamespaces)] => {
            program.extend([
                load(FIRST_ARGUMENT),
                jump(libc::BPF_JSET, NAMESPACES, 0, 1),
                give(EPERM),
                give(ALLOW),
            ]);
        }
        _ => {
            let (lower, upper) = ranges.split_at(ranges.len() / 2);
            let mut below = Vec::new();
            search(lower, &mut below);
            let over = u8::try_from(below.len()).expect("the list above is too short for longer jumps");
            program.push(jump(libc::BPF_JGE, upper[0].0, over, 0));
            program.append(&mut below);
            search(upper, program);
        }
    }
}

fn load(offset: u32) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

fn jump(test: u32, value: u32, yes: u8, no: u8) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_JMP | test | libc::BPF_K) as u16, jt: yes, jf: no, k: value }
}

fn give(value: u32) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: value }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do, for the few instructions we use.
    fn run(filter: &Filter, architecture: u32, number: u32, argument: u32) -> u32 {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let step = filter.0[at];
            let code = u32::from(step.code);
            at += 1;
            match code & 0x07 {
                libc::BPF_LD => {
                    loaded = match step.k {
                        NUMBER => number,
                        ARCH => architecture,
                        _ => argument,
                    }
                }
                libc::BPF_RET => return step.k,
                _ => {
                    let yes = match code & 0xf0 {
                        libc::BPF_JEQ => loaded == step.k,
                        libc::BPF_JGE => loaded >= step.k,
                        _ => loaded & step.k != 0,
                    };
                    at += usize::from(if yes { step.jt } else { step.jf });
                }
            }
        }
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
            assert_eq!(run(&filter, ARCHITECTURE, number, 0), expected, "{number}");
        }
    }

    #[test]
    fn clone_makes_threads_and_no_namespaces() {
        let filter = Filter::standard();
        let clone = |flags: i32| run(&filter, ARCHITECTURE, libc::SYS_clone as u32, flags as u32);
        assert_eq!(clone(libc::CLONE_VM | libc::CLONE_THREAD), ALLOW);
        assert_eq!(clone(libc::CLONE_NEWUSER | libc::SIGCHLD), EPERM);
    }

    #[test]
    fn other_architectures_and_x32_have_no_system_calls() {
        let filter = Filter::standard();
        assert_eq!(run(&filter, 0x4000_0003, 1, 0), ENOSYS);
        assert_eq!(run(&filter, ARCHITECTURE, 0x4000_0001, 0), ENOSYS);
    }

    #[test]
    fn it_stays_small() {
        assert!(Filter::standard().0.len() < 256, "{}", Filter::standard().0.len());
    }
}
