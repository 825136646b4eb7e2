//! What a container sees of the kernel and of the host: its own `/proc`, a read-only `/sys`, and covers over what is none of
//! its business.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use crate::cgroup::Hierarchies;
use crate::places::own_directory;
use crate::trees::{Restrictions, Tree, make_read_only, restrict};
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

/// What no program needs of a file system of the kernel's.
const BARE: Restrictions = Restrictions::DATA.and(Restrictions::NO_EXEC);
/// The v1 hierarchies that programs read their limits from.
const SHOWN: [&str; 5] = ["cpu", "cpuacct", "cpuset", "memory", "pids"];

/// Mounts made here stay here, and mounts made on the host from now on do not appear here.
///
/// # Errors
/// The kernel's.
pub fn make_private() -> Result<(), IsolationError> {
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).context("make private", "the mounts")
}

/// A `/proc` of this pid namespace, with the kernel's own paths covered or read-only, below this root.
///
/// # Errors
/// Names the path.
pub fn processes(root: impl AsFd) -> Result<(), IsolationError> {
    Tree::new(c"proc", &[], BARE)?.put(own_directory(root, Path::new("proc"))?, "/proc")?;
    for path in READ_ONLY {
        if Path::new(path).exists() {
            bind(path, path)?;
            restrict(open_path(path)?, Restrictions::READ_ONLY, path)?;
        }
    }
    mask("/proc/")
}

/// Makes the host's `/sys` read-only, with all that is mounted there.
///
/// # Errors
/// Names the path.
pub fn hosts_system() -> Result<(), IsolationError> {
    restrict(open_path("/sys")?, Restrictions::READ_ONLY, "/sys")?;
    mask("/sys/")
}

/// The directories of a container's group, held before the host's are gone: the v2 group alone, or those of the v1
/// hierarchies that programs read their limits from, by name. A bind mount of each costs a fraction of mounting a hierarchy,
/// for which the kernel would wait until all groups that are being removed are gone.
///
/// # Errors
/// Names the directory.
pub fn hold_groups(hierarchies: &Hierarchies, path: &Path) -> Result<Vec<(String, Tree)>, IsolationError> {
    let hold = |name: &str, directory: PathBuf| match File::open(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        opened => {
            let opened = opened.context("open", directory.display())?;
            Ok(Some((name.to_owned(), Tree::of(opened, directory.display())?)))
        }
    };
    if let (true, Some(tree)) = (hierarchies.v1.is_empty(), &hierarchies.v2) {
        return Ok(hold("", tree.mount_point.join(path))?.into_iter().collect());
    }
    let of_v1 = |name: &&str| Some(hold(name, hierarchies.v1.get(*name)?.join(path)));
    SHOWN.iter().filter_map(of_v1).filter_map(Result::transpose).collect()
}

/// A read-only `/sys` of this network namespace, and in it the container's own groups.
///
/// # Errors
/// Names the path.
pub fn own_system(root: impl AsFd, groups: &[(String, Tree)]) -> Result<(), IsolationError> {
    let read_only = BARE.and(Restrictions::READ_ONLY);
    Tree::new(c"sysfs", &[], read_only)?.put(own_directory(root, Path::new("sys"))?, "/sys")?;
    mask("/sys/")?;
    let above = "/sys/fs/cgroup";
    let together = matches!(groups, [(name, _)] if name.is_empty());
    if !together {
        Tree::new(c"tmpfs", &[(c"size", Some("64k")), (c"mode", Some("0755"))], BARE)?
            .put(open_path(above)?, above)?;
    }
    for (name, tree) in groups {
        let place = if together { above.to_owned() } else { format!("{above}/{name}") };
        if !together {
            fs::create_dir(&place).context("create", &place)?;
        }
        tree.restrict(read_only)?;
        tree.put(open_path(&place)?, &place)?;
    }
    if together { Ok(()) } else { make_read_only(open_path(above)?, above) }
}

/// Covers what tells of the machine below a directory.
fn mask(below: &str) -> Result<(), IsolationError> {
    for path in MASKED.iter().filter(|path| path.starts_with(below)) {
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

fn open_path(path: &str) -> Result<File, IsolationError> {
    fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_NOFOLLOW)
        .open(path)
        .context("open", path)
}

/// Directories a container must not see, and its sandbox, which it must see even if it lies below one of them.
#[derive(Debug)]
pub struct Covers<'a> {
    sandbox: &'a Path,
    identity: (u64, u64),
    tree: &'a Tree,
    read_only: Vec<PathBuf>,
}

impl<'a> Covers<'a> {
    /// Begins with the sandbox as it was opened outside, `tree` being a mount of it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(sandbox: &'a Path, opened: &File, tree: &'a Tree) -> Result<Self, IsolationError> {
        let metadata = opened.metadata().context("look at the sandbox", sandbox.display())?;
        Ok(Self { sandbox, identity: (metadata.dev(), metadata.ino()), tree, read_only: Vec::new() })
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
        if !there(self.sandbox) {
            fs::create_dir_all(self.sandbox)
                .context("create the way to the sandbox", self.sandbox.display())?;
            let place = File::open(self.sandbox).context("open", self.sandbox.display())?;
            self.tree.put(place, self.sandbox.display())?;
        }
        for path in covers {
            let cover = File::open(path).context("open", path.display())?;
            make_read_only(cover, path.display())?;
        }
        nix::unistd::chdir(self.sandbox).context("change to the sandbox", self.sandbox.display())?;
        if !there(Path::new(".")) {
            let reason = "its path leads to another directory now";
            return Err(IsolationError::invalid("change to the sandbox", self.sandbox.display(), reason));
        }
        Ok(())
    }
}
