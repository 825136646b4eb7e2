//! Reads and writes the small text files of a cgroup directory; every error names the path.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::{Context, IsolationError};

const PAGE: usize = 8192;

/// Writes `value` in one system call. The file must be there already: the kernel made it with the directory.
pub(super) fn write(directory: &Path, name: &str, value: &str) -> Result<(), IsolationError> {
    let path = directory.join(name);
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&path)
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .context("write", format_args!("{value} to {}", path.display()))
}

/// As [`write()`], but a file that is not there (a kernel without the feature) is passed over.
pub(super) fn write_if_present(directory: &Path, name: &str, value: &str) -> Result<(), IsolationError> {
    match write(directory, name, value) {
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// The file's text, or `None` when the group or the file is gone.
pub(super) fn read(directory: &Path, name: &str) -> Result<Option<String>, IsolationError> {
    let path = directory.join(name);
    match read_small(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error).context("read", path.display()),
    }
}

/// What the kernel makes afresh for a reader, it hands out by the page: less than one is all there is. To know that saves two
/// of five system calls, of which a listing of containers is made.
fn read_small(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut page = [0; PAGE];
    let length = file.read(&mut page)?;
    let mut bytes = page[..length].to_vec();
    if length > PAGE / 2 {
        file.read_to_end(&mut bytes)?;
    }
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// A file of one number. `None` when it is gone, or says `max`.
pub(super) fn read_number(directory: &Path, name: &str) -> Result<Option<u64>, IsolationError> {
    Ok(read(directory, name)?.and_then(|text| text.trim().parse().ok()))
}

/// The value of `key` in a file of `key value` lines.
pub(super) fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Whether the error says that the group was removed meanwhile.
pub(super) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_matches_its_whole_key() {
        let text = "oom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(field(text, "oom_kill"), Some(2));
        assert_eq!(field(text, "oom"), Some(3));
        assert_eq!(field(text, "kill"), None);
    }

    #[test]
    fn an_error_names_the_path_and_the_value() {
        let dir = tempfile::tempdir().unwrap();
        let error = write(dir.path(), "cpu.max", "max").unwrap_err();
        assert!(error.to_string().contains("max to "), "{error}");
        assert!(error.to_string().ends_with("/cpu.max"), "{error}");
        assert!(write_if_present(dir.path(), "cpu.max", "max").is_ok());
        assert_eq!(read(dir.path(), "cpu.max").unwrap(), None);
    }
}
