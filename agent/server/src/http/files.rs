//! `/files/browse`, `/files/read`, `/files/download`, `/files/follow`: sandboxes, by the paths that Mesos gives them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chapada_listener::{Action, Call, HttpResponse, json, stream, text};
use chapada_model::ContainerId;
use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, HeaderValue};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use super::{Api, insiders};
use crate::files::{Entry, FileError, LogReader, Place, Reader, blocking};
use crate::shell::Input;
use crate::waiting::{Ended, NotWaited};

/// Pieces of a download that may wait for the network; each is at most 64 KiB.
const AHEAD: usize = 4;
/// Files that are followed at once, each over a stream of a connection.
const MOST_FOLLOWERS: usize = 256;
/// How often a followed file is looked at for more.
const LOOK: Duration = Duration::from_millis(100);

static FOLLOWERS: Semaphore = Semaphore::const_new(MOST_FOLLOWERS);

pub(super) async fn browse(api: Arc<Api>, call: Call) -> HttpResponse {
    let path = match path_of(&call).await {
        Ok(path) => path,
        Err(refusal) => return refusal,
    };
    let listed = blocking(move || {
        let place = api.files.place(&path)?;
        let entries = api.files.browse(&place)?;
        Ok(entries.iter().map(|entry| entry_json(&place, entry)).collect::<Vec<_>>())
    });
    match listed.await {
        Ok(entries) => json(StatusCode::OK, &entries),
        Err(error) => refuse(&error),
    }
}

pub(super) async fn read(api: Arc<Api>, call: Call) -> HttpResponse {
    let path = match path_of(&call).await {
        Ok(path) => path,
        Err(refusal) => return refusal,
    };
    let query = call.query();
    let (offset, length) =
        match (number(query.get("offset"), "offset"), number(query.get("length"), "length")) {
            (Ok(offset), Ok(length)) => (offset, length),
            (Err(refusal), _) | (_, Err(refusal)) => return refusal,
        };
    let page = blocking(move || {
        let reader = api.files.reader(&api.files.place(&path)?)?;
        page_json(&reader, offset.unwrap_or(-1), length)
    });
    match page.await {
        Ok(page) => json(StatusCode::OK, &page),
        Err(error) => refuse(&error),
    }
}

pub(super) async fn download(api: Arc<Api>, call: Call) -> HttpResponse {
    let path = match path_of(&call).await {
        Ok(path) => path,
        Err(refusal) => return refusal,
    };
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    let opened = blocking(move || {
        let reader = api.files.reader(&api.files.place(&path)?)?;
        let size = reader.size()?;
        Ok((reader, size))
    });
    let (reader, size) = match opened.await {
        Ok(opened) => opened,
        Err(error) => return refuse(&error),
    };
    let (pieces, sent) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || send_all(&reader, size, &pieces));
    let mut response = stream(StatusCode::OK, "application/octet-stream", ReceiverStream::new(sent));
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    let safe: String =
        name.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | ';')).collect();
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename={safe}")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    response
}

/// A file as it grows, from `offset` on and over the turns of a log, until the container whose sandbox it is in has ended and
/// all of it is sent.
pub(super) async fn follow(api: Arc<Api>, call: Call) -> HttpResponse {
    let path = match path_of(&call).await {
        Ok(path) => path,
        Err(refusal) => return refusal,
    };
    let offset = match number(call.query().get("offset"), "offset") {
        Ok(offset) => offset.unwrap_or_default().max(0),
        Err(refusal) => return refusal,
    };
    let Ok(slot) = FOLLOWERS.try_acquire() else {
        let message = format!("{MOST_FOLLOWERS} files are being followed; end one of them.\n");
        return text(StatusCode::SERVICE_UNAVAILABLE, message);
    };
    let files = api.files.clone();
    let opened = blocking(move || {
        let place = files.place(&path)?;
        let container = place.container();
        Ok((LogReader::at(files, place, offset)?, container))
    });
    let (log, container) = match opened.await {
        Ok(opened) => opened,
        Err(error) => return refuse(&error),
    };
    let ended = match end_of(&api.inputs, container).await {
        Ok(ended) => ended,
        Err(refusal) => return refusal,
    };
    let (pieces, sent) = mpsc::channel(AHEAD);
    api.tasks.spawn(async move {
        let _slot = slot;
        tokio::select! {
            () = call.stop.cancelled() => {}
            () = pieces.closed() => {}
            () = send_as_it_grows(log, ended, &pieces) => {}
        }
    });
    stream(StatusCode::OK, "application/octet-stream", ReceiverStream::new(sent))
}

/// Has the end of a container told; nothing when there is no such container, which is as good as one that has ended.
///
/// # Errors
/// The answer, when nobody would be told.
async fn end_of(
    inputs: &mpsc::Sender<Input>,
    container: Option<ContainerId>,
) -> Result<Option<Ended>, HttpResponse> {
    let Some(container) = container else { return Ok(None) };
    let unavailable = |why: &str| text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}.\n"));
    let stopping = || unavailable("the agent is stopping");
    let (reply, answer) = oneshot::channel();
    inputs.send(Input::Wait(container, reply)).await.map_err(|_| stopping())?;
    match answer.await.map_err(|_| stopping())? {
        Ok(ended) => Ok(Some(ended)),
        Err(NotWaited::Unknown) => Ok(None),
        Err(why @ NotWaited::TooMany) => Err(unavailable(&why.to_string())),
    }
}

async fn send_as_it_grows(
    mut log: LogReader,
    mut ended: Option<Ended>,
    pieces: &mpsc::Sender<Result<Bytes, FileError>>,
) {
    let mut has_ended = false;
    loop {
        let read = blocking(move || {
            let chunk = log.next(u64::MAX)?;
            Ok((log, chunk))
        });
        let chunk = match read.await {
            Ok((same, chunk)) => {
                log = same;
                chunk
            }
            Err(error) => {
                drop(pieces.send(Err(error)).await); // its reader may have left
                return;
            }
        };
        if chunk.data.is_empty() {
            if has_ended {
                return;
            }
            // What was written before the end is read once more after it.
            has_ended = match &mut ended {
                Some(ended) => timeout(LOOK, ended).await.is_ok(),
                None => true,
            };
        } else if pieces.send(Ok(Bytes::from(chunk.data))).await.is_err() {
            return;
        }
    }
}

/// Sends the first `size` bytes. A file that became shorter breaks the answer off, so that nobody takes it for whole.
fn send_all(reader: &Reader, size: u64, pieces: &mpsc::Sender<Result<Bytes, FileError>>) {
    let mut offset = 0;
    while offset < size {
        let piece = match reader.read(offset, size - offset) {
            Ok(chunk) if chunk.data.is_empty() => Err(FileError::NotFound("the rest of the file".to_owned())),
            Ok(chunk) => Ok(Bytes::from(chunk.data)),
            Err(error) => Err(error),
        };
        let ended = piece.is_err();
        offset += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        if pieces.blocking_send(piece).is_err() || ended {
            return;
        }
    }
}

async fn path_of(call: &Call) -> Result<String, HttpResponse> {
    insiders::refuse(call, Action::AccessSandbox).await.map_err(|refusal| *refusal)?;
    let path = call.query().get("path").map(str::to_owned).filter(|path| !path.is_empty());
    path.ok_or_else(|| text(StatusCode::BAD_REQUEST, "Expecting 'path=value' in query.\n"))
}

#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
fn number(given: Option<&str>, name: &str) -> Result<Option<i64>, HttpResponse> {
    let Some(given) = given else { return Ok(None) };
    let number = given.parse().ok().filter(|number: &i64| *number >= -1);
    let refusal = || {
        text(StatusCode::BAD_REQUEST, format!("Failed to parse {name}: '{given}' is no number from -1 on.\n"))
    };
    number.map(Some).ok_or_else(refusal)
}

/// A page. Without an offset, or with -1, it is empty and says where the file ends. Without a length, or with -1, it
/// is as long as a page may be.
fn page_json(reader: &Reader, offset: i64, length: Option<i64>) -> Result<Value, FileError> {
    let Ok(offset) = u64::try_from(offset) else {
        return Ok(json!({ "data": "", "offset": reader.size()? }));
    };
    let length = length.and_then(|length| u64::try_from(length).ok()).unwrap_or(u64::MAX);
    let chunk = reader.read(offset, length)?;
    let data = whole_characters(&chunk.data, offset + (chunk.data.len() as u64) < chunk.size);
    Ok(json!({ "data": String::from_utf8_lossy(data), "offset": offset }))
}

/// Leaves a character that the page cuts in two to the next one.
fn whole_characters(data: &[u8], more: bool) -> &[u8] {
    match std::str::from_utf8(data) {
        Err(error) if more && error.error_len().is_none() && error.valid_up_to() > 0 => {
            &data[..error.valid_up_to()]
        }
        Ok(_) | Err(_) => data,
    }
}

fn entry_json(place: &Place, entry: &Entry) -> Value {
    json!({
        "gid": entry.group(),
        "mode": entry.mode_text(),
        "mtime": entry.modified_secs(),
        "nlink": entry.nlink,
        "path": format!("{}/{}", place.shown, entry.name),
        "size": entry.size,
        "uid": entry.user(),
    })
}

fn refuse(error: &FileError) -> HttpResponse {
    let status = match error {
        FileError::NotFound(_) => StatusCode::NOT_FOUND,
        FileError::Invalid(_) | FileError::NotAFile(_) => StatusCode::BAD_REQUEST,
        FileError::Io { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    text(status, format!("{error}.\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said to whoever follows a file of a container, when this is answered.
    async fn asked(answer: Result<Ended, NotWaited>) -> Result<Option<Ended>, HttpResponse> {
        let (inputs, mut queue) = mpsc::channel(1);
        let container = Some("c".parse().unwrap());
        let told = async {
            let Some(Input::Wait(_, reply)) = queue.recv().await else { panic!("another question") };
            reply.send(answer).unwrap();
        };
        tokio::join!(end_of(&inputs, container), told).0
    }

    #[tokio::test]
    async fn who_would_not_hear_of_the_end_is_told_before_and_not_that_it_has_come() {
        let refused = asked(Err(NotWaited::TooMany)).await.expect_err("503");
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(asked(Err(NotWaited::Unknown)).await.is_ok_and(|ended| ended.is_none()), "it has come");
        let (_told, ended) = oneshot::channel();
        assert!(asked(Ok(ended)).await.is_ok_and(|ended| ended.is_some()));
    }
}
