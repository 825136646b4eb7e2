//! Mounts that are nowhere yet: made or taken hold of first, put in their place later. A place is an open directory or
//! file, never a path that somebody could bend in between.

use std::ffi::{CStr, CString};
use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::{Context, IsolationError};

/// What a mount does not allow, of `MOUNT_ATTR_…`; made for being combined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restrictions(u64);

impl Restrictions {
    /// Nobody writes through it.
    pub const READ_ONLY: Self = Self(libc::MOUNT_ATTR_RDONLY);
    /// Set-user-id bits and file capabilities are without effect.
    pub const NO_SUID: Self = Self(libc::MOUNT_ATTR_NOSUID);
    /// Device nodes cannot be opened.
    pub const NO_DEVICES: Self = Self(libc::MOUNT_ATTR_NODEV);
    /// Programs cannot be run.
    pub const NO_EXEC: Self = Self(libc::MOUNT_ATTR_NOEXEC);
    /// Set-user-id bits and device nodes: what no data needs.
    pub const DATA: Self = Self(libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A mount that is nowhere yet, or is in its place and still held.
#[derive(Debug)]
pub struct Tree(OwnedFd);

impl Tree {
    /// A new file system of this kind. An option without a value is a flag.
    ///
    /// # Errors
    /// The kernel's; `ENODEV` when it has no such file system.
    pub fn new(
        kind: &CStr,
        options: &[(&CStr, Option<&str>)],
        restrictions: Restrictions,
    ) -> Result<Self, IsolationError> {
        Self::made(kind, options, restrictions).context("make a file system", kind.to_string_lossy())
    }

    fn made(kind: &CStr, options: &[(&CStr, Option<&str>)], restrictions: Restrictions) -> io::Result<Self> {
        // SAFETY: a C string and a plain flag.
        let context = unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), libc::FSOPEN_CLOEXEC) };
        let context = owned(context)?;
        for (name, value) in options {
            let value = value.map(CString::new).transpose()?;
            let command = if value.is_some() { libc::FSCONFIG_SET_STRING } else { libc::FSCONFIG_SET_FLAG };
            configure(&context, command, name.as_ptr(), value.as_deref())?;
        }
        configure(&context, libc::FSCONFIG_CMD_CREATE, std::ptr::null(), None)?;
        // SAFETY: an open file system context and plain flags.
        let mount = unsafe {
            libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), libc::FSMOUNT_CLOEXEC, restrictions.0)
        };
        owned(mount).map(Self)
    }

    /// A second mount of what is open here, and of what is mounted below it; what is mounted on the one does not appear on
    /// the other. `subject` is for the error.
    ///
    /// # Errors
    /// The kernel's; `EINVAL` when it was opened in another mount namespace.
    pub fn of(opened: impl AsFd, subject: impl Display) -> Result<Self, IsolationError> {
        let flags = libc::OPEN_TREE_CLONE
            | libc::OPEN_TREE_CLOEXEC
            | (libc::AT_EMPTY_PATH | libc::AT_RECURSIVE) as u32;
        // SAFETY: an open file, an empty C string and plain flags.
        let tree =
            unsafe { libc::syscall(libc::SYS_open_tree, opened.as_fd().as_raw_fd(), c"".as_ptr(), flags) };
        let private = |tree: OwnedFd| {
            let mut attributes = no_attributes();
            attributes.propagation = libc::MS_PRIVATE;
            set_attributes(tree.as_fd(), libc::AT_RECURSIVE, &attributes)?;
            Ok(Self(tree))
        };
        owned(tree).and_then(private).context("take hold of", subject)
    }

    /// Takes these powers from it and from what is mounted below it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn restrict(&self, restrictions: Restrictions) -> Result<(), IsolationError> {
        restrict(self, restrictions, "a mount")
    }

    /// Lets ids in it, and in what is mounted below it, be those of a user namespace: what belongs to 0 on the disk belongs to
    /// the namespace's 0. Before it is put anywhere.
    ///
    /// # Errors
    /// The kernel's; `EINVAL` when one of the file systems cannot do it ([`crate::ids::is_unmappable`]).
    pub fn map_ids(&self, namespace: impl AsFd, subject: impl Display) -> Result<(), IsolationError> {
        let mut attributes = no_attributes();
        attributes.attr_set = libc::MOUNT_ATTR_IDMAP;
        attributes.userns_fd = namespace.as_fd().as_raw_fd() as u64;
        set_attributes(self.as_fd(), libc::AT_RECURSIVE, &attributes).context("map the ids of", subject)
    }

    /// Puts it over an open directory or file of this mount namespace.
    ///
    /// # Errors
    /// The kernel's; `ENOTDIR` when only one of the two is a directory.
    pub fn put(&self, place: impl AsFd, subject: impl Display) -> Result<(), IsolationError> {
        // SAFETY: two open files, empty C strings and plain flags.
        let result = unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                self.0.as_raw_fd(),
                c"".as_ptr(),
                place.as_fd().as_raw_fd(),
                c"".as_ptr(),
                libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH,
            )
        };
        checked(result).map(drop).context("mount over", subject)
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Takes these powers from the mount of an open file and from what is mounted below it.
///
/// # Errors
/// The kernel's.
pub fn restrict(
    mount: impl AsFd,
    restrictions: Restrictions,
    subject: impl Display,
) -> Result<(), IsolationError> {
    let mut attributes = no_attributes();
    attributes.attr_set = restrictions.0;
    set_attributes(mount.as_fd(), libc::AT_RECURSIVE, &attributes).context("restrict", subject)
}

/// Makes the mount of an open file read-only, and nothing below it.
///
/// # Errors
/// The kernel's.
pub fn make_read_only(mount: impl AsFd, subject: impl Display) -> Result<(), IsolationError> {
    let mut attributes = no_attributes();
    attributes.attr_set = libc::MOUNT_ATTR_RDONLY;
    set_attributes(mount.as_fd(), 0, &attributes).context("make read-only", subject)
}

fn no_attributes() -> libc::mount_attr {
    // SAFETY: mount_attr is plain numbers, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

fn set_attributes(mount: BorrowedFd<'_>, flags: i32, attributes: &libc::mount_attr) -> io::Result<()> {
    // SAFETY: an open file, an empty C string, and a struct of the size given, which outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | flags,
            std::ptr::from_ref(attributes),
            size_of::<libc::mount_attr>(),
        )
    };
    checked(result).map(drop)
}

fn configure(
    context: &OwnedFd,
    command: u32,
    name: *const libc::c_char,
    value: Option<&CStr>,
) -> io::Result<()> {
    let value = value.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: an open file system context; name and value are C strings or null, and outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, name, value, 0) };
    checked(result).map(drop)
}

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let number = checked(result)?;
    // SAFETY: the kernel has just given us this descriptor, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number as i32) })
}

fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
