//! The two forms of a message: JSON and protobuf, in bodies and in RecordIO streams.

use bytes::Bytes;
use chapada_listener::{Call, HttpResponse, bytes, text};
use chapada_wire::{DecodeError, Json, JsonFields, decode_binary, recordio};
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE};

/// How messages are written on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    Json,
    Protobuf,
}

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

impl Media {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Protobuf => PROTOBUF,
        }
    }

    /// The message in this form.
    pub(crate) fn encode<M: prost::Message + JsonFields>(self, message: &M) -> Vec<u8> {
        match self {
            Self::Json => message.to_json(),
            Self::Protobuf => message.encode_to_vec(),
        }
    }

    /// The message as one record of a stream.
    pub(crate) fn record<M: prost::Message + JsonFields>(self, message: &M) -> Bytes {
        recordio::frame(&self.encode(message))
    }

    /// The message as a whole answer.
    pub(crate) fn answer<M: prost::Message + JsonFields>(self, message: &M) -> HttpResponse {
        bytes(StatusCode::OK, self.content_type(), self.encode(message))
    }

    /// Reads a body. The error is the 400 to answer with; it names the field.
    #[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
    pub(crate) fn decode<M>(self, body: &[u8], name: &str) -> Result<M, HttpResponse>
    where
        M: prost::Message + Default + JsonFields,
    {
        let decoded = match self {
            Self::Json => M::from_json(body),
            Self::Protobuf => decode_binary(body),
        };
        decoded.map_err(|error| {
            let message = match (self, &error) {
                (Self::Json, _) => format!("Failed to convert JSON into {name} protobuf: {error}"),
                (Self::Protobuf, DecodeError::Binary(source)) => {
                    format!("Failed to parse body into {name} protobuf: {source}")
                }
                (Self::Protobuf, _) => format!("Failed to parse body into {name} protobuf: {error}"),
            };
            text(StatusCode::BAD_REQUEST, message)
        })
    }
}

/// The form of a request's body: 400 when nobody says, 415 when it is neither.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
pub(crate) fn of_body(call: &Call) -> Result<Media, HttpResponse> {
    if !call.headers.contains_key(CONTENT_TYPE) {
        return Err(text(StatusCode::BAD_REQUEST, "Expecting 'Content-Type' to be present"));
    }
    let essence = call.header(CONTENT_TYPE.as_str()).unwrap_or("").split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case(JSON) {
        Ok(Media::Json)
    } else if essence.eq_ignore_ascii_case(PROTOBUF) {
        Ok(Media::Protobuf)
    } else {
        let message = format!("Expecting 'Content-Type' of {JSON} or {PROTOBUF}");
        Err(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
    }
}

/// The form the caller accepts, JSON when it does not care: 406 when it takes neither.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
pub(crate) fn accepted(call: &Call) -> Result<Media, HttpResponse> {
    let mut ranges = call.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    if ranges.peek().is_none() {
        return Ok(Media::Json);
    }
    let ranges: Vec<&str> = ranges.flat_map(|value| value.split(',')).map(essence).collect();
    let allows = |media: &str| ranges.iter().any(|range| matches(range, media));
    if allows(JSON) {
        Ok(Media::Json)
    } else if allows(PROTOBUF) {
        Ok(Media::Protobuf)
    } else {
        let message = format!("Expecting 'Accept' to allow '{PROTOBUF}' or '{JSON}'");
        Err(text(StatusCode::NOT_ACCEPTABLE, message))
    }
}

/// The media range without parameters; one with `q=0` allows nothing.
fn essence(range: &str) -> &str {
    let mut parts = range.split(';').map(str::trim);
    let essence = parts.next().unwrap_or("");
    let never = parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
    if never { "" } else { essence }
}

fn matches(range: &str, media: &str) -> bool {
    range == "*/*" || range.eq_ignore_ascii_case("application/*") || range.eq_ignore_ascii_case(media)
}
