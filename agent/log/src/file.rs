//! The log's file: opened, read back, appended to, replaced by a shorter one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use chapada_agent_core::Record;

use super::{LogError, frame, record};

const MAGIC: [u8; 8] = *b"CHPDALOG";
/// Format of the file. Raise it when a record changes its meaning.
const VERSION: u32 = 1;
const HEADER: u64 = 12;
/// So much is kept on the disk beyond the end, so that what others fill it with does not keep an agent from writing down, and
/// saying, how they end.
const AHEAD: u64 = 1024 * 1024;

/// What makes all that was written to a file durable.
pub type Sync = fn(&File) -> io::Result<()>;

/// An open log, positioned at its end.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    /// Everything up to here is sound and on disk.
    length: u64,
    frames: u32,
    sync: Sync,
    /// Up to here the disk has room for it.
    reserved: u64,
}

impl LogFile {
    /// Opens or makes the log and reads it back, oldest record first. A torn end, which is what a crash in the middle
    /// of a write leaves, is cut off.
    ///
    /// # Errors
    /// [`LogError`] in one sentence with its remedy; the file is then as it was.
    pub fn open(path: &Path) -> Result<(Self, Vec<Record>), LogError> {
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let mut file = opened.map_err(LogError::io("open", path))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(LogError::io("read", path))?;
        let mut log =
            Self { path: path.to_owned(), file, length: 0, frames: 0, sync: File::sync_data, reserved: 0 };
        if (bytes.len() as u64) < HEADER && MAGIC.starts_with(&bytes[..bytes.len().min(MAGIC.len())]) {
            log.begin()?;
            return Ok((log, Vec::new()));
        }
        let records = log.read_frames(&bytes)?;
        // What was reserved before is still there, even on a disk that others have filled.
        log.reserve(0);
        Ok((log, records))
    }

    /// Makes records durable by this instead of the kernel's own call: for disks that are slower than the one at hand.
    #[must_use]
    pub fn with_sync(self, sync: Sync) -> Self {
        Self { sync, ..self }
    }

    /// Appends one frame with these encoded records and waits until it is on disk.
    pub(crate) fn append(&mut self, body: &[u8]) -> Result<(), LogError> {
        let mut bytes = Vec::with_capacity(body.len() + frame::HEADER);
        frame::write(&mut bytes, self.frames + 1, body);
        self.reserve(bytes.len() as u64);
        let written = self.file.write_all(&bytes).and_then(|()| (self.sync)(&self.file));
        if let Err(source) = written {
            // What a half-written frame left must not stand before the next one.
            self.file.set_len(self.length).map_err(LogError::io("shorten", &self.path))?;
            self.reserved = self.length;
            self.seek_end()?;
            return Err(LogError::Io { operation: "write", path: self.path.clone(), source });
        }
        self.length += bytes.len() as u64;
        self.frames += 1;
        Ok(())
    }

    /// Replaces the log by one that holds these records alone, whole or not at all.
    pub(crate) fn replace(&mut self, bodies: &[Vec<u8>]) -> Result<(), LogError> {
        let beside = self.path.with_extension("log.new");
        let replaced = self.replace_by(&beside, bodies);
        if replaced.is_err() {
            // It may be there or not; the next attempt begins it anew.
            let _half_written = fs::remove_file(&beside);
        }
        replaced
    }

    fn replace_by(&mut self, beside: &Path, bodies: &[Vec<u8>]) -> Result<(), LogError> {
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(beside);
        let file = opened.map_err(LogError::io("create", beside))?;
        let mut fresh =
            Self { path: beside.to_owned(), file, length: 0, frames: 0, sync: self.sync, reserved: 0 };
        fresh.begin()?;
        bodies.iter().try_for_each(|body| fresh.append(body))?;
        fs::rename(beside, &self.path).map_err(LogError::io("replace", &self.path))?;
        fresh.path = self.path.clone();
        fresh.sync_directory()?;
        *self = fresh;
        Ok(())
    }

    /// Takes room for these many more bytes and some beyond, while the disk has it. Where it has not, or cannot do that, writing
    /// shows whether there is enough.
    fn reserve(&mut self, more: u64) {
        if self.length + more <= self.reserved {
            return;
        }
        let to = self.length + more + AHEAD;
        let beyond = rustix::fs::FallocateFlags::KEEP_SIZE;
        if rustix::fs::fallocate(&self.file, beyond, self.length, to - self.length).is_ok() {
            self.reserved = to;
        }
    }

    /// Bytes on disk.
    pub fn length(&self) -> u64 {
        self.length
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.file.set_len(0).map_err(LogError::io("empty", &self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(LogError::io("seek in", &self.path))?;
        let written = self.file.write_all(&header()).and_then(|()| self.file.sync_data());
        written.map_err(LogError::io("write", &self.path))?;
        self.length = HEADER;
        self.sync_directory()
    }

    fn sync_directory(&self) -> Result<(), LogError> {
        let Some(directory) = self.path.parent() else { return Ok(()) };
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(LogError::io("sync", directory))
    }

    fn read_frames(&mut self, bytes: &[u8]) -> Result<Vec<Record>, LogError> {
        let contents = contents(&self.path, bytes)?;
        if contents.length < bytes.len() {
            let (path, offset) = (self.path.display(), contents.length);
            tracing::warn!(%path, offset, "cut off a write that a crash interrupted");
            // This gives back what is reserved, too, so it is not done without need.
            let shortened = self.file.set_len(contents.length as u64);
            shortened.map_err(LogError::io("shorten", &self.path))?;
        }
        self.length = contents.length as u64;
        self.frames = contents.frames;
        self.seek_end()?;
        Ok(contents.records)
    }

    fn seek_end(&mut self) -> Result<(), LogError> {
        let sought = self.file.seek(SeekFrom::Start(self.length));
        sought.map(drop).map_err(LogError::io("seek in", &self.path))
    }
}

/// What is sound in the bytes of a log.
#[derive(Debug)]
pub struct Contents {
    /// Oldest first.
    pub records: Vec<Record>,
    /// Everything up to here is sound; what follows is a torn end.
    length: usize,
    frames: u32,
}

/// Reads the bytes of a log; `path` names it in errors.
///
/// # Errors
/// [`LogError`] says why these bytes are no log of ours, or are damaged.
pub fn contents(path: &Path, bytes: &[u8]) -> Result<Contents, LogError> {
    check_header(path, bytes)?;
    let corrupt = |at: usize| LogError::Corrupt { path: path.to_owned(), offset: at as u64 };
    let mut contents = Contents { records: Vec::new(), length: HEADER as usize, frames: 0 };
    while contents.length < bytes.len() {
        let at = contents.length;
        match frame::read(&bytes[at..]) {
            Some((number, body)) if number == contents.frames + 1 => {
                let unreadable = || LogError::Unreadable { path: path.to_owned(), offset: at as u64 };
                contents.records.extend(record::decode_all(body).ok_or_else(unreadable)?);
                contents.length += frame::HEADER + body.len();
                contents.frames = number;
            }
            Some(_) => return Err(corrupt(at)),
            None if frame::any_after(&bytes[at..], contents.frames + 1) => return Err(corrupt(at)),
            None => break,
        }
    }
    Ok(contents)
}

/// The bytes of a log with these records, each in a frame of its own.
pub fn written(records: &[Record]) -> Vec<u8> {
    let mut bytes = header();
    for (record, number) in records.iter().zip(1..) {
        let mut body = Vec::new();
        record::encode(record, &mut body);
        frame::write(&mut bytes, number, &body);
    }
    bytes
}

fn header() -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&VERSION.to_le_bytes());
    header
}

fn check_header(path: &Path, bytes: &[u8]) -> Result<(), LogError> {
    let header = bytes.get(..HEADER as usize).filter(|header| header[..8] == MAGIC);
    let Some(header) = header else { return Err(LogError::NotALog(path.to_owned())) };
    let version = u32::from_le_bytes(header[8..12].try_into().expect("four bytes"));
    if version > VERSION {
        return Err(LogError::Newer { path: path.to_owned(), version, known: VERSION });
    }
    Ok(())
}
