//! How old a sandbox is: since the end of what it was for, or since a later change.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use chapada_isolation::beneath;
use tokio::task::spawn_blocking;

/// Its owner may have set the time of the last change to one that has not come; then that of its last change of any kind counts,
/// which only the kernel sets. If that has not come either, the clock was set back, and it changed just now.
pub(super) fn age(metadata: &Metadata) -> Duration {
    let now = SystemTime::now();
    let since = |then: SystemTime| now.duration_since(then).ok();
    let inside = Duration::new(
        u64::try_from(metadata.ctime()).unwrap_or_default(),
        u32::try_from(metadata.ctime_nsec()).unwrap_or_default(),
    );
    let modified = metadata.modified().ok().and_then(since);
    modified.or_else(|| since(SystemTime::UNIX_EPOCH + inside)).unwrap_or_default()
}

/// Sandboxes whose ages are just being set. They stay until that is done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ages(Arc<Mutex<BTreeSet<PathBuf>>>);

impl Ages {
    /// Has the age of a sandbox begin now: what it was for has ended. To be called before anybody else may take it for over; the
    /// disk may stand still, so the caller does not wait for it.
    pub(crate) fn begin(&self, sandbox: PathBuf) {
        drop(spawn_blocking(self.setting(sandbox)));
    }

    /// What is to be done for that, and blocks.
    pub(super) fn setting(&self, sandbox: PathBuf) -> impl FnOnce() + Send + use<> {
        self.being_set().insert(sandbox.clone());
        let ages = self.clone();
        move || {
            from_now(&sandbox);
            ages.being_set().remove(&sandbox);
        }
    }

    pub(super) fn is_being_set(&self, sandbox: &Path) -> bool {
        self.being_set().contains(sandbox)
    }

    fn being_set(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has the age of a sandbox begin now that it is heard of the end of what it was for, unless it was heard of before. Blocks.
pub(crate) fn age_from_end(sandbox: &Path, ended: SystemTime) {
    let Ok(found) = fs::symlink_metadata(sandbox) else { return };
    let age = age(&found);
    if age > SystemTime::now().duration_since(ended).unwrap_or_default() {
        from_now(sandbox);
    }
}

/// Whatever its owner has put there is no other file's: only a directory that is reached through no link is touched. Blocks.
pub(super) fn from_now(sandbox: &Path) {
    let opened = beneath::directory_without_links(sandbox).map_err(|error| error.source);
    let begun = opened.and_then(|directory| directory.set_modified(SystemTime::now()));
    match begun {
        // There may have been none.
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %sandbox.display(), %error, "a sandbox may be removed too soon");
        }
        _ => {}
    }
}
