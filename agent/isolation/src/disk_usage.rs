//! How much room a directory takes on its disk, with all that is beneath it: counted entry by entry, as du(1) does.
//!
//! Whoever owns the tree may change it meanwhile, or have made it to be hard to count. So it is gone through by a `Walk`, and
//! the count goes on step by step, with as much time between two steps as the caller likes.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;

use crate::walk::{Entry, Step, Walk, is_elsewhere};
use crate::{Context, IsolationError, beneath};

/// What `st_blocks` counts.
const BLOCK: u64 = 512;

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Bytes that are allocated. A file with several names counts once, when all of them are in the tree.
    pub bytes: u64,
    /// Names of files and directories, the tree's own included.
    pub names: u64,
}

/// A count that is under way.
#[derive(Debug)]
pub struct Count {
    walk: Walk,
    /// Names right beneath the root that are not counted.
    skipped: Vec<OsString>,
    usage: DiskUsage,
}

impl Count {
    /// Begins to count what is in this directory, but for these names right beneath it. It is reached through no link, for it
    /// may be beneath one that others can bend.
    ///
    /// # Errors
    /// When it is missing or no directory.
    pub fn begin(root: &Path, skipped: &[&str]) -> Result<Self, IsolationError> {
        let directory = beneath::directory_without_links(root)?;
        let found = directory.metadata().context("look at", root.display())?;
        let walk = Walk::begin(directory).context("look at", root.display())?;
        let skipped = skipped.iter().map(OsString::from).collect();
        let mut count = Self { walk, skipped, usage: DiskUsage::default() };
        count.add_directory(&found);
        Ok(count)
    }

    /// What has been counted so far.
    pub fn usage(&self) -> DiskUsage {
        self.usage
    }

    /// Counts this many entries more; `true` once it has come to the end. Where a directory has been moved away under it,
    /// that is the end, too.
    ///
    /// # Errors
    /// The disk's. What vanishes meanwhile is none.
    pub fn step(&mut self, entries: usize) -> io::Result<bool> {
        for _ in 0..entries {
            match self.walk.step()? {
                Step::Entry(entry) => self.take(&entry)?,
                Step::Up => {}
                Step::End => return Ok(true),
            }
        }
        Ok(self.walk.depth() == 0)
    }

    fn take(&mut self, entry: &Entry) -> io::Result<()> {
        let is_root = self.walk.depth() == 1;
        if is_root && self.skipped.iter().any(|name| name.as_bytes() == entry.name()) {
            return Ok(());
        }
        let Some(directory) = self.walk.directory() else { return Ok(()) };
        if entry.kind == libc::DT_DIR {
            return self.descend(entry);
        }
        let flags = AtFlags::AT_SYMLINK_NOFOLLOW | AtFlags::AT_NO_AUTOMOUNT;
        match fstatat(directory, entry.c_name(), flags) {
            Ok(found) if found.st_mode & libc::S_IFMT == libc::S_IFDIR => self.descend(entry),
            Ok(found) => {
                self.usage.names += 1;
                let links = found.st_nlink.max(1);
                self.add(u64::try_from(found.st_blocks).unwrap_or(0) * BLOCK / links);
                Ok(())
            }
            Err(error) if is_elsewhere(&error.into()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn descend(&mut self, entry: &Entry) -> io::Result<()> {
        if let Some(found) = self.walk.descend(entry)? {
            self.add_directory(&found);
        }
        Ok(())
    }

    fn add_directory(&mut self, found: &Metadata) {
        self.usage.names += 1;
        self.add(found.blocks() * BLOCK);
    }

    fn add(&mut self, bytes: u64) {
        self.usage.bytes = self.usage.bytes.saturating_add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::walk::{OPEN, deep};

    fn count(root: &Path, skipped: &[&str]) -> DiskUsage {
        let mut count = Count::begin(root, skipped).unwrap();
        while !count.step(3).unwrap() {}
        count.usage()
    }

    /// What du(1) would say: each file once, whatever number of names it has.
    fn du(path: &Path, seen: &mut HashSet<u64>) -> u64 {
        let found = fs::symlink_metadata(path).unwrap();
        let mut bytes = if seen.insert(found.ino()) { found.blocks() * 512 } else { 0 };
        if found.is_dir() {
            bytes += fs::read_dir(path).unwrap().map(|entry| du(&entry.unwrap().path(), seen)).sum::<u64>();
        }
        bytes
    }

    #[test]
    fn it_counts_what_du_counts_and_follows_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/large"), vec![1; 1 << 20]).unwrap();
        fs::write(root.join("a/file"), vec![1; 100_000]).unwrap();
        fs::hard_link(root.join("a/file"), root.join("a/b/other")).unwrap();
        fs::File::create(root.join("sparse")).unwrap().set_len(1 << 30).unwrap();
        symlink("../outside", root.join("out")).unwrap();
        symlink("../outside/large", root.join("a/large")).unwrap();
        let found = count(&root, &[]);
        assert_eq!((found.bytes, found.names), (du(&root, &mut HashSet::new()), 8));
        assert!(found.bytes < 1 << 20, "{found:?}");
        fs::create_dir(root.join("containers")).unwrap();
        fs::write(root.join("containers/theirs"), vec![1; 100_000]).unwrap();
        fs::create_dir(root.join("a/containers")).unwrap();
        assert_eq!(count(&root, &["containers"]).names, 9);
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let deepest = deep::make(dir.path(), 5000);
        assert_eq!(count(dir.path(), &[]).names, 10_001);
        deep::remove(deepest, 5000);
    }

    #[test]
    fn what_moves_away_meanwhile_leads_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let deep: std::path::PathBuf = std::iter::repeat_n("d", OPEN + 4).collect();
        fs::create_dir_all(root.join(&deep)).unwrap();
        fs::create_dir(dir.path().join("elsewhere")).unwrap();
        fs::write(dir.path().join("elsewhere/large"), vec![1; 1 << 20]).unwrap();
        let mut count = Count::begin(&root, &[]).unwrap();
        while count.walk.depth() < OPEN + 4 {
            assert!(!count.step(1).unwrap());
        }
        // The directory below the first that is not open any more goes where its parent is another.
        let moved: std::path::PathBuf = std::iter::repeat_n("d", 3).collect();
        fs::rename(root.join(moved), dir.path().join("elsewhere/d")).unwrap();
        while !count.step(1).unwrap() {}
        assert!(count.usage().bytes < 1 << 20, "{:?}", count.usage());
    }
}
