//! Counts what is written, and ends it when it is too much.

use std::io::{self, Read, Write};

use crate::error::FetchError;
use crate::order::Limits;

/// What may still be written.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: Limits,
    bytes: u64,
    entries: u64,
}

impl Meter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, bytes: 0, entries: 0 }
    }

    pub(crate) fn stall_seconds(&self) -> u64 {
        self.limits.stall_seconds
    }

    /// Before this many more bytes are written.
    pub(crate) fn add_bytes(&mut self, count: u64) -> Result<(), FetchError> {
        self.bytes = self.bytes.saturating_add(count);
        let most = self.limits.bytes;
        (self.bytes <= most).then_some(()).ok_or_else(|| {
            FetchError::TooMuch(format!("it is more than the {most} bytes that may be fetched"))
        })
    }

    /// Before another file, directory or link is made.
    pub(crate) fn add_entry(&mut self) -> Result<(), FetchError> {
        self.entries += 1;
        let most = self.limits.entries;
        (self.entries <= most).then_some(()).ok_or_else(|| {
            FetchError::TooMuch(format!("it has more than the {most} entries that may be unpacked"))
        })
    }

    /// Copies all there is.
    pub(crate) fn copy(
        &mut self,
        from: &mut impl Read,
        to: &mut impl Write,
        mut seen: impl FnMut(&[u8]),
    ) -> Result<(), FetchError> {
        let mut piece = vec![0; 64 * 1024];
        loop {
            let count = match from.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(FetchError::io("cannot read it")(error)),
            };
            self.add_bytes(count as u64)?;
            seen(&piece[..count]);
            to.write_all(&piece[..count]).map_err(FetchError::io("cannot write to the sandbox"))?;
        }
    }
}
