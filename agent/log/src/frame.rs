//! Frames: what one sync makes durable. Each has a mark, a length, its number in the file, and a checksum over all of
//! them, so that a torn end is told from damage: a frame is only written when the one before it is on disk.

/// `FRM1`.
const MARK: [u8; 4] = *b"FRM1";
/// Mark, length, number, checksum.
pub(crate) const HEADER: usize = 16;
/// No frame is longer: the writer gathers at most this much, and one record is far smaller.
pub(crate) const MAX_FRAME: usize = 64 * 1024 * 1024;

/// Appends a frame with this body to `out`.
pub(crate) fn write(out: &mut Vec<u8>, number: u32, body: &[u8]) {
    let length = u32::try_from(body.len()).expect("a frame is at most MAX_FRAME long");
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&checksum(length, number, body).to_le_bytes());
    out.extend_from_slice(body);
}

/// The body of the frame that begins at the start of `bytes`, if a whole and sound one does.
pub(crate) fn read(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let header = bytes.get(..HEADER)?;
    let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
    let (length, number, sum) = (word(4), word(8), word(12));
    if header[..4] != MARK || length as usize > MAX_FRAME {
        return None;
    }
    let body = bytes.get(HEADER..HEADER + length as usize)?;
    (checksum(length, number, body) == sum).then_some((number, body))
}

/// Whether a sound frame with a number above `after` begins anywhere in `bytes`.
pub(crate) fn any_after(bytes: &[u8], after: u32) -> bool {
    let marks = bytes.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    marks.map(|(at, _)| &bytes[at..]).any(|rest| read(rest).is_some_and(|(number, _)| number > after))
}

fn checksum(length: u32, number: u32, body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&length.to_le_bytes());
    sum.update(&number.to_le_bytes());
    sum.update(body);
    sum.finalize()
}
