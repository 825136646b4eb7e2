//! Streams that are compressed.

use std::io::BufRead;
use std::io::Read;

use crate::error::FetchError;

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

/// Memory that unpacking may take, which a hostile file would like to choose itself: enough for every level of the tool.
/// Of the others gzip and bzip2 need little, and for xz the child's own limit holds.
const ZSTD_WINDOW_LOG: u32 = 27;

impl Compression {
    pub(super) fn reader<'a>(self, from: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>, FetchError> {
        Ok(match self {
            Self::None => Box::new(from),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(from)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(from)),
            Self::Xz => Box::new(lzma_rust2::XzReader::new(from, true)),
            Self::Zstd => {
                let failed = |error: std::io::Error| FetchError::Archive(error.to_string());
                let mut reader = zstd::Decoder::with_buffer(from).map_err(failed)?;
                reader.window_log_max(ZSTD_WINDOW_LOG).map_err(failed)?;
                Box::new(reader)
            }
        })
    }
}
