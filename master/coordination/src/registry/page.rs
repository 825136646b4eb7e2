//! A page: some records of one kind, and how they are written into one znode.
//!
//! `chapada-page 1\n`, then for each record two little-endian `u32` lengths, the key and the value. A folder of pages that
//! groups of records have to themselves says `chapada-page 2\n`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Change, OpenRegistryError};

/// Buckets of a kind: 50,000 records make about 12 in each, and as many reads to load them all.
pub(super) const BUCKETS: u32 = 4096;
/// Version of the page format.
const VERSION: u32 = 1;
/// Version of pages in folders. Builds that know the first version only read a folder as a page, and refuse it by this.
const FOLDER_VERSION: u32 = 2;
const MAGIC: &str = "chapada-page ";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    records: BTreeMap<String, Arc<[u8]>>,
}

/// FNV-1a in 64 bits. Part of the format.
pub(super) fn hash_of(key: &str) -> u64 {
    key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Which page of its kind holds a key, when kinds are not grouped. Part of the format: the hash, folded.
pub(super) fn bucket_of(key: &str) -> u32 {
    let hash = hash_of(key);
    ((hash ^ (hash >> 32)) % u64::from(BUCKETS)) as u32
}

/// What a folder of pages says.
pub(super) fn folder() -> Vec<u8> {
    format!("{MAGIC}{FOLDER_VERSION}\n").into_bytes()
}

/// Whether it is a folder of pages that this build can read.
pub(super) fn check_folder(data: &[u8], place: &str) -> Result<(), OpenRegistryError> {
    match split_version(data, place, FOLDER_VERSION)? {
        (FOLDER_VERSION, []) => Ok(()),
        _ => Err(damaged(place, "no folder of pages")),
    }
}

fn damaged(place: &str, what: &str) -> OpenRegistryError {
    OpenRegistryError::Damaged { place: place.to_owned(), what: what.to_owned() }
}

/// The version of a page or folder, at most `known`, and what follows.
fn split_version<'a>(data: &'a [u8], place: &str, known: u32) -> Result<(u32, &'a [u8]), OpenRegistryError> {
    let damaged = |what| damaged(place, what);
    let rest = data.strip_prefix(MAGIC.as_bytes()).ok_or_else(|| damaged("no page of records"))?;
    let line = rest.iter().take(12).position(|byte| *byte == b'\n').ok_or_else(|| damaged("no version"))?;
    let version: u32 = std::str::from_utf8(&rest[..line])
        .ok()
        .and_then(|version| version.parse().ok())
        .ok_or_else(|| damaged("no version"))?;
    if version > known {
        let (place, name) = (place.to_owned(), "chapada-page".to_owned());
        return Err(OpenRegistryError::NewerVersion { place, name, found: version, known });
    }
    Ok((version, &rest[line + 1..]))
}

impl Page {
    pub(super) fn put(&mut self, key: &str, value: Arc<[u8]>) {
        self.records.insert(key.to_owned(), value);
    }

    pub(super) fn delete(&mut self, key: &str) {
        self.records.remove(key);
    }

    pub(super) fn change(&mut self, change: &Change) {
        match change {
            Change::Put(record) => self.put(&record.key.key, record.value.clone()),
            Change::Delete(key) => self.delete(&key.key),
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.records.contains_key(key)
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn records(&self) -> impl Iterator<Item = (&String, &Arc<[u8]>)> {
        self.records.iter()
    }

    pub(super) fn encoded_len(&self) -> usize {
        let header = MAGIC.len() + 2;
        header + self.records.iter().map(|(key, value)| 8 + key.len() + value.len()).sum::<usize>()
    }

    /// What the record of this key adds to that; nothing when there is none.
    pub(super) fn encoded_len_of(&self, key: &str) -> usize {
        self.records.get(key).map_or(0, |value| 8 + key.len() + value.len())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_len());
        out.extend_from_slice(format!("{MAGIC}{VERSION}\n").as_bytes());
        for (key, value) in &self.records {
            out.extend_from_slice(&(key.len() as u32).to_le_bytes());
            out.extend_from_slice(&(value.len() as u32).to_le_bytes());
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(value);
        }
        out
    }

    /// `place` names the znode in errors.
    pub(super) fn decode(data: &[u8], place: &str) -> Result<Self, OpenRegistryError> {
        let damaged = |what| damaged(place, what);
        let (_, mut rest) = split_version(data, place, VERSION)?;
        let mut page = Self::default();
        while !rest.is_empty() {
            let key_len = take_len(&mut rest).ok_or_else(|| damaged("cut short"))?;
            let value_len = take_len(&mut rest).ok_or_else(|| damaged("cut short"))?;
            let key = rest.split_off(..key_len).ok_or_else(|| damaged("cut short"))?;
            let value = rest.split_off(..value_len).ok_or_else(|| damaged("cut short"))?;
            let key = std::str::from_utf8(key).map_err(|_| damaged("a key is not text"))?;
            page.put(key, value.into());
        }
        Ok(page)
    }
}

fn take_len(rest: &mut &[u8]) -> Option<usize> {
    let (len, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_le_bytes(*len) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded_and_its_length_known() {
        let mut page = Page::default();
        page.put("a", b"one".as_slice().into());
        page.put("b", b"".as_slice().into());
        let bytes = page.encode();
        assert_eq!(bytes.len(), page.encoded_len());
        assert_eq!(Page::decode(&bytes, "x").unwrap(), page);
    }

    #[test]
    fn every_cut_and_a_newer_version_are_refused_by_name() {
        let mut page = Page::default();
        page.put("key", b"value".as_slice().into());
        let bytes = page.encode();
        let whole_header = MAGIC.len() + 2;
        for cut in (0..bytes.len()).filter(|cut| *cut != whole_header) {
            let error = Page::decode(&bytes[..cut], "/r/agents/001").unwrap_err();
            assert!(error.to_string().contains("/r/agents/001"), "{cut}: {error}");
        }
        let error = Page::decode(b"chapada-page 2\n", "/r/agents/001").unwrap_err().to_string();
        assert!(error.contains("version 2") && error.contains("newer chapada"), "{error}");
    }

    #[test]
    fn a_build_that_knows_pages_only_refuses_a_folder_as_newer() {
        let error = Page::decode(&folder(), "/r/instance/1000").unwrap_err();
        assert!(matches!(error, OpenRegistryError::NewerVersion { found: 2, known: 1, .. }), "{error}");
        check_folder(&folder(), "/r/instance/1000").unwrap();
        for not in [b"chapada-page 1\n".as_slice(), b"chapada-page 2\nx", b""] {
            assert!(check_folder(not, "/r/instance/1000").is_err());
        }
    }

    #[test]
    fn buckets_are_fixed_by_the_format_and_even() {
        assert_eq!(bucket_of(""), 0xfc1);
        let mut counts = vec![0_u32; BUCKETS as usize];
        for number in 0..50_000 {
            counts[bucket_of(&format!("8a1f-S{number}")) as usize] += 1;
        }
        assert!(counts.iter().all(|count| *count < 40), "{:?}", counts.iter().max());
    }
}
