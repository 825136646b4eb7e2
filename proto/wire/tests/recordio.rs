//! Records on a byte stream, however it is cut.

use chapada_wire::recordio::{Decoder, RecordError, frame};
use proptest::prelude::*;

const LIMIT: usize = 1_000;

/// All records of a stream that is cut at these places.
fn decode(stream: &[u8], cuts: &[usize]) -> Result<Vec<Vec<u8>>, RecordError> {
    let mut decoder = Decoder::new(LIMIT);
    let mut records = Vec::new();
    let mut begin = 0;
    for end in cuts.iter().copied().chain([stream.len()]) {
        decoder.push(&stream[begin..end]);
        while let Some(record) = decoder.next_record()? {
            records.push(record.to_vec());
        }
        begin = end;
    }
    decoder.finish()?;
    Ok(records)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_records(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..60), 0..8),
        blank in prop::sample::select(vec!["", "\n", "\r\n", "\n\n"]),
        mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut stream = Vec::new();
        for record in &records {
            stream.extend_from_slice(blank.as_bytes());
            stream.extend_from_slice(&frame(record));
        }
        let mut cuts: Vec<usize> = cuts.drain(..).map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        prop_assert_eq!(decode(&stream, &cuts), Ok(records));
    }

    #[test]
    fn no_bytes_can_break_it(stream: Vec<u8>) {
        let every: Vec<usize> = (0..stream.len()).collect();
        prop_assert_eq!(decode(&stream, &[]), decode(&stream, &every));
    }
}

#[test]
fn every_split_of_a_short_stream() {
    let stream =
        [&frame(b"{\"type\":\"HEARTBEAT\"}")[..], &frame(b"x"), b"\n", &frame(&[b'y'; 120])].concat();
    let whole = decode(&stream, &[]).expect("these are records");
    assert_eq!(whole.len(), 3);
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            assert_eq!(decode(&stream, &[first, second]).as_ref(), Ok(&whole), "cut at {first} and {second}");
        }
    }
}

#[test]
fn a_frame_is_length_line_and_record() {
    assert_eq!(&frame(b"{\"type\":\"HEARTBEAT\"}")[..], b"20\n{\"type\":\"HEARTBEAT\"}");
}

#[test]
fn what_is_no_record_is_refused_for_good() {
    assert_eq!(decode(b"1x\n", &[]), Err(RecordError::NotALength(b'x')));
    assert_eq!(decode(b"-1\n", &[]), Err(RecordError::NotALength(b'-')));
    assert_eq!(decode(&[b'1'; 30], &[]), Err(RecordError::LengthTooLong));
    assert_eq!(decode(b"1001\n", &[]), Err(RecordError::TooLong { length: 1_001, limit: LIMIT }));
    assert_eq!(
        decode(b"99999999999999999999\n", &[]),
        Err(RecordError::TooLong { length: u64::MAX, limit: LIMIT })
    );
    assert_eq!(decode(b"5\nabc", &[]), Err(RecordError::Truncated));
    assert_eq!(decode(b"5", &[]), Err(RecordError::Truncated));
    let mut decoder = Decoder::new(LIMIT);
    decoder.push(b"oops");
    assert!(decoder.next_record().is_err());
    decoder.push(&frame(b"fine"));
    assert_eq!(decoder.next_record(), Err(RecordError::NotALength(b'o')));
}
