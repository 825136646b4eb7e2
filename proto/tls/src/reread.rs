//! What is made of files, made again when they change.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::config::TlsFiles;
use crate::error::TlsError;

/// How often the files are looked at, at most, when somebody asks.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

type Make<T> = Box<dyn Fn(&TlsFiles) -> Result<T, TlsError> + Send + Sync>;

/// Made of the files that a configuration names. What files that are broken would replace stays.
pub(crate) struct Reread<T> {
    files: TlsFiles,
    make: Make<T>,
    every: Duration,
    now: ArcSwap<T>,
    looked: Mutex<Looked>,
}

struct Looked {
    at: Instant,
    seen: Vec<Option<Stamp>>,
    /// Why the files could not be taken the last time.
    wrong: Option<String>,
}

/// What is different of a file that was replaced or written to.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl<T> Reread<T> {
    pub(crate) fn new(files: TlsFiles, every: Duration, make: Make<T>) -> Result<Self, TlsError> {
        // Looked at before they are read: whatever changes in between is seen the next time.
        let looked = Looked { at: Instant::now(), seen: stamps(&files), wrong: None };
        let now = ArcSwap::from_pointee(make(&files)?);
        Ok(Self { files, make, every, now, looked: Mutex::new(looked) })
    }

    /// As the files have it now, or had it last when they were whole.
    pub(crate) fn now(&self) -> Arc<T> {
        self.look();
        self.now.load_full()
    }

    fn look(&self) {
        let mut looked = match self.looked.try_lock() {
            Ok(looked) => looked,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Somebody looks already.
            Err(TryLockError::WouldBlock) => return,
        };
        if looked.at.elapsed() < self.every {
            return;
        }
        looked.at = Instant::now();
        let seen = stamps(&self.files);
        if looked.seen == seen {
            return;
        }
        let made = (self.make)(&self.files);
        if !matches!(made, Err(TlsError::Read { .. })) {
            looked.seen = seen;
        }
        let wrong = match made {
            Ok(made) => {
                self.now.store(Arc::new(made));
                tracing::info!("certificates were read again");
                None
            }
            Err(error) => Some(error.to_string()),
        };
        // What cannot be read is tried again and again, and said once.
        if let Some(error) = wrong.as_ref().filter(|_| looked.wrong != wrong) {
            tracing::warn!(error, "the former certificates stay in use");
        }
        looked.wrong = wrong;
    }
}

impl<T> std::fmt::Debug for Reread<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reread").field("files", &self.files).finish_non_exhaustive()
    }
}

fn stamps(files: &TlsFiles) -> Vec<Option<Stamp>> {
    let stamp = |path| {
        let about = fs::metadata(path).ok()?;
        let changed = (about.ctime(), about.ctime_nsec());
        Some(Stamp { inode: about.ino(), bytes: about.size(), changed })
    };
    files.all().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_change_are_read_again_and_broken_ones_are_not_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let [file, next] = ["file", "next"].map(|name| folder.path().join(name));
        let files = TlsFiles { tls_ca: Some(file.clone()), ..TlsFiles::default() };
        let make: Make<String> = Box::new(|files| {
            let text = files.all().map(|path| fs::read_to_string(path).unwrap_or_default()).collect();
            let broken = || TlsError::Together { given: "this", missing: "that" };
            Some(text).filter(|text: &String| text.starts_with("good")).ok_or_else(broken)
        });
        fs::write(&file, "good 1").expect("a file");
        let reread = Reread::new(files, Duration::ZERO, make).expect("a good file");
        for (text, wanted) in [
            (Some("good 1"), "good 1"),
            (Some("good 2"), "good 2"),
            (Some("bad"), "good 2"),
            (None, "good 2"),
            (Some("good 3"), "good 3"),
        ] {
            match text {
                Some(text) => fs::write(&next, text).and_then(|()| fs::rename(&next, &file)),
                None => fs::remove_file(&file),
            }
            .expect("our own file");
            assert_eq!(*reread.now(), wanted);
        }
    }

    #[test]
    fn files_that_could_not_be_read_for_a_moment_are_tried_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        let files = TlsFiles { tls_ca: Some(file.clone()), ..TlsFiles::default() };
        let tries = std::sync::atomic::AtomicUsize::new(0);
        let make: Make<usize> =
            Box::new(move |files| match tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                1 => {
                    let path = files.all().next().expect("it is named").to_owned();
                    let source = std::io::ErrorKind::ResourceBusy.into();
                    Err(TlsError::Read { flag: "--tls-ca", path, source })
                }
                tries => Ok(tries),
            });
        fs::write(&file, "before").expect("a file");
        let reread = Reread::new(files, Duration::ZERO, make).expect("a good file");
        fs::write(&file, "renewed").expect("our own file");
        assert_eq!((*reread.now(), *reread.now(), *reread.now()), (0, 2, 2));
    }
}
