//! RecordIO: each record is its length in decimal digits, a line feed, and that many bytes.
//!
//! How a connection cuts the stream means nothing: [`Decoder`] takes any split. For clients that expect one HTTP
//! chunk a record, [`frame`] puts length and body into one piece.

use bytes::{Buf as _, Bytes, BytesMut};

/// Longest length line: the digits of the largest u64.
const MAX_LENGTH_DIGITS: usize = 20;

/// One record, ready to be sent.
#[must_use]
pub fn frame(record: &[u8]) -> Bytes {
    let mut framed = Vec::with_capacity(record.len() + MAX_LENGTH_DIGITS + 1);
    framed.extend_from_slice(record.len().to_string().as_bytes());
    framed.push(b'\n');
    framed.extend_from_slice(record);
    framed.into()
}

/// Why a stream is no stream of records. Nothing after it can be made out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A record must begin with its length.
    #[error("expected the length of a record in decimal digits, found byte 0x{0:02x}")]
    NotALength(u8),
    /// More digits than a length can have.
    #[error("the length of a record has more than {MAX_LENGTH_DIGITS} digits")]
    LengthTooLong,
    /// The record is longer than the reader accepts.
    #[error("a record of {length} bytes is longer than the {limit} bytes accepted")]
    TooLong {
        /// What the length line says.
        length: u64,
        /// What the decoder was made for.
        limit: usize,
    },
    /// The stream ended within a record.
    #[error("the stream ended within a record")]
    Truncated,
}

/// Takes a byte stream apart into records. Empty lines between records are skipped, and so is a carriage return
/// before the line feed.
#[derive(Debug)]
pub struct Decoder {
    max_record: usize,
    buffer: BytesMut,
    /// Length of the record being awaited, once its line is complete.
    expected: Option<usize>,
    broken: Option<RecordError>,
}

impl Decoder {
    /// A decoder that refuses records of more than `max_record` bytes.
    #[must_use]
    pub fn new(max_record: usize) -> Self {
        Self { max_record, buffer: BytesMut::new(), expected: None, broken: None }
    }

    /// Adds bytes as they came in. Take out the records with [`next_record`](Self::next_record) before adding more,
    /// so that no more than one record and one piece are held.
    pub fn push(&mut self, piece: &[u8]) {
        if self.broken.is_none() {
            self.buffer.extend_from_slice(piece);
        }
    }

    /// The next complete record, or nothing until more bytes come.
    ///
    /// # Errors
    /// [`RecordError`] when the bytes are no records; the same again at every later call.
    pub fn next_record(&mut self) -> Result<Option<Bytes>, RecordError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let record = self.try_next();
        if let Err(error) = &record {
            self.broken = Some(error.clone());
            self.buffer = BytesMut::new();
        }
        record
    }

    /// To be called at the end of the stream.
    ///
    /// # Errors
    /// [`RecordError::Truncated`] when a record is incomplete.
    pub fn finish(&self) -> Result<(), RecordError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let blank = self.buffer.iter().all(|byte| matches!(byte, b'\n' | b'\r'));
        if self.expected.is_none() && blank { Ok(()) } else { Err(RecordError::Truncated) }
    }

    fn try_next(&mut self) -> Result<Option<Bytes>, RecordError> {
        loop {
            let length = match self.expected {
                Some(length) => length,
                None => match self.length_line()? {
                    Some(length) => length,
                    None => return Ok(None),
                },
            };
            if self.buffer.len() < length {
                self.expected = Some(length);
                return Ok(None);
            }
            self.expected = None;
            let record = self.buffer.split_to(length).freeze();
            // A length of 0 carries nothing; senders use none, and readers of Mesos' streams skip it.
            if length > 0 {
                return Ok(Some(record));
            }
        }
    }

    fn length_line(&mut self) -> Result<Option<usize>, RecordError> {
        let blank = self.buffer.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        self.buffer.advance(blank);
        let mut length: u64 = 0;
        for (position, byte) in self.buffer.iter().enumerate() {
            match byte {
                b'0'..=b'9' if position >= MAX_LENGTH_DIGITS => return Err(RecordError::LengthTooLong),
                b'0'..=b'9' => length = length.saturating_mul(10).saturating_add(u64::from(byte - b'0')),
                b'\r' if position > 0 => {}
                b'\n' => {
                    let length = self.within_limit(length)?;
                    self.buffer.advance(position + 1);
                    return Ok(Some(length));
                }
                other => return Err(RecordError::NotALength(*other)),
            }
        }
        Ok(None)
    }

    fn within_limit(&self, length: u64) -> Result<usize, RecordError> {
        match usize::try_from(length) {
            Ok(fits) if fits <= self.max_record => Ok(fits),
            _ => Err(RecordError::TooLong { length, limit: self.max_record }),
        }
    }
}
