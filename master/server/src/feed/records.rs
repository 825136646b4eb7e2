//! Events as records of a stream, one after the other.

use std::sync::Arc;

use bytes::Bytes;

/// Records in a row, in one memory that all share who are sent them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    bytes: Bytes,
    /// Where each ends.
    ends: Arc<[usize]>,
}

impl<T: AsRef<[u8]>> FromIterator<T> for Records {
    fn from_iter<I: IntoIterator<Item = T>>(records: I) -> Self {
        let mut bytes = Vec::new();
        let ends = records.into_iter().map(|record| {
            bytes.extend_from_slice(record.as_ref());
            bytes.len()
        });
        let ends = ends.collect();
        // They are kept for a while: without the room they grew into.
        bytes.shrink_to_fit();
        Self { bytes: bytes.into(), ends }
    }
}

/// Records on their way into a connection. Published clients take an HTTP chunk for a record, so no chunk has bytes of two.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    records: Records,
    /// Bytes up to here were handed over.
    at: usize,
    /// The record that is next, or of which a part was handed over.
    record: usize,
    /// Bytes that are counted and not handed over yet.
    piece: Bytes,
}

impl From<Records> for Chunks {
    fn from(records: Records) -> Self {
        Self { records, ..Self::default() }
    }
}

impl Chunks {
    /// The next chunk: a whole record, or a part of one that is longer than `limit`. Nothing when all were handed over.
    /// `count` is given what must be counted as on its way, for many records at once and at most `limit` bytes, and gives
    /// them back.
    pub(crate) fn next(&mut self, limit: usize, count: impl FnOnce(Bytes) -> Bytes) -> Option<Bytes> {
        let end = *self.records.ends.get(self.record)?;
        if self.piece.is_empty() {
            self.piece = count(self.records.bytes.slice(self.at..self.piece_end(end, limit)));
        }
        let chunk = self.piece.split_to(self.piece.len().min(end - self.at));
        self.at += chunk.len();
        self.record += usize::from(self.at == end);
        Some(chunk)
    }

    /// After the last record that still fits, else within the one that ends there.
    fn piece_end(&self, end: usize, limit: usize) -> usize {
        let most = self.at + limit;
        let fitting = self.records.ends.partition_point(|end| *end <= most);
        self.records.ends[..fitting].last().copied().filter(|last| *last > self.at).unwrap_or(most.min(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The chunks of these records, and the lengths that were counted.
    fn chunks(records: &[&str], limit: usize) -> (Vec<String>, Vec<usize>) {
        let mut waiting = Chunks::from(records.iter().collect::<Records>());
        let (mut chunks, mut counted) = (Vec::new(), Vec::new());
        let mut count = |bytes: Bytes| {
            counted.push(bytes.len());
            bytes
        };
        while let Some(chunk) = waiting.next(limit, &mut count) {
            chunks.push(String::from_utf8(chunk.to_vec()).unwrap());
        }
        (chunks, counted)
    }

    #[test]
    fn each_record_is_a_chunk_and_many_are_counted_at_once() {
        assert_eq!(chunks(&[], 10), (vec![], vec![]));
        let (whole, counted) = chunks(&["one", "two", "three"], 100);
        assert_eq!((whole, counted), (vec!["one".into(), "two".into(), "three".into()], vec![11]));
        let (whole, counted) = chunks(&["one", "two", "three"], 7);
        assert_eq!((whole, counted), (vec!["one".into(), "two".into(), "three".into()], vec![6, 5]));
    }

    #[test]
    fn what_was_counted_is_let_go_of_with_its_last_chunk() {
        let counted = Arc::new([0; 6]);
        let mut waiting = Chunks::from(["one", "two"].iter().collect::<Records>());
        let first = waiting.next(100, |_| Bytes::from_owner(Owned(counted.clone())));
        let second = waiting.next(100, |_| unreachable!("it is counted"));
        drop(first);
        assert_eq!(Arc::strong_count(&counted), 2);
        drop(second);
        assert_eq!(Arc::strong_count(&counted), 1);
    }

    struct Owned(Arc<[u8; 6]>);

    impl AsRef<[u8]> for Owned {
        fn as_ref(&self) -> &[u8] {
            &*self.0
        }
    }

    #[test]
    fn a_long_record_is_several_chunks_and_its_last_has_nothing_of_the_next() {
        let (parts, counted) = chunks(&["a", "0123456789", "b", "c"], 4);
        assert_eq!(parts, ["a", "0123", "4567", "89", "b", "c"]);
        assert_eq!(counted, [1, 4, 4, 4]);
    }
}
