//! A page: the records of one kind whose keys hash to one bucket, and how they are written into one znode.
//!
//! `chapada-page 1\n`, then for each record two little-endian `u32` lengths, the key and the value.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::OpenRegistryError;

/// Buckets of a kind: 50,000 records make about 12 in each, and as many reads to load them all.
pub(super) const BUCKETS: u32 = 4096;
/// Version of the page format.
const VERSION: u32 = 1;
const MAGIC: &str = "chapada-page ";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    records: BTreeMap<String, Arc<[u8]>>,
}

/// Which page of its kind holds a key. Part of the format: FNV-1a in 64 bits, folded.
pub(super) fn bucket_of(key: &str) -> u32 {
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    ((hash ^ (hash >> 32)) % u64::from(BUCKETS)) as u32
}

impl Page {
    pub(super) fn put(&mut self, key: &str, value: Arc<[u8]>) {
        self.records.insert(key.to_owned(), value);
    }

    pub(super) fn delete(&mut self, key: &str) {
        self.records.remove(key);
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
        let damaged =
            |what: &str| OpenRegistryError::Damaged { place: place.to_owned(), what: what.to_owned() };
        let mut rest = data.strip_prefix(MAGIC.as_bytes()).ok_or_else(|| damaged("no page of records"))?;
        let line =
            rest.iter().take(12).position(|byte| *byte == b'\n').ok_or_else(|| damaged("no version"))?;
        let version: u32 = std::str::from_utf8(&rest[..line])
            .ok()
            .and_then(|version| version.parse().ok())
            .ok_or_else(|| damaged("no version"))?;
        if version > VERSION {
            let (place, name) = (place.to_owned(), "chapada-page".to_owned());
            return Err(OpenRegistryError::NewerVersion { place, name, found: version, known: VERSION });
        }
        rest = &rest[line + 1..];
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
    fn buckets_are_fixed_by_the_format_and_even() {
        assert_eq!(bucket_of(""), 0xfc1);
        let mut counts = vec![0_u32; BUCKETS as usize];
        for number in 0..50_000 {
            counts[bucket_of(&format!("8a1f-S{number}")) as usize] += 1;
        }
        assert!(counts.iter().all(|count| *count < 40), "{:?}", counts.iter().max());
    }
}
