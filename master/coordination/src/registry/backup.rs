//! A registry as text: one JSON object a line, first what it is, then the records, last how many they are and a checksum.

use serde::{Deserialize, Serialize};

use super::{Record, RecordKey};

/// What the first line calls the format.
const FORMAT: &str = "chapada-registry";
/// The version written, and the newest that is read.
const VERSION: u32 = 1;

/// Everything that a registry holds, apart from where it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// What the records are, as [`Schema::name`](super::Schema::name).
    pub schema: String,
    /// In which version.
    pub version: u32,
    /// Of the last leader before it was taken; 0 when the registry had lost it.
    pub epoch: u64,
    /// When, in words for people.
    pub taken: String,
    /// Sorted.
    pub records: Vec<Record>,
}

/// Why a backup is not read. Nothing has been changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// Something else, or cut off within the first line.
    #[error("it is no export of a registry: {0}")]
    NoBackup(String),
    /// Written by a newer build.
    #[error("it is an export in version {found}, this build knows up to {known}: use a newer chapada")]
    NewerVersion {
        /// Its version.
        found: u32,
        /// The newest known here.
        known: u32,
    },
    /// A line that makes no sense.
    #[error("line {line} is damaged ({what}): use another backup")]
    BadLine {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// The last line is missing, or does not fit what stands before it.
    #[error("it is cut short or was changed ({0}): use another backup")]
    Incomplete(String),
}

#[derive(Serialize, Deserialize)]
struct First {
    format: String,
    format_version: u32,
    schema: String,
    schema_version: u32,
    epoch: u64,
    taken: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    kind: String,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    records: usize,
    crc32: u32,
}

impl Backup {
    /// As text, with a line break at its end.
    pub fn to_text(&self) -> String {
        let first = First {
            format: FORMAT.to_owned(),
            format_version: VERSION,
            schema: self.schema.clone(),
            schema_version: self.version,
            epoch: self.epoch,
            taken: self.taken.clone(),
        };
        let mut text = line(&first);
        for record in &self.records {
            let value = String::from_utf8(record.value.to_vec());
            let hex = value.as_ref().err().map(|_| to_hex(&record.value));
            let (kind, key) = (record.key.kind.clone(), record.key.key.clone());
            text += &line(&Line { kind, key, text: value.ok(), hex });
        }
        let last = Last { records: self.records.len(), crc32: crc32fast::hash(text.as_bytes()) };
        text + &line(&last)
    }

    /// Reads what [`Backup::to_text`] wrote.
    ///
    /// # Errors
    /// [`BackupError`] says what is wrong, and in which line.
    pub fn from_text(text: &str) -> Result<Self, BackupError> {
        let no_backup = |why: &str| BackupError::NoBackup(why.to_owned());
        let first_line = text.lines().next().ok_or_else(|| no_backup("it is empty"))?;
        let first: First = serde_json::from_str(first_line).map_err(|e| no_backup(&e.to_string()))?;
        if first.format != FORMAT {
            return Err(no_backup(&format!("its format is {:?}", first.format)));
        }
        if first.format_version > VERSION {
            return Err(BackupError::NewerVersion { found: first.format_version, known: VERSION });
        }
        let incomplete = |why: &str| BackupError::Incomplete(why.to_owned());
        let whole = text.strip_suffix('\n').ok_or_else(|| incomplete("its last line has no end"))?;
        let (before, last_line) = whole.rsplit_once('\n').ok_or_else(|| incomplete("it has one line"))?;
        let last: Last =
            serde_json::from_str(last_line).map_err(|_| incomplete("its last line is missing"))?;
        let mut records = Vec::with_capacity(last.records.min(1 << 16));
        for (number, text) in (1..).zip(before.lines()).skip(1) {
            records.push(record(text).map_err(|what| BackupError::BadLine { line: number, what })?);
        }
        if records.len() != last.records {
            return Err(incomplete(&format!("{} records of {}", records.len(), last.records)));
        }
        if crc32fast::hash(format!("{before}\n").as_bytes()) != last.crc32 {
            return Err(incomplete("its checksum does not fit"));
        }
        let First { schema, schema_version: version, epoch, taken, .. } = first;
        Ok(Self { schema, version, epoch, taken, records })
    }
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings and numbers always serialise") + "\n"
}

fn record(text: &str) -> Result<Record, String> {
    let line: Line = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let value = match (line.text, line.hex) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(hex)) => from_hex(&hex).ok_or("hex is no pairs of hexadecimal digits")?,
        (Some(_), Some(_)) | (None, None) => return Err("one of text and hex must be there".to_owned()),
    };
    Ok(Record { key: RecordKey { kind: line.kind, key: line.key }, value: value.into() })
}

fn to_hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    let pairs = digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    if digits.len().is_multiple_of(2) { pairs.collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup() -> Backup {
        let record = |kind: &str, key: &str, value: &[u8]| Record {
            key: RecordKey { kind: kind.to_owned(), key: key.to_owned() },
            value: value.into(),
        };
        Backup {
            schema: "a-test".to_owned(),
            version: 3,
            epoch: 7,
            taken: "today".to_owned(),
            records: vec![
                record("agents", "a", br#"{"x":1}"#),
                record("agents", "b\n", b"two\nlines"),
                record("bytes", "c", &[0xff, 0x00, 0x10]),
            ],
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let text = backup().to_text();
        assert_eq!(text.lines().count(), 5, "{text}");
        assert_eq!(Backup::from_text(&text), Ok(backup()));
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_refused() {
        let text = backup().to_text();
        for cut in 0..text.len() {
            assert!(Backup::from_text(&text[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
            let changed = String::from_utf8(bytes).expect("still ASCII");
            assert!(Backup::from_text(&changed).is_err(), "changed at {at}");
        }
    }

    #[test]
    fn what_is_none_and_what_is_newer_are_told_apart() {
        let error = Backup::from_text("{\"a\":1}\n").unwrap_err().to_string();
        assert!(error.contains("no export"), "{error}");
        let newer = backup().to_text().replace("\"format_version\":1", "\"format_version\":2");
        let error = Backup::from_text(&newer).unwrap_err().to_string();
        assert!(error.contains("newer chapada"), "{error}");
    }
}
