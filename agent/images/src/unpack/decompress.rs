//! How a layer is packed, told by its first bytes: media types are often wrong.

use std::io::{self, BufRead, BufReader, Read};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A frame that decoders pass over; some packers begin with one.
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];
/// The most memory that unpacking zstd may take is two to this power. What `zstd --long` asks for, and its own default.
const ZSTD_WINDOW_LOG: u32 = 27;
const BUFFER: usize = 128 << 10;

/// The layer as a plain archive.
pub(super) fn reader<'a>(packed: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut packed = BufReader::with_capacity(BUFFER, packed);
    let head = packed.fill_buf()?;
    let skippable = head.len() > 3 && head[0] & 0xf0 == 0x50 && head[1..4] == ZSTD_SKIPPABLE;
    if head.starts_with(&GZIP) {
        // Some packers write several members, one after the other.
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(packed)));
    }
    if head.starts_with(&ZSTD) || skippable {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG)?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(packed))
}
