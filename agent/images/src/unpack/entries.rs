//! The entries of a tar archive, with the extensions that image builders write. The extensions are read here and not by the
//! `tar` crate, which takes them into memory whatever their size, and splits binary attributes at line ends.

use std::borrow::Cow;
use std::io::{self, Read};

use tar::{Archive, EntryType, Header};

use super::UnpackError;
use super::xattr::PREFIX;

/// A path of the kernel's, and some room for the zero at the end.
const MAX_NAME: u64 = 4096 + 1;
/// Extended attributes are at most 64 KiB each; nobody has many.
const MAX_EXTENSION: u64 = 1 << 20;

/// One file, or what takes its place.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds since 1970, and nanoseconds.
    pub(super) modified: (i64, u32),
    pub(super) xattrs: Vec<(String, Vec<u8>)>,
}

#[derive(Debug)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink(Vec<u8>),
    HardLink(Vec<u8>),
    Fifo,
    Device,
}

/// What the headers before an entry say about it.
#[derive(Debug, Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    modified: Option<(i64, u32)>,
    xattrs: Vec<(String, Vec<u8>)>,
}

/// Hands each entry with its content to `take`, until the end of the archive or the first error.
pub(super) fn for_each(
    reader: &mut impl Read,
    mut take: impl FnMut(Entry, &mut dyn Read) -> Result<(), UnpackError>,
) -> Result<(), UnpackError> {
    let mut archive = Archive::new(reader);
    let mut extensions = Extensions::default();
    for found in archive.entries().map_err(UnpackError::io(""))?.raw(true) {
        let mut found = found.map_err(UnpackError::io(""))?;
        match found.header().entry_type() {
            EntryType::GNULongName => extensions.path = Some(name(&mut found)?),
            EntryType::GNULongLink => extensions.link = Some(name(&mut found)?),
            EntryType::XHeader => {
                let records = bounded(&mut found, MAX_EXTENSION)?;
                extensions.read(&records).map_err(|reason| UnpackError::refused(b"an extension", reason))?;
            }
            // A note about the whole archive; what `git archive` writes.
            EntryType::XGlobalHeader => {}
            _ => {
                let entry = entry(found.header(), std::mem::take(&mut extensions))?;
                take(entry, &mut found)?;
            }
        }
    }
    Ok(())
}

fn name(entry: &mut impl Read) -> Result<Vec<u8>, UnpackError> {
    let mut name = bounded(entry, MAX_NAME)?;
    if name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

fn bounded(entry: &mut impl Read, limit: u64) -> Result<Vec<u8>, UnpackError> {
    let mut bytes = Vec::new();
    let read = entry.take(limit + 1).read_to_end(&mut bytes).map_err(UnpackError::io(""))?;
    if read as u64 > limit {
        return Err(UnpackError::TooLarge { what: "bytes of a name or an attribute", limit });
    }
    Ok(bytes)
}

fn entry(header: &Header, extensions: Extensions) -> Result<Entry, UnpackError> {
    let path = extensions.path.unwrap_or_else(|| header.path_bytes().into_owned());
    let shown = path.clone();
    let refuse = |reason| UnpackError::refused(&shown, reason);
    let broken =
        |source: io::Error| UnpackError::Io { path: String::from_utf8_lossy(&shown).into_owned(), source };
    // The two would put the next header at different places, so that two readers see two archives.
    let size = header.entry_size().map_err(&broken)?;
    if extensions.size.is_some_and(|other| other != size) {
        return Err(refuse("whose two sizes differ"));
    }
    let link = || {
        let own = header.link_name_bytes().map(Cow::into_owned);
        extensions.link.clone().or(own).ok_or_else(|| refuse("a link to nothing"))
    };
    let kind = match header.entry_type() {
        // As archives older than the type did.
        EntryType::Regular | EntryType::Continuous if path.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink(link()?),
        EntryType::Link => Kind::HardLink(link()?),
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char | EntryType::Block => Kind::Device,
        _ => return Err(refuse("of a kind that is not known")),
    };
    let id = |extended: Option<u64>, own: io::Result<u64>| {
        let id = extended.map_or(own, Ok).map_err(&broken)?;
        let id = u32::try_from(id).ok().filter(|id| *id != u32::MAX);
        id.ok_or_else(|| refuse("whose owner is no user id"))
    };
    let modified =
        extensions.modified.map_or_else(|| header.mtime().map(|time| (time, 0)), |(s, n)| Ok((s as u64, n)));
    let (seconds, nanoseconds) = modified.map_err(&broken)?;
    Ok(Entry {
        kind,
        mode: header.mode().map_err(&broken)? & 0o7777,
        uid: id(extensions.uid, header.uid())?,
        gid: id(extensions.gid, header.gid())?,
        modified: (seconds as i64, nanoseconds),
        xattrs: extensions.xattrs,
        path,
    })
}

impl Extensions {
    /// Reads records of `length key=value\n`; the length is that of the whole record, so that values may hold anything.
    fn read(&mut self, mut records: &[u8]) -> Result<(), &'static str> {
        while let Some(space) = records.iter().position(|byte| *byte == b' ') {
            let length = number(&records[..space]).ok_or("which is broken")?;
            let record = records.get(space + 1..length as usize).ok_or("which is broken")?;
            records = &records[length as usize..];
            let record = record.strip_suffix(b"\n").ok_or("which is broken")?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or("which is broken")?;
            self.note(&record[..equals], &record[equals + 1..])?;
        }
        Ok(())
    }

    fn note(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let count = || number(value).map(Some).ok_or("which has a broken number");
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = count()?,
            b"uid" => self.uid = count()?,
            b"gid" => self.gid = count()?,
            b"mtime" => self.modified = time(value),
            key if key.starts_with(b"GNU.sparse.") => return Err("of a sparse file, which is not supported"),
            key => {
                if let Some(name) = key.strip_prefix(PREFIX) {
                    let name = std::str::from_utf8(name).map_err(|_| "which names a broken attribute")?;
                    self.xattrs.push((name.to_owned(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `seconds[.fraction]`; before 1970 the fraction is left out.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    Some((seconds, if seconds < 0 { 0 } else { digits.parse().ok()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_line_ends() {
        let mut extensions = Extensions::default();
        let records = b"36 SCHILY.xattr.user.a=\x01\n9 path=x\n\x00yz\n14 path=a b\nc\n15 mtime=12.5\n\n";
        assert!(extensions.read(&records[..]).is_err(), "a wrong length is an error");
        let mut extensions = Extensions::default();
        let value = b"SCHILY.xattr.user.a=\x01\n9 path=x\n\0yz";
        let length = value.len() + 4;
        let records =
            [format!("{length} ").as_bytes(), value, b"\n15 path=a b\ncd\n14 mtime=12.5\n"].concat();
        extensions.read(&records).unwrap();
        assert_eq!(extensions.xattrs, [("user.a".to_owned(), b"\x01\n9 path=x\n\0yz".to_vec())]);
        assert_eq!(extensions.path.unwrap(), b"a b\ncd");
        assert_eq!(extensions.modified, Some((12, 500_000_000)));
    }

    #[test]
    fn nothing_that_is_read_panics() {
        for records in
            ["9", "9 ", "0 a=b\n", "99999999999999999999 a=b\n", "18446744073709551615 a=b\n", "5 a=b"]
        {
            assert!(
                Extensions::default().read(records.as_bytes()).is_err() || !records.contains(' '),
                "{records}"
            );
        }
    }
}
