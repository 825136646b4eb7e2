//! The mount namespace of a container that has the host's files: what it must not see is covered, what it must not change
//! is read-only.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use crate::{Context, IsolationError};

/// Files of `/proc` and `/sys` that tell of the machine or take keys; they read as empty.
const MASKED: [&str; 9] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];
/// Parts of `/proc` that change the machine.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Mounts made here stay here, and mounts made on the host from now on do not appear here.
///
/// # Errors
/// The kernel's.
pub fn make_private() -> Result<(), IsolationError> {
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).context("make private", "the mounts")
}

/// A `/proc` of this pid namespace, with the kernel's own paths covered or read-only; and a read-only `/sys`.
///
/// # Errors
/// Names the path.
pub fn kernel_files() -> Result<(), IsolationError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>).context("mount", "/proc")?;
    set_read_only(Path::new("/sys"), true)?;
    for path in READ_ONLY {
        if Path::new(path).exists() {
            bind(path, path)?;
            set_read_only(Path::new(path), true)?;
        }
    }
    for path in MASKED {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => empty_directory(Path::new(path), MsFlags::MS_RDONLY)?,
            Ok(_) => bind("/dev/null", path)?,
            Err(_) => {} // this kernel has none
        }
    }
    Ok(())
}

/// A file system in memory. `options` as `mount -o` takes them.
///
/// # Errors
/// Names the path.
pub fn memory(path: &Path, flags: MsFlags, options: &str) -> Result<(), IsolationError> {
    mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some(options))
        .context("mount a tmpfs on", path.display())
}

fn empty_directory(path: &Path, flags: MsFlags) -> Result<(), IsolationError> {
    let flags = flags | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    memory(path, flags, "size=64k,mode=0755")
}

fn bind(from: &str, onto: &str) -> Result<(), IsolationError> {
    mount(Some(from), onto, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .context("mount over", onto)
}

/// Makes the mount at `path` read-only; with `below`, those under it too.
fn set_read_only(path: &Path, below: bool) -> Result<(), IsolationError> {
    let name = c_path(path)?;
    // SAFETY: mount_attr is plain numbers, for which zero is a value.
    let mut attributes: libc::mount_attr = unsafe { std::mem::zeroed() };
    attributes.attr_set = libc::MOUNT_ATTR_RDONLY;
    let flags = if below { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the name is a C string and the attributes a struct of the size given; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            name.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    checked(result).context("make read-only", path.display()).map(drop)
}

/// Directories a container must not see, and its sandbox, which it must see even if it lies below one of them.
#[derive(Debug)]
pub struct Covers {
    sandbox: PathBuf,
    identity: (u64, u64),
    detached: OwnedFd,
    read_only: Vec<PathBuf>,
    /// Directories to show in the sandbox, with their names there.
    volumes: Vec<(OwnedFd, String)>,
}

impl Covers {
    /// Takes hold of the sandbox, before anything is covered; in the container's mount namespace. `opened` is the sandbox
    /// as it was opened outside, which must be the directory that its path still leads to.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(sandbox: &Path, opened: &File) -> Result<Self, IsolationError> {
        let metadata = opened.metadata().context("look at the sandbox", sandbox.display())?;
        let directory = File::open(sandbox).context("open the sandbox", sandbox.display())?;
        let again = directory.metadata().context("look at the sandbox", sandbox.display())?;
        if (metadata.dev(), metadata.ino()) != (again.dev(), again.ino()) {
            let reason = "its path leads to another directory now";
            return Err(IsolationError::invalid("take hold of the sandbox", sandbox.display(), reason));
        }
        let detached = take_hold(&directory, sandbox)?;
        let identity = (metadata.dev(), metadata.ino());
        let (read_only, volumes) = (Vec::new(), Vec::new());
        Ok(Self { sandbox: sandbox.to_owned(), identity, detached, read_only, volumes })
    }

    /// Takes hold of a directory of the host, before anything is covered; it shows under `name` in the sandbox at the end.
    ///
    /// # Errors
    /// The kernel's, with the path; a link is none.
    pub fn show(&mut self, directory: &Path, name: &str) -> Result<(), IsolationError> {
        let opened = fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
            .open(directory)
            .context("open the volume", directory.display())?;
        self.volumes.push((take_hold(&opened, directory)?, name.to_owned()));
        Ok(())
    }

    /// Puts an empty, read-only directory over `path`. A path that is not there is passed over.
    ///
    /// # Errors
    /// Names the path.
    pub fn hide(&mut self, path: &Path) -> Result<(), IsolationError> {
        if !path.is_dir() {
            return Ok(());
        }
        empty_directory(path, MsFlags::empty())?;
        self.read_only.push(path.to_owned());
        Ok(())
    }

    /// Puts the sandbox back if it has been covered, makes the covers read-only, and goes to the sandbox.
    ///
    /// # Errors
    /// Names the path; and when the sandbox's path leads elsewhere.
    pub fn finish(self) -> Result<(), IsolationError> {
        let there =
            |path: &Path| fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        // One that lies below another is covered with it. Seen before the way to the sandbox is made, which may lead there.
        let covers: Vec<&PathBuf> = self.read_only.iter().filter(|path| path.is_dir()).collect();
        if !there(&self.sandbox) {
            fs::create_dir_all(&self.sandbox)
                .context("create the way to the sandbox", self.sandbox.display())?;
            put(&self.detached, &self.sandbox)?;
        }
        for path in covers {
            set_read_only(path, false)?;
        }
        nix::unistd::chdir(&self.sandbox).context("change to the sandbox", self.sandbox.display())?;
        if !there(Path::new(".")) {
            let reason = "its path leads to another directory now";
            return Err(IsolationError::invalid("change to the sandbox", self.sandbox.display(), reason));
        }
        for (tree, name) in &self.volumes {
            let name = Path::new(name);
            if !name.is_dir() {
                fs::create_dir(name).context("create the place of the volume", name.display())?;
            }
            put(tree, name)?;
        }
        Ok(())
    }
}

/// A mount of an open directory that is nowhere yet.
fn take_hold(directory: &File, path: &Path) -> Result<OwnedFd, IsolationError> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH as u32;
    // SAFETY: an open directory, an empty C string and plain flags.
    let result = unsafe { libc::syscall(libc::SYS_open_tree, directory.as_raw_fd(), c"".as_ptr(), flags) };
    let tree = checked(result).context("take hold of", path.display())?;
    // SAFETY: the kernel has just given us this descriptor, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(tree as i32) })
}

/// Puts a mount that is nowhere yet over a directory, which must not be a link.
fn put(tree: &OwnedFd, path: &Path) -> Result<(), IsolationError> {
    let name = c_path(path)?;
    // SAFETY: an open tree, two C strings, and plain flags.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            name.as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    checked(result).context("mount over", path.display()).map(drop)
}

fn c_path(path: &Path) -> Result<CString, IsolationError> {
    CString::new(path.as_os_str().as_encoded_bytes()).context("use the path", path.display())
}

fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
