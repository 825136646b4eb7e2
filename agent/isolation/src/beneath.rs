//! Opens files that a container can influence, without ever leaving the directory they belong to.
//!
//! Two ways: [`open`] takes no symbolic link at all, for what nobody has reason to link; [`open_within`] takes the
//! directory for `/`, so that links mean what they mean inside, for images.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{Mode, mkdirat};

use crate::{Context, IsolationError};

/// Opens `path` below `directory`, through no symbolic link at all, neither in the middle nor at the end.
///
/// # Errors
/// The kernel's: `ELOOP` at a symbolic link, `EXDEV` where the path leaves the directory.
pub fn open(directory: impl AsFd, path: &Path, flags: i32, mode: u32) -> io::Result<File> {
    let resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;
    openat2(directory, path, flags, mode, resolve)
}

/// Opens the directory `name` right in `directory`, unless a file system is mounted there.
///
/// # Errors
/// The kernel's: `ELOOP` or `ENOTDIR` for what is no directory, `EXDEV` for a mount point.
pub fn subdirectory(directory: impl AsFd, name: &CStr) -> io::Result<File> {
    let resolve = libc::RESOLVE_BENEATH
        | libc::RESOLVE_NO_SYMLINKS
        | libc::RESOLVE_NO_MAGICLINKS
        | libc::RESOLVE_NO_XDEV;
    openat2_of(directory, name, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW, 0, resolve)
}

/// Opens `path` with `root` as its `/`: a symbolic link or `..` leads nowhere else. The links of `/proc` that jump to open
/// files are refused.
///
/// # Errors
/// The kernel's: `ELOOP` at such a link.
pub fn open_within(root: impl AsFd, path: &Path, flags: i32, mode: u32) -> io::Result<File> {
    openat2(root, path, flags, mode, libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS)
}

fn openat2(directory: impl AsFd, path: &Path, flags: i32, mode: u32, resolve: u64) -> io::Result<File> {
    let name = CString::new(path.as_os_str().as_encoded_bytes())?;
    openat2_of(directory, &name, flags, mode, resolve)
}

/// How often a path with `..` is looked up again. Source: that is what runc does.
const ATTEMPTS: u32 = 128;

/// The kernel gives up a path with `..` when anybody on the machine renamed or mounted anything meanwhile, and leaves it to us to
/// try again.
fn openat2_of(directory: impl AsFd, name: &CStr, flags: i32, mode: u32, resolve: u64) -> io::Result<File> {
    let mut result = openat2_once(&directory, name, flags, mode, resolve);
    for _ in 1..ATTEMPTS {
        match &result {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {
                result = openat2_once(&directory, name, flags, mode, resolve);
            }
            _ => break,
        }
    }
    result
}

fn openat2_once(directory: impl AsFd, name: &CStr, flags: i32, mode: u32, resolve: u64) -> io::Result<File> {
    // SAFETY: open_how is plain numbers, for which zero is a value.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.mode = u64::from(mode);
    how.resolve = resolve;
    // SAFETY: the name is a C string and `how` a struct of the size given; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            directory.as_fd().as_raw_fd(),
            name.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor, so nobody else owns it.
    let file = unsafe { OwnedFd::from_raw_fd(result as i32) };
    Ok(File::from(file))
}

/// Opens a directory that is no link.
///
/// # Errors
/// When it is missing or is no directory.
pub fn directory(path: &Path) -> Result<File, IsolationError> {
    std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(path)
        .context("open the directory", path.display())
}

/// Opens a directory by its absolute path through no link at all, neither above it nor at its place: for one that is beneath
/// a directory that others can bend.
///
/// # Errors
/// When it is missing or is no directory; `ELOOP` at a symbolic link.
pub fn directory_without_links(path: &Path) -> Result<File, IsolationError> {
    let operation = "open the directory";
    let rest = path
        .strip_prefix("/")
        .map_err(|_| IsolationError::invalid(operation, path.display(), "its path is not absolute"))?;
    let root = directory(Path::new("/"))?;
    if rest.as_os_str().is_empty() {
        return Ok(root);
    }
    open(&root, rest, libc::O_RDONLY | libc::O_DIRECTORY, 0).context(operation, path.display())
}

/// Opens `name` in a sandbox for appending, making it if need be.
///
/// # Errors
/// When it is anything but a regular file with one name: a task may have put a link, a FIFO or a device there.
pub fn log_file(sandbox: &File, name: &str) -> Result<File, IsolationError> {
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = open(sandbox, Path::new(name), flags, 0o644).context("open in the sandbox", name)?;
    let metadata = file.metadata().context("look at", name)?;
    if !metadata.is_file() || metadata.nlink() != 1 {
        let reason = "it is there already and is not a plain file with one name";
        return Err(IsolationError::invalid("write in the sandbox to", name, reason));
    }
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND)).context("set up", name)?;
    Ok(file)
}

/// A directory or file beneath another, which must be there; of a path that is not there the directories are made, for us
/// alone to change. No symbolic link on the way is followed.
///
/// # Errors
/// The kernel's: `ELOOP` for a link.
pub fn make_or_open(directory: impl AsFd, path: &Path) -> io::Result<File> {
    let flags = libc::O_PATH | libc::O_NOFOLLOW;
    match open(directory.as_fd(), path, flags, 0) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // The kernel opens a link itself when asked for a place alone.
        Ok(file) if file.metadata()?.is_symlink() => return Err(Errno::ELOOP.into()),
        result => return result,
    }
    let mut made = open(directory.as_fd(), Path::new("."), flags | libc::O_DIRECTORY, 0)?;
    for name in path {
        match mkdirat(&made, name, Mode::from_bits_truncate(0o755)) {
            Err(Errno::EEXIST) => {}
            result => result?,
        }
        made = open(&made, Path::new(name), flags | libc::O_DIRECTORY, 0)?;
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_and_dots_do_not_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("inside");
        fs::create_dir(&inside).unwrap();
        fs::write(dir.path().join("secret"), "x").unwrap();
        symlink("../secret", inside.join("stdout")).unwrap();
        let root = File::open(&inside).unwrap();
        for path in ["../secret", "/etc/passwd", "stdout", "/proc/self/exe"] {
            assert!(open(&root, Path::new(path), libc::O_RDONLY, 0).is_err(), "{path}");
        }
        let error = log_file(&root, "stdout").unwrap_err();
        assert_eq!(error.errno(), Some(libc::ELOOP));
    }

    #[test]
    fn a_directory_is_opened_through_no_link_wherever_that_is() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, link) = (dir.path().join("inside"), dir.path().join("link"));
        fs::create_dir_all(inside.join("deep")).unwrap();
        symlink(&inside, &link).unwrap();
        assert!(directory_without_links(&inside.join("deep")).is_ok());
        assert!(directory_without_links(Path::new("/")).is_ok());
        for path in [link.clone(), link.join("deep")] {
            let error = directory_without_links(&path).unwrap_err();
            assert_eq!(error.errno(), Some(libc::ELOOP), "{}", path.display());
        }
        assert!(directory_without_links(Path::new("tmp")).is_err(), "that would be beneath another");
    }

    #[test]
    fn what_is_made_is_made_inside() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("inside");
        fs::create_dir(&inside).unwrap();
        symlink("..", inside.join("link")).unwrap();
        let root = File::open(&inside).unwrap();
        make_or_open(&root, Path::new("a/b")).unwrap();
        make_or_open(&root, Path::new("a/b/c")).unwrap();
        assert!(inside.join("a/b/c").is_dir());
        for path in ["link", "link/x", "../x", "a/../../x", "/tmp/x", "a/b/link/../.."] {
            assert!(make_or_open(&root, Path::new(path)).is_err(), "{path}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "something was made outside");
    }

    #[test]
    fn a_log_is_appended_to_and_is_a_plain_file() {
        let dir = tempfile::tempdir().unwrap();
        let root = File::open(dir.path()).unwrap();
        fs::write(dir.path().join("stdout"), "first ").unwrap();
        log_file(&root, "stdout").unwrap().write_all(b"second").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("stdout")).unwrap(), "first second");
        nix::unistd::mkfifo(&dir.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(log_file(&root, "fifo").is_err());
        fs::hard_link(dir.path().join("stdout"), dir.path().join("other")).unwrap();
        assert!(log_file(&root, "other").is_err());
    }

    #[test]
    fn what_others_rename_meanwhile_fails_no_path() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        std::fs::create_dir(&one).unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        let root = directory(dir.path()).unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        let path = Path::new("a/../a/../a/../a/../a/../a/../a/../a");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    std::fs::rename(&one, &other).unwrap();
                    std::fs::rename(&other, &one).unwrap();
                }
            });
            let failed = (0..50_000).find_map(|_| open_within(&root, path, libc::O_PATH, 0).err());
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(failed.is_none(), "{failed:?}");
        });
    }
}
