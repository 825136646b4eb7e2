//! Reading plain files piece by piece.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};

use super::{FileError, Files, Place};

/// The most that is read at once. Source: link.proto; also Mesos' sixteen pages.
pub(crate) const CHUNK: usize = 64 * 1024;

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) offset: u64,
    pub(crate) data: Vec<u8>,
    /// The file's size when the piece was read.
    pub(crate) size: u64,
}

/// An open plain file.
#[derive(Debug)]
pub(crate) struct Reader {
    file: File,
    shown: String,
}

impl Files {
    /// Opens a plain file. Blocks.
    pub(crate) fn reader(&self, place: &Place) -> Result<Reader, FileError> {
        let failed = |error| FileError::of(&place.shown, error);
        if !self.look(place)?.metadata().map_err(failed)?.is_file() {
            return Err(FileError::NotAFile(place.shown.clone()));
        }
        let file = self.open_file(place)?;
        // Between the two looks it may have become something else.
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(FileError::NotAFile(place.shown.clone()));
        }
        Ok(Reader { file, shown: place.shown.clone() })
    }
}

/// What tells a file from all others, whatever its name.
pub(super) type Identity = (u64, u64);

impl Reader {
    /// Which file it is.
    pub(super) fn identity(&self) -> Result<Identity, FileError> {
        let metadata = self.file.metadata().map_err(|error| FileError::of(&self.shown, error))?;
        Ok((metadata.dev(), metadata.ino()))
    }

    /// The file's size now, in bytes.
    pub(crate) fn size(&self) -> Result<u64, FileError> {
        let metadata = self.file.metadata().map_err(|error| FileError::of(&self.shown, error))?;
        Ok(metadata.len())
    }

    /// Reads at most `length` bytes, and at most [`CHUNK`], from `offset` on. Blocks.
    pub(crate) fn read(&self, offset: u64, length: u64) -> Result<Chunk, FileError> {
        let size = self.size()?;
        let wanted = length.min(CHUNK as u64).min(size.saturating_sub(offset));
        let mut data = vec![0; usize::try_from(wanted).unwrap_or(CHUNK)];
        let mut filled = 0;
        while filled < data.len() {
            let read = self.file.read_at(&mut data[filled..], offset + filled as u64);
            match read.map_err(|error| FileError::of(&self.shown, error))? {
                0 => break,
                more => filled += more,
            }
        }
        data.truncate(filled);
        Ok(Chunk { offset, data, size })
    }
}
