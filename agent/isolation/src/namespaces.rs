//! Namespaces that exist already: those of a network made by others, and those of a running container.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::PathBuf;

use nix::sched::{CloneFlags, setns};
use nix::sys::statfs::{FsType, fstatfs};
use serde::{Deserialize, Serialize};

use crate::{Context, IsolationError, process};

/// The file system that open namespaces are of. Source: `linux/magic.h`.
pub(crate) const NSFS: FsType = FsType(0x6e73_6673);

/// What is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamespaceKind {
    /// Interfaces, addresses, ports.
    Network,
    /// Shared memory, semaphores and message queues.
    Ipc,
    /// The host name.
    Uts,
}

impl NamespaceKind {
    /// The `CLONE_NEW…` flag.
    pub fn flag(self) -> i32 {
        match self {
            Self::Network => libc::CLONE_NEWNET,
            Self::Ipc => libc::CLONE_NEWIPC,
            Self::Uts => libc::CLONE_NEWUTS,
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Network => "net",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
        }
    }
}

/// A namespace to be shared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinedNamespace {
    /// What it is.
    pub kind: NamespaceKind,
    /// Where it is.
    pub of: NamespaceOf,
}

/// Where a namespace is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NamespaceOf {
    /// A file that it is mounted on, such as `/run/netns/blue`.
    Path(PathBuf),
    /// A process in it, which must still be the one that started then.
    Process {
        /// Its number.
        pid: i32,
        /// [`process::start_time`].
        start_time: u64,
    },
}

impl JoinedNamespace {
    /// Opens it.
    ///
    /// # Errors
    /// Names the file; also when it is none of that kind, or the process has ended.
    pub fn open(&self) -> Result<File, IsolationError> {
        let path = match &self.of {
            NamespaceOf::Path(path) => path.clone(),
            NamespaceOf::Process { pid, .. } => format!("/proc/{pid}/ns/{}", self.kind.file()).into(),
        };
        let file = File::open(&path).context("open the namespace", path.display())?;
        let refuse = |reason| Err(IsolationError::invalid("join the namespace", path.display(), reason));
        let system = fstatfs(&file).context("look at the namespace", path.display())?;
        if system.filesystem_type() != NSFS || kind_of(&file) != Some(self.kind.flag()) {
            return refuse("it is no namespace of this kind");
        }
        match self.of {
            NamespaceOf::Process { pid, start_time } if !process::is_same(pid, start_time) => {
                refuse("the container whose it was has ended")
            }
            _ => Ok(file),
        }
    }

    /// Moves this process into one that was opened.
    ///
    /// # Errors
    /// The kernel's.
    pub fn enter(&self, opened: &File) -> Result<(), IsolationError> {
        let flag = CloneFlags::from_bits_truncate(self.kind.flag());
        setns(opened, flag).context("join the namespace", self.kind.file())
    }
}

fn kind_of(file: &File) -> Option<i32> {
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    // SAFETY: this ioctl takes no argument.
    let kind = unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE as _) };
    (kind >= 0).then_some(kind)
}

/// Moves this process into the namespaces of another, its user namespace excepted; the pid namespace is that of children
/// from now on.
///
/// # Errors
/// The kernel's; `ESRCH` when it has ended.
pub fn enter_all_of(process: BorrowedFd<'_>) -> Result<(), IsolationError> {
    let all = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWCGROUP;
    setns(process, all).context("enter", "the namespaces of the container")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(of: NamespaceOf) -> JoinedNamespace {
        JoinedNamespace { kind: NamespaceKind::Network, of }
    }

    #[test]
    fn only_a_namespace_of_the_kind_is_one() {
        let path = |path: &str| network(NamespaceOf::Path(path.into())).open();
        assert!(path("/proc/self/ns/net").is_ok());
        for other in ["/proc/self/ns/ipc", "/etc/passwd", "/proc/self/ns", "/no/such"] {
            assert!(path(other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_process_must_be_the_one_that_was_meant() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let start_time = process::start_time(pid).unwrap();
        assert!(network(NamespaceOf::Process { pid, start_time }).open().is_ok());
        assert!(network(NamespaceOf::Process { pid, start_time: start_time + 1 }).open().is_err());
    }
}
