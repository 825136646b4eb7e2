//! Files of tasks, relayed from their agents.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use chapada_listener::{Call, HttpResponse, json, text};
use chapada_master_core::Snapshot;
use chapada_model::AgentId;
use chapada_wire::link::{
    BrowseFiles, FileChunk, FileEntry, ReadFile, SandboxPath, from_relay, open_relay, relay_failed,
};
use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use serde_json::{Value, json as value};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use warp::Reply;
use warp::sse::Event;

use super::page::key;
use crate::agent_link::{RelayError, RelayReader};
use crate::books;
use crate::shell::{Led, Shell};

/// The most one `/files/read` brings. Source: Mesos reads sixteen pages.
const MAX_READ: u64 = 64 * 1024;
/// Pieces between the relay and a reader; a slow reader holds up only itself.
const QUEUE: usize = 4;

/// What is done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileAccess {
    Browse,
    Read,
    Download,
    Follow,
}

/// Answers a request for a task's files.
pub(super) async fn handle(shell: Arc<Shell>, access: FileAccess, call: Call) -> HttpResponse {
    match answer(shell, access, &call).await {
        Ok(response) | Err(response) => response,
    }
}

async fn answer(shell: Arc<Shell>, access: FileAccess, call: &Call) -> Result<HttpResponse, HttpResponse> {
    let books = shell.books().await;
    let (led, books) = books.map_err(|elsewhere| elsewhere.response(&crate::plain::path_and_query(call)))?;
    let (agent, of) = locate(&books, call)?;
    drop(books);
    let query = call.query();
    let number = |name: &str| match query.get(name).filter(|text| !text.is_empty()) {
        Some(number) => match number.parse::<i64>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!("'{name}' must be a whole number, not '{number}'")),
        },
        None => Ok(None),
    };
    let bad = |message: String| text(StatusCode::BAD_REQUEST, message);
    let offset = number("offset").map_err(bad)?.unwrap_or(0);
    let lines = number("lines").map_err(bad)?.map(|lines| u64::try_from(lines).unwrap_or(u64::MAX));
    let read = |length, follow, lines| {
        let of = Some(of.clone());
        open_relay::Request::Read(ReadFile { of, offset, length, follow, lines })
    };
    match access {
        FileAccess::Browse => {
            let request = open_relay::Request::Browse(BrowseFiles { of: Some(of) });
            browse(open(&led, &agent, request).await?).await
        }
        FileAccess::Read => {
            let length = number("length").map_err(bad)?.and_then(|length| u64::try_from(length).ok());
            let length = length.unwrap_or(MAX_READ).min(MAX_READ);
            read_once(open(&led, &agent, read(Some(length), false, None)).await?, offset).await
        }
        FileAccess::Download => Ok(download(open(&led, &agent, read(None, false, lines)).await?, &of.path)),
        FileAccess::Follow => {
            let reader = open(&led, &agent, read(None, true, lines)).await?;
            Ok(follow(shell, led, reader))
        }
    }
}

#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
fn locate(books: &Snapshot, call: &Call) -> Result<(AgentId, SandboxPath), HttpResponse> {
    let (framework, task) = (call.param("framework"), call.param("task"));
    let found = key(framework, task).and_then(|key| books::task(books, &key).cloned());
    let found = found.ok_or_else(|| {
        text(StatusCode::NOT_FOUND, format!("there is no task {task} of framework {framework}"))
    })?;
    let path = call.query().get("path").unwrap_or_default().to_owned();
    let of = SandboxPath { framework_id: framework.to_owned(), task_id: task.to_owned(), path };
    Ok((found.agent.clone(), of))
}

async fn open(led: &Led, agent: &AgentId, request: open_relay::Request) -> Result<RelayReader, HttpResponse> {
    led.relays.read(agent, request).await.map_err(|error| refusal(&error))
}

fn refusal(error: &RelayError) -> HttpResponse {
    let status = match error {
        RelayError::NotConnected(_) | RelayError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        RelayError::NoAnswer => StatusCode::GATEWAY_TIMEOUT,
        RelayError::Failed { kind, .. } => match kind {
            relay_failed::Kind::NotFound => StatusCode::NOT_FOUND,
            relay_failed::Kind::Invalid | relay_failed::Kind::NotAFile => StatusCode::BAD_REQUEST,
            relay_failed::Kind::Failed | relay_failed::Kind::Unknown => StatusCode::BAD_GATEWAY,
        },
    };
    text(status, error.to_string())
}

async fn browse(mut reader: RelayReader) -> Result<HttpResponse, HttpResponse> {
    let mut entries: Vec<Value> = Vec::new();
    while let Some(message) = reader.next(false).await.map_err(|error| refusal(&error))? {
        if let from_relay::Message::Entries(page) = message {
            entries.extend(page.entries.iter().map(entry));
        }
    }
    Ok(json(StatusCode::OK, &entries))
}

fn entry(entry: &FileEntry) -> Value {
    value!({
        "name": entry.name,
        "path": entry.path,
        "size": entry.size,
        "mtime": entry.modified_ms,
        "mode": mode(entry.mode),
        "nlink": entry.nlink,
        "uid": entry.user,
        "gid": entry.group,
        "dir": is_folder(entry.mode),
    })
}

/// The bits of a mode that say what kind of file it is, and the value of a folder. Source: stat(2).
const KIND: u32 = 0o170_000;
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

fn is_folder(mode: u32) -> bool {
    mode & KIND == FOLDER
}

/// As `ls` writes it: `-rw-r--r--`.
fn mode(mode: u32) -> String {
    let kind = match mode & KIND {
        FOLDER => 'd',
        LINK => 'l',
        _ => '-',
    };
    let bit = |(index, letter): (u32, char)| if mode & (0o400 >> index) != 0 { letter } else { '-' };
    std::iter::once(kind).chain((0..9).zip("rwxrwxrwx".chars()).map(bit)).collect()
}

async fn read_once(mut reader: RelayReader, asked: i64) -> Result<HttpResponse, HttpResponse> {
    let (mut data, mut start) = (Vec::new(), None);
    let mut size = 0;
    while let Some(message) = reader.next(false).await.map_err(|error| refusal(&error))? {
        if let from_relay::Message::Chunk(chunk) = message {
            start.get_or_insert(chunk.offset);
            size = chunk.size;
            data.extend_from_slice(&chunk.data);
        }
    }
    if asked == -1 {
        // Mesos answers a read at -1 with the size alone.
        return Ok(json(StatusCode::OK, &value!({"data": "", "offset": size})));
    }
    let offset = start.unwrap_or_else(|| u64::try_from(asked).unwrap_or(0));
    let text = whole_characters(&data);
    Ok(json(StatusCode::OK, &value!({"data": text, "offset": offset})))
}

/// The text, without a character that is cut off at the end: the next read brings it whole.
fn whole_characters(data: &[u8]) -> std::borrow::Cow<'_, str> {
    let cut = match std::str::from_utf8(data) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        Ok(_) | Err(_) => data.len(),
    };
    String::from_utf8_lossy(&data[..cut])
}

fn download(mut reader: RelayReader, path: &str) -> HttpResponse {
    let (sender, pieces) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        loop {
            let piece = match reader.next(false).await {
                Ok(Some(from_relay::Message::Chunk(chunk))) => Ok(Bytes::from(chunk.data)),
                Ok(Some(_)) => continue,
                Ok(None) => return,
                Err(error) => Err(error),
            };
            let failed = piece.is_err();
            if sender.send(piece).await.is_err() || failed {
                return;
            }
        }
    });
    let pieces = ReceiverStream::new(pieces);
    let mut response = chapada_listener::stream(StatusCode::OK, "application/octet-stream", pieces);
    let name: String = path.rsplit('/').next().unwrap_or("").chars().filter(|c| is_plain(*c)).collect();
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    // What a task wrote must never run as a page of ours.
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

fn follow(shell: Arc<Shell>, led: Arc<Led>, mut reader: RelayReader) -> HttpResponse {
    let (sender, events) = mpsc::channel::<Result<Event, Infallible>>(QUEUE);
    tokio::spawn(async move {
        let mut rest = Vec::new();
        loop {
            let message = tokio::select! {
                message = reader.next(true) => message,
                () = sender.closed() => return,
                () = led.ended.cancelled() => return,
                () = shell.stop.cancelled() => return,
            };
            let (event, is_last) = match message {
                Ok(Some(from_relay::Message::Chunk(chunk))) => (piece(&mut rest, &chunk), false),
                Ok(Some(_)) => continue,
                Ok(None) => (Event::default().event("end").data("{}"), true),
                Err(error) => {
                    let why = value!({"message": error.to_string()}).to_string();
                    (Event::default().event("failed").data(why), true)
                }
            };
            if sender.send(Ok(event)).await.is_err() || is_last {
                return;
            }
        }
    });
    let keep_alive = warp::sse::keep_alive().interval(std::time::Duration::from_secs(15));
    warp::sse::reply(keep_alive.stream(ReceiverStream::new(events))).into_response()
}

/// A piece of the file as an event; a character that is cut in two waits for its other half in `rest`.
fn piece(rest: &mut Vec<u8>, chunk: &FileChunk) -> Event {
    let offset = chunk.offset.saturating_sub(rest.len() as u64);
    rest.extend_from_slice(&chunk.data);
    let keep = match std::str::from_utf8(rest) {
        Err(error) if error.error_len().is_none() && rest.len() - error.valid_up_to() < 4 => {
            error.valid_up_to()
        }
        Ok(_) | Err(_) => rest.len(),
    };
    let later = rest.split_off(keep);
    let data = String::from_utf8_lossy(rest).into_owned();
    *rest = later;
    Event::default().data(value!({"offset": offset, "data": data}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_as_ls_writes_them() {
        assert_eq!(mode(0o100_644), "-rw-r--r--");
        assert_eq!(mode(0o040_755), "drwxr-xr-x");
        assert_eq!(mode(0o120_777), "lrwxrwxrwx");
    }

    #[test]
    fn characters_are_never_cut_in_two() {
        assert_eq!(whole_characters("aß".as_bytes()), "aß");
        assert_eq!(whole_characters(&"aß".as_bytes()[..2]), "a");
        assert_eq!(whole_characters(&[b'a', 0xff, b'b']), "a\u{fffd}b");
    }
}
