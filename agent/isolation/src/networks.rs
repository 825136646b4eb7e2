//! Network namespaces that no process holds, but a file that each is mounted on.
//!
//! A mount is copied with every new mount namespace, and a copy holds the network as the first does. So the files are below
//! one directory that is a mount itself: who makes a mount namespace detaches that one ([`let_go`]) and holds no network.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statfs::statfs;

use crate::namespaces::NSFS;
use crate::{Context, IsolationError, loopback, mountinfo};

/// Of the thread that reads it.
const OWN: &str = "/proc/thread-self/ns/net";
const NOTHING: Option<&str> = None;

/// Where the files are.
#[derive(Debug)]
pub struct NetworkDirectory {
    path: PathBuf,
    /// Held while a file comes to the directory or the directory's own mount goes, so that neither is under the other.
    turn: Mutex<()>,
}

impl NetworkDirectory {
    /// One at this path, absolute and over no link. Nothing is made yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, turn: Mutex::new(()) }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of a name.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes a namespace of this name, with an `lo` that is up, and every port open to everybody.
    ///
    /// # Errors
    /// Names what failed, also when there is one of the name; nothing of it is left then.
    pub fn make(&self, name: &str) -> Result<PathBuf, IsolationError> {
        let file = self.file(name);
        self.create(&file)?;
        let made = in_thread(file.clone(), |file| {
            unshare(CloneFlags::CLONE_NEWNET).context("unshare", "the network namespace")?;
            loopback::bring_up()?;
            mount(Some(OWN), file, NOTHING, MsFlags::MS_BIND, NOTHING).context("mount on", file.display())
        });
        made.inspect_err(|_| drop(fs::remove_file(&file))).map(|()| file)
    }

    /// Whether there is a namespace of this name. After a reboot there is a file, and no namespace.
    pub fn has(&self, name: &str) -> bool {
        statfs(&self.file(name)).is_ok_and(|system| system.filesystem_type() == NSFS)
    }

    /// Lets go of a namespace: it ends with the last process in it. One that is gone already is no error.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove(&self, name: &str) -> Result<(), IsolationError> {
        let file = self.file(name);
        unmount(&file)?;
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("remove", file.display()),
            _ => Ok(()),
        }
    }

    /// The names there are, with or without a namespace.
    ///
    /// # Errors
    /// Names the directory.
    pub fn names(&self) -> Result<Vec<String>, IsolationError> {
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.context("list", self.path.display())?,
        };
        let name = |entry: std::io::Result<fs::DirEntry>| {
            Ok(entry.context("list", self.path.display())?.file_name().to_string_lossy().into_owned())
        };
        entries.map(name).collect()
    }

    /// Takes the directory's own mount away, if nothing is in it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn release(&self) -> Result<(), IsolationError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.names()?.is_empty() { unmount(&self.path) } else { Ok(()) }
    }

    /// The file of a namespace, which keeps the directory's mount.
    fn create(&self, file: &Path) -> Result<(), IsolationError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.hold()?;
        let create = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
        create.map(drop).context("create", file.display())
    }

    /// The directory is a mount, and what is unmounted in it goes from copies that others have of it, too.
    fn hold(&self) -> Result<(), IsolationError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .context("create", self.path.display())?;
        let mounts = fs::read("/proc/thread-self/mountinfo").context("read", "mountinfo")?;
        let mounts = mountinfo::parse(&String::from_utf8_lossy(&mounts));
        if mounts.iter().any(|mount| mount.mount_point == self.path) {
            return Ok(());
        }
        let bind = |flags| mount(Some(self.path.as_path()), self.path.as_path(), NOTHING, flags, NOTHING);
        bind(MsFlags::MS_BIND).context("mount", self.path.display())?;
        bind(MsFlags::MS_SHARED).context("share", self.path.display())
    }
}

/// Detaches such a directory, with all that is mounted in it, from this process' mount namespace. None there is no error.
///
/// # Errors
/// The kernel's.
pub fn let_go(directory: &Path) -> Result<(), IsolationError> {
    unmount(directory)
}

fn unmount(path: &Path) -> Result<(), IsolationError> {
    match umount2(path, MntFlags::MNT_DETACH) {
        // Not a mount, or not there.
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno).context("unmount", path.display()),
    }
}

/// A thread that changes its namespace cannot be trusted to come back, so it ends.
fn in_thread(
    file: PathBuf,
    work: impl FnOnce(&Path) -> Result<(), IsolationError> + Send + 'static,
) -> Result<(), IsolationError> {
    let thread = thread::Builder::new().name("network".to_owned()).spawn(move || work(&file));
    let ended = thread.context("start", "a thread")?.join();
    ended.unwrap_or_else(|_| {
        Err(IsolationError::invalid("make", "a network namespace", "its thread panicked"))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    /// Needs root.
    #[test]
    fn many_that_come_and_go_at_once_leave_no_mount() {
        const COUNT: usize = 8;
        let directory = tempfile::tempdir().unwrap();
        let networks = NetworkDirectory::new(directory.path().join("networks"));
        let together = Barrier::new(COUNT);
        thread::scope(|scope| {
            for number in 0..COUNT {
                let (networks, together) = (&networks, &together);
                scope.spawn(move || {
                    let name = format!("n{number}");
                    for _ in 0..200 {
                        together.wait();
                        networks.make(&name).unwrap();
                        assert!(networks.has(&name), "another's end took it away");
                        networks.remove(&name).unwrap();
                        networks.release().unwrap();
                    }
                });
            }
        });
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        assert!(!mounts.contains(directory.path().to_str().unwrap()), "{mounts}");
    }
}
