//! Capabilities: which pieces of root's power a container keeps.

use std::io;

use crate::{Context, IsolationError};

/// The capability to signal any process; our init keeps it, to reach a command of another user.
pub const KILL: u32 = 5;

/// What a command of user root keeps: enough to install packages and change to another user, nothing that reaches the
/// machine. Docker's default without NET_RAW (spoofing on a shared network), MKNOD (device nodes) and AUDIT_WRITE.
pub const ROOT_DEFAULT: [u32; 11] = [
    0,  // CHOWN
    1,  // DAC_OVERRIDE
    3,  // FOWNER
    4,  // FSETID
    5,  // KILL
    6,  // SETGID
    7,  // SETUID
    8,  // SETPCAP
    10, // NET_BIND_SERVICE
    18, // SYS_CHROOT
    31, // SETFCAP
];

/// The names of all capabilities, by number. Source: `linux/capability.h` (Linux 5.9).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The number of a capability by its name in capitals, with or without `CAP_`.
pub fn by_name(name: &str) -> Option<u32> {
    let name = name.strip_prefix("CAP_").unwrap_or(name);
    NAMES.iter().position(|known| *known == name).and_then(|number| u32::try_from(number).ok())
}

/// The numbers of all capabilities.
pub const ALL: std::ops::Range<u32> = 0..NAMES.len() as u32;

/// The name of a capability by its number, without `CAP_`.
pub fn name_of(number: u32) -> &'static str {
    usize::try_from(number)
        .ok()
        .and_then(|number| NAMES.get(number))
        .copied()
        .unwrap_or("an unknown capability")
}

/// No kernel has more than this; dropping ends at the first number the kernel does not know.
const MAX: u32 = 63;
const VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Takes everything but `kept` out of the bounding set of this process, for ever.
///
/// # Errors
/// Names the capability; EPERM without SETPCAP.
pub fn bound(kept: &[u32]) -> Result<(), IsolationError> {
    for capability in (0..=MAX).filter(|capability| !kept.contains(capability)) {
        // SAFETY: prctl with plain numbers touches no memory of ours.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        match checked(result.into()) {
            // One that this kernel does not know; it has none above either.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            result => result.context("drop from the bounding set capability", capability)?,
        }
    }
    Ok(())
}

/// Makes `kept`, as far as held, the permitted and effective set of this process, and `ambient`, as far as it is among them,
/// what a program without any of its own keeps over `execve`.
///
/// # Errors
/// The kernel's.
pub fn keep(kept: &[u32], ambient: &[u32]) -> Result<(), IsolationError> {
    // SAFETY: prctl with plain numbers touches no memory of ours.
    let cleared = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    checked(cleared.into()).context("clear", "the ambient capabilities")?;
    let mut halves = held().context("read", "the capabilities")?;
    for (index, half) in halves.iter_mut().enumerate() {
        let of_half = |set: &[u32]| {
            set.iter().filter(|bit| **bit / 32 == index as u32).fold(0, |mask, bit| mask | 1 << (bit % 32))
        };
        half.permitted &= of_half(kept);
        let inheritable = half.permitted & of_half(ambient);
        *half = Half { effective: half.permitted, permitted: half.permitted, inheritable };
    }
    let header = Header { version: VERSION_3, pid: 0 };
    // SAFETY: version 3 reads one header and two halves, which both outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, halves.as_ptr()) };
    checked(result).context("set", "the capabilities")?;
    for capability in ambient {
        // SAFETY: prctl with plain numbers touches no memory of ours.
        let raised =
            unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, *capability, 0, 0) };
        checked(raised.into()).context("raise the ambient capability", capability)?;
    }
    Ok(())
}

fn held() -> io::Result<[Half; 2]> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut halves = [Half::default(); 2];
    // SAFETY: version 3 may write the header and writes two halves, which both outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr()) };
    checked(result).map(|()| halves)
}

fn checked(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_the_numbers() {
        assert_eq!(by_name("CHOWN"), Some(0));
        assert_eq!(by_name("CAP_NET_RAW"), Some(13));
        assert_eq!(by_name("SYS_ADMIN"), Some(21));
        assert_eq!(by_name("CAP_CHECKPOINT_RESTORE"), Some(40));
        assert_eq!(by_name("chown"), None);
        assert!(ROOT_DEFAULT.iter().all(|number| (*number as usize) < NAMES.len()));
    }
}
