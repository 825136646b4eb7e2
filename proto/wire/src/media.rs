//! The two forms of a message over HTTP: JSON and protobuf, in bodies and in RecordIO streams.

use bytes::Bytes;

use crate::{DecodeError, Json as _, JsonFields, decode_binary, recordio};

/// How messages are written on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// Mesos' flavour of JSON.
    Json,
    /// As protobuf encodes it.
    Protobuf,
}

/// A body that is no message. Source of the words: Mesos.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Failed to {reading} {name} protobuf: {problem}")]
pub struct Unreadable {
    reading: &'static str,
    name: &'static str,
    problem: String,
}

impl Media {
    /// Every form with its media type, the one to prefer first.
    pub const KNOWN: [(&'static str, Self); 2] =
        [("application/json", Self::Json), ("application/x-protobuf", Self::Protobuf)];

    /// The media type.
    pub fn content_type(self) -> &'static str {
        let [(json, _), (protobuf, _)] = Self::KNOWN;
        match self {
            Self::Json => json,
            Self::Protobuf => protobuf,
        }
    }

    /// The message in this form.
    pub fn encode<M: prost::Message + JsonFields>(self, message: &M) -> Vec<u8> {
        match self {
            Self::Json => message.to_json(),
            Self::Protobuf => message.encode_to_vec(),
        }
    }

    /// The message as one record of a stream.
    pub fn record<M: prost::Message + JsonFields>(self, message: &M) -> Bytes {
        recordio::frame(&self.encode(message))
    }

    /// Reads the body of a message of this name.
    ///
    /// # Errors
    /// [`Unreadable`] says what is wrong, and with which field.
    pub fn decode<M>(self, body: &[u8], name: &'static str) -> Result<M, Unreadable>
    where
        M: prost::Message + Default + JsonFields,
    {
        let (decoded, reading) = match self {
            Self::Json => (M::from_json(body), "convert JSON into"),
            Self::Protobuf => (decode_binary(body), "parse body into"),
        };
        let problem = |error: DecodeError| match error {
            DecodeError::Binary(source) => source.to_string(),
            error @ (DecodeError::Json { .. } | DecodeError::Missing { .. }) => error.to_string(),
        };
        decoded.map_err(|error| Unreadable { reading, name, problem: problem(error) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::scheduler::Call;

    #[test]
    fn both_forms_are_read_as_they_were_written_and_say_what_is_wrong() {
        let call = Call::from_json(br#"{"type":"REVIVE","framework_id":{"value":"f"}}"#).unwrap();
        for (name, media) in Media::KNOWN {
            assert_eq!(media.content_type(), name);
            assert_eq!(media.decode::<Call>(&media.encode(&call), "Call"), Ok(call.clone()));
            let record = media.record(&call);
            assert!(record.ends_with(&media.encode(&call)), "{name}");
        }
        let why = |media: Media, body: &[u8]| media.decode::<Call>(body, "Call").unwrap_err().to_string();
        let json = why(Media::Json, br#"{"type":"REVIVE","framework_id":{}}"#);
        assert_eq!(json, "Failed to convert JSON into Call protobuf: framework_id.value is required");
        let protobuf = why(Media::Protobuf, b"\xff");
        assert!(protobuf.starts_with("Failed to parse body into Call protobuf: "), "{protobuf}");
        assert!(!protobuf.contains("the body is not"), "the reason itself: {protobuf}");
    }
}
