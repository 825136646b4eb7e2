//! The default of every container: what Docker's profile allows, by name. Whatever is known and not listed answers EPERM.
//!
//! Source: `moby/profiles`, `seccomp/default.json` (2026).

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use crate::capabilities::{self, ROOT_DEFAULT};

use super::compile::{self, Condition, Rule, Test, Verdict};
use super::{ALLOW, ENOSYS, EPERM, Filter, LAST_KNOWN, names};

/// Names that an architecture lacks are passed over.
const ALLOWED: &str = "
    read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek sendfile splice tee vmsplice
    copy_file_range readahead fadvise64 cachestat
    open openat openat2 creat close close_range dup dup2 dup3 fcntl flock ioctl pipe pipe2 fallocate
    truncate ftruncate fsync fdatasync sync syncfs sync_file_range
    stat lstat fstat newfstatat statx statfs fstatfs statmount listmount access faccessat faccessat2
    getdents getdents64 getcwd chdir fchdir link linkat symlink symlinkat readlink readlinkat unlink unlinkat
    rename renameat renameat2 mkdir mkdirat rmdir mknod mknodat name_to_handle_at umask
    chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes utimensat futimesat
    setxattr lsetxattr fsetxattr setxattrat getxattr lgetxattr fgetxattr getxattrat
    listxattr llistxattr flistxattr listxattrat removexattr lremovexattr fremovexattr removexattrat
    inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark
    poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old
    epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4
    io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents
    socketpair bind listen accept accept4 connect shutdown getsockname getpeername getsockopt setsockopt
    sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg
    mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr
    msgget msgctl msgsnd msgrcv semget semctl semop semtimedop shmget shmctl shmat shmdt
    brk mmap munmap mremap mprotect madvise msync mincore mlock mlock2 mlockall munlock munlockall mseal
    remap_file_pages memfd_create memfd_secret pkey_alloc pkey_free pkey_mprotect map_shadow_stack membarrier
    fork vfork execve execveat exit exit_group wait4 waitid restart_syscall rseq uretprobe
    arch_prctl modify_ldt get_thread_area set_thread_area prctl seccomp
    landlock_create_ruleset landlock_add_rule landlock_restrict_self
    set_tid_address set_robust_list get_robust_list futex futex_waitv futex_wait futex_wake futex_requeue
    getpid getppid gettid getpgid getpgrp getsid setpgid setsid pidfd_open pidfd_send_signal process_mrelease
    ptrace process_vm_readv process_vm_writev
    kill tkill tgkill pause sigaltstack rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
    rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo
    getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid setregid setresuid
    setresgid setfsuid setfsgid setgroups capget capset
    getrlimit setrlimit prlimit64 getrusage getpriority setpriority ioprio_get ioprio_set
    sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam
    sched_getscheduler sched_setscheduler sched_get_priority_min sched_get_priority_max sched_rr_get_interval
    time times gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep adjtimex clock_adjtime alarm
    getitimer setitimer timer_create timer_delete timer_settime timer_gettime timer_getoverrun
    timerfd_create timerfd_settime timerfd_gettime
    getcpu getrandom sysinfo uname";

/// What a container may besides whose bounding set has the capability. The kernel asks for it as well.
const BY_CAPABILITY: &[(&str, &str)] = &[
    ("BPF", "bpf"),
    ("DAC_READ_SEARCH", "open_by_handle_at"),
    ("PERFMON", "perf_event_open"),
    (
        "SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr \
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl \
         quotactl_fd setdomainname sethostname setns syslog umount2 unshare",
    ),
    ("SYS_BOOT", "reboot"),
    ("SYS_CHROOT", "chroot"),
    ("SYS_MODULE", "delete_module finit_module init_module"),
    ("SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("SYS_PACCT", "acct"),
    ("SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
    ("SYS_RAWIO", "ioperm iopl"),
    ("SYS_TIME", "clock_settime settimeofday"),
    ("SYS_TTY_CONFIG", "vhangup"),
    ("SYSLOG", "syslog"),
];

/// Linux, also without random addresses, and a name of an older kernel; the last one asks which it is.
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Families of sockets. Not here: those that reach the machine's host (vsock) or the kernel's ciphers (alg), and dead ones.
const FAMILIES: [RangeInclusive<u64>; 8] =
    [0..=11, 13..=18, 21..=22, 24..=24, 26..=33, 35..=36, 39..=39, 41..=45];

/// `clone` may not make namespaces. `clone3`, whose flags a filter cannot see, does not exist, so that libc uses `clone`.
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

impl Filter {
    /// The default of every container that has no capability beyond [`ROOT_DEFAULT`]. Compiled when it is first asked for.
    pub fn standard() -> &'static Self {
        static STANDARD: LazyLock<Filter> = LazyLock::new(|| compiled(&ROOT_DEFAULT));
        &STANDARD
    }

    /// The default of a container whose bounding set is this: a capability brings the system calls it is for.
    pub fn standard_for(bounding: &[u32]) -> Cow<'static, Self> {
        let brings =
            |number: &u32| BY_CAPABILITY.iter().any(|(name, _)| capabilities::by_name(name) == Some(*number));
        let differs = |one: &[u32], other: &[u32]| one.iter().any(|it| brings(it) && !other.contains(it));
        if differs(bounding, &ROOT_DEFAULT) || differs(&ROOT_DEFAULT, bounding) {
            Cow::Owned(compiled(bounding))
        } else {
            Cow::Borrowed(Self::standard())
        }
    }
}

fn compiled(bounding: &[u32]) -> Filter {
    let mut verdicts = vec![Verdict::Return(ENOSYS); LAST_KNOWN as usize + 1];
    let mut set = |number: u32, verdict: Verdict| {
        if let Some(place) = verdicts.get_mut(number as usize) {
            *place = verdict;
        }
    };
    names::numbers().for_each(|number| set(number, Verdict::Return(EPERM)));
    let held = |name: &str| capabilities::by_name(name).is_some_and(|number| bounding.contains(&number));
    let brought = BY_CAPABILITY.iter().filter(|(name, _)| held(name)).map(|(_, calls)| *calls);
    let rules = [
        ("clone3", Verdict::Return(ENOSYS)),
        ("clone", Verdict::Depends(vec![allow_if(u64::from(NAMESPACES), 0)], EPERM)),
        ("personality", among(PERSONALITIES.into_iter())),
        ("socket", among(FAMILIES.into_iter().flatten())),
    ];
    let allowed = |calls: &'static str| calls.split_whitespace().map(|name| (name, Verdict::Return(ALLOW)));
    let entries = allowed(ALLOWED).chain(rules).chain(brought.flat_map(allowed));
    entries.for_each(|(name, verdict)| {
        names::number(name).into_iter().for_each(|number| set(number, verdict.clone()))
    });
    compile::compile(|number| verdicts[number as usize].clone())
}

/// The kernel looks at the lower half of these first arguments; so must we.
fn among(values: impl Iterator<Item = u64>) -> Verdict {
    Verdict::Depends(values.map(|value| allow_if(0xffff_ffff, value)).collect(), EPERM)
}

fn allow_if(mask: u64, value: u64) -> Rule {
    Rule { conditions: vec![Condition { argument: 0, test: Test::Masked(mask), value }], value: ALLOW }
}

#[cfg(test)]
mod tests {
    use super::super::{ARCHITECTURE, answer};
    use super::*;

    /// What Docker's default refuses of all that a kernel has (x86-64; other architectures lack some), to a container with its
    /// default capabilities. Together with the allowed ones these are all that are known, so nothing is in neither list.
    const REFUSED: &str = "
        _sysctl acct add_key afs_syscall bpf clock_settime create_module delete_module fanotify_init finit_module
        fsconfig fsmount fsopen fspick get_kernel_syms get_mempolicy getpmsg init_module io_uring_enter
        io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie
        lsm_get_self_attr lsm_list_modules lsm_set_self_attr mbind migrate_pages mount mount_setattr move_mount
        move_pages nfsservctl open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root process_madvise
        putpmsg query_module quotactl quotactl_fd reboot request_key security set_mempolicy
        set_mempolicy_home_node setdomainname sethostname setns settimeofday swapoff swapon sysfs syslog tuxcall
        umount2 unshare uselib userfaultfd ustat vhangup vserver";

    fn call(filter: &Filter, name: &str, argument: u64) -> u32 {
        answer(filter, ARCHITECTURE, names::number(name).unwrap(), [argument, 0, 0, 0, 0, 0])
    }

    #[test]
    fn every_number_is_allowed_refused_or_unknown_as_with_docker() {
        let refused: Vec<u32> = REFUSED.split_whitespace().filter_map(names::number).collect();
        let known: Vec<u32> = names::numbers().collect();
        for number in 0..1000_u32 {
            let expected = if !known.contains(&number) || Some(number) == names::number("clone3") {
                ENOSYS
            } else if refused.contains(&number) {
                EPERM
            } else {
                ALLOW
            };
            let said = answer(Filter::standard(), ARCHITECTURE, number, [0; 6]);
            assert_eq!(said, expected, "{number}");
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn no_name_is_misspelt() {
        let brought = BY_CAPABILITY.iter().flat_map(|(_, calls)| calls.split_whitespace());
        for name in ALLOWED.split_whitespace().chain(brought).chain(REFUSED.split_whitespace()) {
            assert!(names::number(name).is_some(), "{name}");
        }
        assert!(BY_CAPABILITY.iter().all(|(name, _)| capabilities::by_name(name).is_some()));
    }

    #[test]
    fn clone_makes_threads_and_no_namespaces() {
        let clone = |flags: i32| call(Filter::standard(), "clone", flags as u64);
        assert_eq!(clone(libc::CLONE_VM | libc::CLONE_THREAD), ALLOW);
        for namespace in
            [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000]
        {
            assert_eq!(clone(namespace | libc::SIGCHLD), EPERM, "{namespace:#x}");
        }
    }

    #[test]
    fn personalities_are_those_of_linux() {
        let filter = Filter::standard();
        for allowed in [0x0, 0x8, 0x20000, 0x20008, 0xffff_ffff, u64::MAX] {
            assert_eq!(call(filter, "personality", allowed), ALLOW, "{allowed:#x}");
        }
        // Addresses that are not random, readable means executable, one byte at zero.
        for refused in [0x40000, 0x0400_0000, 0x0010_0000, 0x4, 0x9, 0x7fff_ffff] {
            assert_eq!(call(filter, "personality", refused), EPERM, "{refused:#x}");
        }
    }

    #[test]
    fn sockets_are_of_networks_and_not_of_the_machines_host() {
        let filter = Filter::standard();
        let networks =
            [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_PACKET, libc::AF_XDP];
        for family in networks {
            assert_eq!(call(filter, "socket", family as u64), ALLOW, "{family}");
        }
        for family in [libc::AF_VSOCK, libc::AF_ALG, libc::AF_DECnet, libc::AF_ECONET, 46, -1] {
            assert_eq!(call(filter, "socket", family as u32 as u64), EPERM, "{family}");
            // The kernel drops the upper half.
            assert_eq!(call(filter, "socket", 1 << 40 | family as u32 as u64), EPERM, "{family}");
        }
    }

    #[test]
    fn a_capability_brings_the_system_calls_it_is_for() {
        let number = |name| capabilities::by_name(name).unwrap();
        assert!(matches!(Filter::standard_for(&[number("CHOWN"), number("SYS_CHROOT")]), Cow::Borrowed(_)));
        let time = Filter::standard_for(&[number("SYS_TIME")]);
        for (name, expected) in [
            ("clock_settime", ALLOW),
            ("chroot", EPERM),
            ("mount", EPERM),
            ("clone3", ENOSYS),
            ("read", ALLOW),
        ] {
            assert_eq!(call(&time, name, 0), expected, "{name}");
        }
        let all: Vec<u32> = capabilities::ALL.collect();
        let all = Filter::standard_for(&all);
        for (name, expected) in [
            ("mount", ALLOW),
            ("clone3", ALLOW),
            ("io_uring_setup", EPERM),
            ("keyctl", EPERM),
            ("unshare", ALLOW),
        ] {
            assert_eq!(call(&all, name, 0), expected, "{name}");
        }
        assert_eq!(call(&all, "clone", libc::CLONE_NEWUSER as u64), ALLOW);
        assert_eq!(call(&all, "socket", libc::AF_VSOCK as u64), EPERM);
    }

    #[test]
    fn other_architectures_and_x32_have_no_system_calls() {
        assert_eq!(answer(Filter::standard(), 0x4000_0003, 1, [0; 6]), ENOSYS);
        assert_eq!(answer(Filter::standard(), ARCHITECTURE, 0x4000_0001, [0; 6]), ENOSYS);
    }

    #[test]
    fn it_stays_small() {
        assert!(Filter::standard().0.len() < 512, "{}", Filter::standard().0.len());
    }
}
