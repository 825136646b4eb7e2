//! A log that does not grow without end: the file that is written, and older ones beside it, `stdout.1` being the youngest.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use chapada_isolation::beneath;
use chapada_shim::LogLimits;
use nix::fcntl::renameat;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, unlinkat};

/// One log. The directory is the container's, and so is what it finds there: every name may be a link, or gone.
pub(crate) struct Log {
    directory: File,
    name: &'static str,
    file: File,
    bytes: u64,
    limits: LogLimits,
}

impl Log {
    /// Goes on with an open file.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn new(
        directory: File,
        name: &'static str,
        file: File,
        limits: LogLimits,
    ) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        Ok(Self { directory, name, file, bytes, limits })
    }

    /// Appends it all, in as many files as it takes. What a full disk does not take is lost: the container must not wait for
    /// room.
    pub(crate) fn append(&mut self, mut text: &[u8]) {
        while !text.is_empty() {
            let room = self.limits.bytes.saturating_sub(self.bytes);
            let fits = usize::try_from(room).unwrap_or(usize::MAX).min(text.len());
            // A line goes to the next file whole, if it is not longer than one.
            let whole_lines = text[..fits].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let now =
                if fits == text.len() || (whole_lines == 0 && self.bytes == 0) { fits } else { whole_lines };
            let (head, tail) = text.split_at(now);
            match self.file.write_all(head) {
                Ok(()) => self.bytes += now as u64,
                Err(_) => self.bytes = self.file.metadata().map_or(self.bytes, |metadata| metadata.len()),
            }
            text = tail;
            if !text.is_empty() {
                self.turn();
            }
        }
    }

    /// Goes on with whatever file has the name now, if it is a plain one; another process may have turned since.
    pub(crate) fn reopen(&mut self) {
        if let Ok(file) = beneath::log_file(&self.directory, self.name) {
            self.file = file;
        }
        self.bytes = self.file.metadata().map_or(self.bytes, |metadata| metadata.len());
    }

    /// Begins an empty file. What stands in the way of keeping the old one costs the old one.
    fn turn(&mut self) {
        if self.begin_next().is_err() {
            // Its size counts, whether or not it could be emptied, so that this ends.
            let _on_a_broken_disk = self.file.set_len(0);
        }
        self.bytes = 0;
    }

    fn begin_next(&mut self) -> io::Result<()> {
        let older = |age: u32| if age == 0 { self.name.to_owned() } else { format!("{}.{age}", self.name) };
        let here = self.directory.as_fd();
        if self.limits.files < 2 {
            return self.file.set_len(0);
        }
        for age in (0..self.limits.files - 1).rev() {
            match renameat(here, older(age).as_str(), here, older(age + 1).as_str()) {
                Err(nix::errno::Errno::ENOENT) => {}
                result => result?,
            }
        }
        let metadata = self.file.metadata()?;
        let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_EXCL;
        let open = || beneath::open(here, Path::new(self.name), flags, 0o644);
        let file = match open() {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                unlinkat(here, self.name, UnlinkatFlags::NoRemoveDir)?;
                open()
            }
            result => result,
        }?;
        fchown(&file, Some(Uid::from_raw(metadata.uid())), Some(Gid::from_raw(metadata.gid())))?;
        self.file = file;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn log(directory: &Path, bytes: u64, files: u32) -> Log {
        let opened = File::open(directory).unwrap();
        let file = beneath::log_file(&opened, "stdout").unwrap();
        Log::new(opened, "stdout", file, LogLimits { bytes, files }).unwrap()
    }

    fn texts(directory: &Path) -> Vec<(String, String)> {
        let mut found: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        found.sort();
        found
    }

    fn expected(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn lines_stay_whole_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 8, 3);
        for text in ["one\ntwo\n", "three\nfo", "ur\n", "five\n", "six\n"] {
            log.append(text.as_bytes());
        }
        // "fo" was there before its end came.
        let files = [("stdout", "six\n"), ("stdout.1", "ur\nfive\n"), ("stdout.2", "three\nfo")];
        assert_eq!(texts(dir.path()), expected(&files));
    }

    #[test]
    fn a_line_longer_than_a_file_is_cut_and_nothing_is_longer_than_allowed() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path(), 4, 2).append(b"0123456789");
        assert_eq!(texts(dir.path()), expected(&[("stdout", "89"), ("stdout.1", "4567")]));
    }

    #[test]
    fn one_file_is_emptied() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path(), 4, 1).append(b"abc\ndef\n");
        assert_eq!(texts(dir.path()), expected(&[("stdout", "def\n")]));
    }

    #[test]
    fn what_was_there_counts() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("stdout"), "old\n").unwrap();
        log(dir.path(), 6, 2).append(b"new\n");
        assert_eq!(texts(dir.path()), expected(&[("stdout", "new\n"), ("stdout.1", "old\n")]));
    }

    #[test]
    fn links_and_directories_in_the_way_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let (sandbox, victim) = (dir.path().join("sandbox"), dir.path().join("victim"));
        fs::create_dir(&sandbox).unwrap();
        fs::write(&victim, "safe").unwrap();
        let mut log = log(&sandbox, 4, 2);
        log.append(b"abc\n");
        fs::remove_file(sandbox.join("stdout")).unwrap();
        symlink(&victim, sandbox.join("stdout")).unwrap();
        log.append(b"def\n");
        assert_eq!(fs::read_to_string(sandbox.join("stdout")).unwrap(), "def\n");
        assert!(fs::symlink_metadata(sandbox.join("stdout.1")).unwrap().is_symlink());
        fs::remove_file(sandbox.join("stdout.1")).unwrap();
        fs::create_dir_all(sandbox.join("stdout.1/full")).unwrap();
        log.append(b"ghi\n");
        assert_eq!(fs::read_to_string(sandbox.join("stdout")).unwrap(), "ghi\n");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "safe");
    }
}
