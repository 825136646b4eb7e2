//! How messages of gRPC are buffered.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstDecoder, ProstEncoder};

/// What each direction of a call allocates before anything is said, in bytes; it grows with the messages. A master has tens of
/// thousands of agent links, on which signs of life of a few bytes go back and forth: tonic's 8 KiB would be a quarter of each.
const BUFFER: usize = 512;
/// Bytes of ready messages after which they are handed to the connection. Source: tonic's own.
const YIELD_THRESHOLD: usize = 32 * 1024;

/// The codec of all our services.
pub(crate) struct LeanCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for LeanCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for LeanCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(settings())
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(settings())
    }
}

fn settings() -> BufferSettings {
    BufferSettings::new(BUFFER, YIELD_THRESHOLD)
}
