//! From the bytes of a layer to files in a directory of their own. The bytes are a stranger's: nothing in them leads out of
//! the directory, and nothing in them takes more than it may.

mod budget;
mod decompress;
mod entries;
mod marks;
mod path;
mod tree;
mod xattr;

pub(crate) use budget::{Budget, StopWhenDropped, Watch};
pub(crate) use marks::{Format, Mark, read_implicit, read_marks};
pub(crate) use xattr::copy as copy_xattrs;

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::syncfs;

use crate::digest::Digest;
use budget::Metered;
use entries::for_each;
use tree::Tree;

/// The name of the directory with the files, in a layer's own.
pub(crate) const FILES: &str = "files";

/// Why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// Something in it that is refused.
    #[error("it has {path:?}, {reason}")]
    Refused {
        /// The name in the archive.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It takes more than it may.
    #[error("it is larger than allowed: more than {limit} {what}")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: u64,
    },
    /// It is not what the image's configuration says.
    #[error("its content is {found}, and the configuration says {expected}")]
    WrongContent {
        /// Its sum.
        found: Digest,
        /// What it should be.
        expected: Digest,
    },
    /// The archive is broken, or the disk is full.
    #[error("cannot unpack {path:?}")]
    Io {
        /// The name in the archive, empty for the archive itself.
        path: String,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// Nobody wants it any more.
    #[error("nobody waits for it any more")]
    Cancelled,
}

impl UnpackError {
    fn refused(path: &[u8], reason: &'static str) -> Self {
        Self::Refused { path: String::from_utf8_lossy(path).into_owned(), reason }
    }

    fn io(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().display().to_string();
        move |source| match budget::Stopped::of(&source) {
            Some(budget::Stopped::TooLarge { what, limit }) => Self::TooLarge { what, limit },
            Some(budget::Stopped::Cancelled) => Self::Cancelled,
            None => Self::Io { path, source },
        }
    }
}

/// Unpacks a layer, packed in any of the ways images use, into `directory`, which is made, and sees it to the disk. What is
/// left there after an error is to be removed.
///
/// # Errors
/// [`UnpackError`].
pub(crate) fn unpack(
    packed: impl Read,
    diff_id: &Digest,
    directory: &Path,
    format: Format,
    budget: &Budget,
    watch: &Watch,
) -> Result<(), UnpackError> {
    fs::create_dir_all(directory.join(FILES)).map_err(UnpackError::io(directory))?;
    let mut tree = Tree::open(directory, format).map_err(UnpackError::io(directory))?;
    let reader = decompress::reader(packed).map_err(UnpackError::io(""))?;
    let mut metered = Metered::new(reader, diff_id.summing(), budget, watch);
    for_each(&mut metered, |entry, body| {
        budget.count_entry(entry.path.len()).map_err(UnpackError::io(""))?;
        tree.add(&entry, body)
    })?;
    // What follows the end of the archive is part of the sum.
    io::copy(&mut metered, &mut io::sink()).map_err(UnpackError::io(""))?;
    let found = metered.sum();
    if found != *diff_id {
        return Err(UnpackError::WrongContent { found, expected: diff_id.clone() });
    }
    let root = tree.finish().map_err(UnpackError::io(directory))?;
    syncfs(root).map_err(|error| UnpackError::io(directory)(error.into()))
}

/// Unpacks any archive in the same way, with nothing to compare it with.
///
/// # Errors
/// [`UnpackError`].
pub(crate) fn archive(
    packed: impl Read,
    directory: &Path,
    format: Format,
    budget: &Budget,
    watch: &Watch,
) -> Result<(), UnpackError> {
    fs::create_dir_all(directory.join(FILES)).map_err(UnpackError::io(directory))?;
    let mut tree = Tree::open(directory, format).map_err(UnpackError::io(directory))?;
    let reader = decompress::reader(packed).map_err(UnpackError::io(""))?;
    let mut metered = Metered::new(reader, Digest::of(b"").summing(), budget, watch);
    for_each(&mut metered, |entry, body| {
        budget.count_entry(entry.path.len()).map_err(UnpackError::io(""))?;
        tree.add(&entry, body)
    })?;
    tree.finish().map(drop).map_err(UnpackError::io(directory))
}

#[cfg(test)]
mod tests;
