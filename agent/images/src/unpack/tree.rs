//! The files of a layer in the making. Every name is resolved by the kernel beneath the layer's own directory.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chownat,
    fchmod, fchown, futimens, linkat, mkdirat, mknodat, openat, openat2, statat, symlinkat, unlinkat,
    utimensat,
};
use rustix::io::Errno;

use super::entries::{Entry, Kind};
use super::marks::{self, Format, MAX_IMPLICIT, Marks};
use super::path::{AUFS, OPAQUE, WHITEOUT, check_target, clean};
use super::xattr::{self, Policy};
use super::{FILES, UnpackError};

/// Links within the root are followed, as the container would; what leads out of it is an error.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const BUFFER: usize = 128 << 10;

pub(super) struct Tree {
    layer: PathBuf,
    root: Arc<OwnedFd>,
    marks: Marks,
    implicit: BTreeSet<PathBuf>,
    has_root: bool,
    /// Times of directories, which are set when nothing is added to them any more.
    times: Vec<(PathBuf, Timestamps)>,
    /// Entries mostly come directory by directory.
    last: Option<(PathBuf, Arc<OwnedFd>)>,
    buffer: Vec<u8>,
}

impl Tree {
    pub(super) fn open(layer: &Path, format: Format) -> io::Result<Self> {
        let root = openat(CWD, layer.join(FILES), DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
        fchmod(&root, Mode::from_raw_mode(0o755))?;
        Ok(Self {
            layer: layer.to_owned(),
            root: Arc::new(root),
            marks: Marks::create(layer, format)?,
            implicit: BTreeSet::new(),
            has_root: false,
            times: Vec::new(),
            last: None,
            buffer: vec![0; BUFFER],
        })
    }

    pub(super) fn add(&mut self, entry: &Entry, body: &mut dyn Read) -> Result<(), UnpackError> {
        let refuse = |reason| UnpackError::refused(&entry.path, reason);
        let path = clean(&entry.path).map_err(refuse)?;
        let Some(name) = path.file_name().map(PathBuf::from) else {
            return self.add_root(entry);
        };
        let failed = UnpackError::io(&path);
        let parent_path = path.parent().unwrap_or(Path::new(""));
        let parent = match self.parent(parent_path) {
            Ok(parent) => parent,
            Err(error) => return Err(below(error, entry)),
        };
        let text = name.as_os_str().as_bytes();
        if text == OPAQUE {
            return self.marks.opaque(&parent, parent_path).map_err(failed);
        }
        if text.starts_with(AUFS) {
            return Ok(());
        }
        if let Some(deleted) = text.strip_prefix(WHITEOUT) {
            if matches!(deleted, b"" | b"." | b"..") {
                return Err(refuse("a deletion of nothing"));
            }
            let deleted = Path::new(std::ffi::OsStr::from_bytes(deleted));
            return self.marks.whiteout(&parent, deleted, &parent_path.join(deleted)).map_err(failed);
        }
        if matches!(entry.kind, Kind::Device) {
            // The container has a /dev of its own over this one.
            return if path.starts_with("dev") { Ok(()) } else { Err(refuse("a device")) };
        }
        let hides = self.make_room(&parent, &name, entry)?;
        match &entry.kind {
            Kind::Directory => self.add_directory(&parent, &name, &path, entry, hides),
            Kind::File => self.add_file(&parent, &name, entry, body),
            Kind::Symlink(target) => {
                check_target(&path, target).map_err(refuse)?;
                let target = Path::new(std::ffi::OsStr::from_bytes(target));
                let made = symlinkat(target, &parent, &name);
                made.map_err(io::Error::from)
                    .and_then(|()| own_by_name(&parent, &name, entry))
                    .map_err(failed)
            }
            Kind::HardLink(target) => self.add_hard_link(&parent, &name, target, entry),
            Kind::Fifo => {
                let made = mknodat(&parent, &name, FileType::Fifo, Mode::from_raw_mode(entry.mode), 0);
                made.map_err(io::Error::from)
                    .and_then(|()| own_by_name(&parent, &name, entry))
                    .map_err(failed)
            }
            Kind::Device => Ok(()),
        }
    }

    /// Sets what had to wait, and gives the directory of the files.
    pub(super) fn finish(self) -> io::Result<Arc<OwnedFd>> {
        let Self { layer, root, marks, mut implicit, has_root, times, .. } = self;
        for (path, times) in times.iter().rev() {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            futimens(openat2(&root, path, DIRECTORY, Mode::empty(), BENEATH)?, times)?;
        }
        if !has_root {
            implicit.insert(PathBuf::new());
        }
        marks.finish()?;
        marks::write_implicit(&layer, &implicit)?;
        Ok(root)
    }

    fn add_root(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        if !matches!(entry.kind, Kind::Directory) {
            return Err(UnpackError::refused(&entry.path, "which is the root and no directory"));
        }
        self.has_root = true;
        self.times.push((PathBuf::new(), times(entry)));
        dress(&self.root, entry)
    }

    fn add_directory(
        &mut self,
        parent: &OwnedFd,
        name: &Path,
        path: &Path,
        entry: &Entry,
        hides: bool,
    ) -> Result<(), UnpackError> {
        let failed = |error: Errno| UnpackError::io(path)(error.into());
        match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(error)),
        }
        let directory = openat(parent, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()).map_err(failed)?;
        if hides {
            self.marks.opaque(&directory, path).map_err(UnpackError::io(path))?;
        }
        self.implicit.remove(path);
        self.times.push((path.to_owned(), times(entry)));
        dress(&directory, entry)
    }

    fn add_file(
        &mut self,
        parent: &OwnedFd,
        name: &Path,
        entry: &Entry,
        body: &mut dyn Read,
    ) -> Result<(), UnpackError> {
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(parent, name, flags, Mode::from_raw_mode(0o600));
        let mut file = File::from(made.map_err(|error| UnpackError::io(&path)(error.into()))?);
        loop {
            let read = body.read(&mut self.buffer).map_err(UnpackError::io(&path))?;
            if read == 0 {
                break;
            }
            io::Write::write_all(&mut file, &self.buffer[..read]).map_err(UnpackError::io(&path))?;
        }
        dress(&file, entry)?;
        futimens(&file, &times(entry)).map_err(|error| UnpackError::io(&path)(error.into()))
    }

    /// The target is a file of this layer, looked up as it is called: no link is followed at its end.
    fn add_hard_link(
        &mut self,
        parent: &OwnedFd,
        name: &Path,
        target: &[u8],
        entry: &Entry,
    ) -> Result<(), UnpackError> {
        let refuse = |reason| UnpackError::refused(&entry.path, reason);
        let target = clean(target).map_err(|_| refuse("a hard link that leaves the root"))?;
        let Some(last) = target.file_name() else { return Err(refuse("a hard link to the root")) };
        let of_target = target.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let directory = openat2(&self.root, of_target, DIRECTORY | OFlags::PATH, Mode::empty(), BENEATH);
        let directory = directory.map_err(|error| below(error.into(), entry))?;
        let found = statat(&directory, last, AtFlags::SYMLINK_NOFOLLOW);
        let found = found.map_err(|_| refuse("a hard link to a file that is not there"))?;
        if !matches!(FileType::from_raw_mode(found.st_mode), FileType::RegularFile | FileType::Symlink) {
            return Err(refuse("a hard link to what is no file"));
        }
        let linked = linkat(&directory, last, parent, name, AtFlags::empty());
        linked.map_err(|error| UnpackError::io(&target)(error.into()))
    }

    /// Removes what is in the way; whether the new entry hides what is below it.
    fn make_room(&mut self, parent: &OwnedFd, name: &Path, entry: &Entry) -> Result<bool, UnpackError> {
        let failed = |error: Errno| UnpackError::io(name)(error.into());
        let found = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(false),
            found => found.map_err(failed)?,
        };
        if FileType::from_raw_mode(found.st_mode).is_dir() {
            return match entry.kind {
                Kind::Directory => Ok(false),
                _ => Err(UnpackError::refused(&entry.path, "which replaces a directory of its own layer")),
            };
        }
        self.last = None;
        unlinkat(parent, name, AtFlags::empty()).map_err(failed)?;
        Ok(self.marks.is_whiteout(&found))
    }

    fn parent(&mut self, path: &Path) -> io::Result<Arc<OwnedFd>> {
        if path.as_os_str().is_empty() {
            return Ok(self.root.clone());
        }
        if let Some((_, directory)) = self.last.as_ref().filter(|(last, _)| last == path) {
            return Ok(directory.clone());
        }
        let directory = match openat2(&self.root, path, DIRECTORY, Mode::empty(), BENEATH) {
            Err(Errno::NOENT) => self.make_parents(path)?,
            directory => Arc::new(directory?),
        };
        self.last = Some((path.to_owned(), directory.clone()));
        Ok(directory)
    }

    /// Some builders leave the directories out that they only change something in.
    fn make_parents(&mut self, path: &Path) -> io::Result<Arc<OwnedFd>> {
        let mut current = self.root.clone();
        let mut walked = PathBuf::new();
        // What is made behind a link has another name than the one it was made by.
        let mut through_link = false;
        for part in path.components() {
            walked.push(part);
            let part: &Path = part.as_ref();
            match mkdirat(&current, part, Mode::from_raw_mode(0o755)) {
                Ok(()) if !through_link => {
                    if self.implicit.len() >= MAX_IMPLICIT {
                        return Err(io::Error::other(
                            "too many directories that the archive does not bring itself",
                        ));
                    }
                    self.implicit.insert(walked.clone());
                }
                Ok(()) => {}
                Err(Errno::EXIST) => {
                    let found = statat(&current, part, AtFlags::SYMLINK_NOFOLLOW)?;
                    through_link |= FileType::from_raw_mode(found.st_mode).is_symlink();
                }
                Err(error) => return Err(error.into()),
            }
            current = Arc::new(openat2(&self.root, &walked, DIRECTORY, Mode::empty(), BENEATH)?);
        }
        Ok(current)
    }
}

/// Names the trick rather than the kernel's error.
fn below(error: io::Error, entry: &Entry) -> UnpackError {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::XDEV) => UnpackError::refused(&entry.path, "which leaves the root through a link"),
        Some(Errno::LOOP) => UnpackError::refused(&entry.path, "which is behind a link to itself"),
        Some(Errno::NOTDIR) => {
            UnpackError::refused(&entry.path, "which is below something that is no directory")
        }
        Some(_) | None => UnpackError::io(String::from_utf8_lossy(&entry.path).as_ref())(error),
    }
}

/// Owner before mode, for a change of owner takes set-user-id away; attributes last, for it takes capabilities too.
fn dress(file: impl AsFd, entry: &Entry) -> Result<(), UnpackError> {
    let failed = |error: Errno| UnpackError::io(String::from_utf8_lossy(&entry.path).as_ref())(error.into());
    fchown(&file, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid))).map_err(failed)?;
    fchmod(&file, Mode::from_raw_mode(entry.mode)).map_err(failed)?;
    for (name, value) in &entry.xattrs {
        match xattr::policy(name) {
            Policy::Keep => xattr::set(&file, name, value).map_err(failed)?,
            Policy::LeaveOut => {}
            Policy::Refuse => {
                return Err(UnpackError::refused(&entry.path, "which has an attribute of overlayfs"));
            }
        }
    }
    Ok(())
}

/// For what cannot be opened without side effects.
fn own_by_name(parent: &OwnedFd, name: &Path, entry: &Entry) -> io::Result<()> {
    let owner = (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)));
    chownat(parent, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?;
    if matches!(entry.kind, Kind::Fifo) {
        // It was made here a moment ago, where nobody else can go: no link is in the way.
        rustix::fs::chmodat(parent, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
    }
    Ok(utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn times(entry: &Entry) -> Timestamps {
    let (seconds, nanoseconds) = entry.modified;
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() },
    }
}
