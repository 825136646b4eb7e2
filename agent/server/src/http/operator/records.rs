//! Streams of records: what is said of their form, the answer that is one, and the request that is one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use chapada_listener::{BodyError, Call as HttpCall, HttpResponse, form_accepted, stream};
use chapada_wire::Media;
use chapada_wire::recordio::{Decoder, RecordError};
use chapada_wire::v1;
use chapada_wire::v1::agent::process_io::{self, control};
use chapada_wire::v1::agent::{Call, ProcessIo};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderName, StatusCode};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_stream::wrappers::ReceiverStream;

use super::{Api, Refusal, invalid, refusal};
use crate::attach::Piece;

/// Records between a container and the network.
const AHEAD: usize = 4;
/// The longest record of a request: more than anybody types or pipes at once.
const MAX_RECORD: usize = 1 << 20;
const RECORDIO: &str = "application/recordio";
const MESSAGE_ACCEPT: &str = "message-accept";
const MESSAGE_CONTENT_TYPE: HeaderName = HeaderName::from_static("message-content-type");

/// Whether the body is a stream of records.
pub(super) fn are_sent(call: &HttpCall) -> bool {
    let said = call.header(CONTENT_TYPE.as_str()).unwrap_or_default();
    said.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(RECORDIO)
}

/// The form of an answer's records: as `Message-Accept` says in a stream of records, or as `Accept` says.
pub(super) fn form_wanted(call: &HttpCall) -> Result<Media, Refusal> {
    let Some(wanted) = call.header(MESSAGE_ACCEPT) else {
        let forms = [
            (RECORDIO, Media::Json),
            (Media::Json.content_type(), Media::Json),
            (Media::Protobuf.content_type(), Media::Protobuf),
        ];
        return form_accepted(call, &forms).map_err(Box::new);
    };
    known_form(wanted).ok_or_else(|| {
        let message = "Expecting 'Message-Accept' to be 'application/json' or 'application/x-protobuf'";
        refusal(StatusCode::NOT_ACCEPTABLE, message.to_owned())
    })
}

fn known_form(said: &str) -> Option<Media> {
    let said = said.split(';').next().unwrap_or_default().trim();
    let found = Media::KNOWN.iter().find(|(name, _)| name.eq_ignore_ascii_case(said) || said == "*/*");
    found.map(|(_, media)| *media)
}

/// The form of a request's records.
pub(super) fn form_sent(call: &HttpCall) -> Result<Media, Refusal> {
    let said = call.header(MESSAGE_CONTENT_TYPE.as_str());
    let said = said.ok_or_else(|| {
        let message = "Expecting 'Message-Content-Type' to be set for streaming requests";
        refusal(StatusCode::BAD_REQUEST, message.to_owned())
    })?;
    known_form(said).ok_or_else(|| {
        let message = "Expecting 'Message-Content-Type' of application/json or application/x-protobuf";
        refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, message.to_owned())
    })
}

/// An answer that says what a container writes until it ends, and now and then that the connection is alive. One whose `cut`
/// is set when the pieces end is broken off, so that nobody takes it for whole.
pub(super) fn answer(
    api: &Api,
    call: &HttpCall,
    media: Media,
    mut pieces: mpsc::Receiver<Piece>,
    cut: Option<Arc<AtomicBool>>,
) -> HttpResponse {
    let (body, records) = mpsc::channel(AHEAD);
    let (stop, pause) = (call.stop.clone(), api.config.http_heartbeat_interval);
    api.tasks.spawn(async move {
        let mut beat = interval_at(Instant::now() + pause, pause);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let message = tokio::select! {
                biased; // what ends it, before what would be sent
                () = stop.cancelled() => return,
                () = body.closed() => return,
                piece = pieces.recv() => match piece {
                    Some(piece) => written(piece),
                    None => break,
                },
                _ = beat.tick() => heartbeat(pause.as_nanos()),
            };
            tokio::select! {
                () = stop.cancelled() => return,
                sent = body.send(Ok(media.record(&message))) => if sent.is_err() { return },
            }
        }
        if cut.is_some_and(|cut| cut.load(Ordering::Relaxed)) {
            tracing::info!("a reader of a container's output was cut off: it did not keep up");
            let _ = body.send(Err(io::Error::other("cut off for not keeping up"))).await; // it may be gone, too
        }
    });
    let mut response = stream(StatusCode::OK, RECORDIO, ReceiverStream::new(records));
    response.headers_mut().insert(MESSAGE_CONTENT_TYPE, HeaderValue::from_static(media.content_type()));
    response
}

fn written(piece: Piece) -> ProcessIo {
    let data = process_io::Data { r#type: Some(piece.kind as i32), data: Some(piece.data.to_vec()) };
    ProcessIo { r#type: Some(process_io::Type::Data as i32), data: Some(data), ..ProcessIo::default() }
}

fn heartbeat(interval: u128) -> ProcessIo {
    let interval = v1::DurationInfo { nanoseconds: Some(i64::try_from(interval).unwrap_or(i64::MAX)) };
    let control = process_io::Control {
        r#type: Some(control::Type::Heartbeat as i32),
        heartbeat: Some(control::Heartbeat { interval: Some(interval) }),
        ..process_io::Control::default()
    };
    ProcessIo {
        r#type: Some(process_io::Type::Control as i32),
        control: Some(control),
        ..ProcessIo::default()
    }
}

/// The calls of a request that is a stream of them.
pub(super) struct Sent<'a> {
    call: &'a HttpCall,
    media: Media,
    decoder: Decoder,
}

impl<'a> Sent<'a> {
    pub(super) fn new(call: &'a HttpCall) -> Result<Self, Refusal> {
        Ok(Self { call, media: form_sent(call)?, decoder: Decoder::new(MAX_RECORD) })
    }

    /// The next call; `None` at the end of the request.
    pub(super) async fn next(&mut self) -> Result<Option<Call>, Refusal> {
        loop {
            if let Some(record) = self.decoder.next_record().map_err(|error| unreadable(&error))? {
                return self.decode(&record).map(Some);
            }
            let Some(piece) =
                self.call.body.chunk_whenever().await.map_err(BodyError::into_response).map_err(Box::new)?
            else {
                return self.decoder.finish().map(|()| None).map_err(|error| unreadable(&error));
            };
            self.decoder.push(&piece);
        }
    }

    fn decode(&self, record: &Bytes) -> Result<Call, Refusal> {
        self.media.decode(record, "Call").map_err(|error| refusal(StatusCode::BAD_REQUEST, error.to_string()))
    }
}

fn unreadable(error: &RecordError) -> Refusal {
    match error {
        RecordError::TooLong { .. } => {
            let message = format!("{error}; send what is long in several records");
            refusal(StatusCode::PAYLOAD_TOO_LARGE, message)
        }
        _ => invalid(&error.to_string()),
    }
}
