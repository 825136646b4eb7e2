//! The two forms of a message on the executor API, JSON and protobuf, in bodies and in RecordIO streams. The texts of
//! refusals are those of Mesos.

use bytes::Bytes;
use chapada_listener::{Call, HttpResponse, text};
use chapada_wire::{Json, JsonFields, decode_binary, recordio};
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

/// How messages are written on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    Json,
    Protobuf,
}

impl Media {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Protobuf => PROTOBUF,
        }
    }

    /// The message as one record of a stream.
    pub(super) fn record<M: prost::Message + JsonFields>(self, message: &M) -> Bytes {
        match self {
            Self::Json => recordio::frame(&message.to_json()),
            Self::Protobuf => recordio::frame(&message.encode_to_vec()),
        }
    }

    /// Reads a body. The error is the 400 to answer with; it names the field.
    pub(super) fn decode<M>(self, body: &[u8]) -> Result<M, Box<HttpResponse>>
    where
        M: prost::Message + Default + JsonFields,
    {
        let (decoded, what) = match self {
            Self::Json => (M::from_json(body), "convert JSON into Call protobuf"),
            Self::Protobuf => (decode_binary(body), "parse body into Call protobuf"),
        };
        decoded.map_err(|error| Box::new(text(StatusCode::BAD_REQUEST, format!("Failed to {what}: {error}"))))
    }
}

/// The form of a request's body: 400 when nobody says, 415 when it is neither.
pub(super) fn of_body(call: &Call) -> Result<Media, Box<HttpResponse>> {
    let Some(value) = call.header(CONTENT_TYPE.as_str()) else {
        return Err(Box::new(text(StatusCode::BAD_REQUEST, "Expecting 'Content-Type' to be present")));
    };
    match essence(value) {
        known if known.eq_ignore_ascii_case(JSON) => Ok(Media::Json),
        known if known.eq_ignore_ascii_case(PROTOBUF) => Ok(Media::Protobuf),
        _ => {
            let message = format!("Expecting 'Content-Type' of {JSON} or {PROTOBUF}");
            Err(Box::new(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)))
        }
    }
}

/// The form the caller accepts, JSON when it does not care: 406 when it takes neither.
pub(super) fn accepted(call: &Call) -> Result<Media, Box<HttpResponse>> {
    let ranges = call.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<&str> = ranges.flat_map(|value| value.split(',')).collect();
    let allows = |media: &str| {
        let fits = |range: &str| {
            range == "*/*" || range.eq_ignore_ascii_case("application/*") || range.eq_ignore_ascii_case(media)
        };
        ranges.is_empty() || ranges.iter().any(|range| !is_never(range) && fits(essence(range)))
    };
    match (allows(JSON), allows(PROTOBUF)) {
        (true, _) => Ok(Media::Json),
        (false, true) => Ok(Media::Protobuf),
        (false, false) => {
            let message = format!("Expecting 'Accept' to allow '{PROTOBUF}' or '{JSON}'");
            Err(Box::new(text(StatusCode::NOT_ACCEPTABLE, message)))
        }
    }
}

/// A media type without its parameters.
fn essence(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

/// A range of weight zero is one that is not wanted.
fn is_never(range: &str) -> bool {
    let weight = range.split(';').skip(1).find_map(|part| part.trim().strip_prefix("q="));
    weight.is_some_and(|weight| weight.parse() == Ok(0.0))
}
