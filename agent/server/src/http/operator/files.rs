//! LIST_FILES and READ_FILE: sandboxes, by the paths that Mesos gives them.

use std::sync::Arc;

use chapada_wire::v1;
use chapada_wire::v1::agent::response::{ListFiles, ReadFile, Type as Answer};
use chapada_wire::v1::agent::{Call, Response};
use http::StatusCode;

use super::{Api, Refusal, bare, invalid, refusal};
use crate::files::{Entry, FileError, Place, blocking};

pub(super) async fn list(api: &Arc<Api>, asked: &Call) -> Result<Response, Refusal> {
    let path = asked.list_files.as_ref().and_then(|list| list.path.clone());
    let path = path.ok_or_else(|| invalid("Expecting 'list_files' to be present"))?;
    let api = api.clone();
    let listed = blocking(move || {
        let place = api.files.place(&path)?;
        let entries = api.files.browse(&place)?;
        Ok(entries.iter().map(|entry| file_info(&place, entry)).collect())
    });
    let file_infos = listed.await.map_err(|error| refused(&error))?;
    Ok(Response { list_files: Some(ListFiles { file_infos }), ..bare(Answer::ListFiles) })
}

pub(super) async fn read(api: &Arc<Api>, asked: &Call) -> Result<Response, Refusal> {
    let wanted = asked.read_file.clone();
    let wanted = wanted.ok_or_else(|| invalid("Expecting 'read_file' to be present"))?;
    let api = api.clone();
    let read = blocking(move || {
        let reader = api.files.reader(&api.files.place(wanted.path())?)?;
        reader.read(wanted.offset(), wanted.length.unwrap_or(u64::MAX))
    });
    let chunk = read.await.map_err(|error| refused(&error))?;
    let read_file = Some(ReadFile { size: Some(chunk.size), data: Some(chunk.data) });
    Ok(Response { read_file, ..bare(Answer::ReadFile) })
}

fn file_info(place: &Place, entry: &Entry) -> v1::FileInfo {
    let (seconds, nanos) = entry.modified;
    v1::FileInfo {
        path: Some(format!("{}/{}", place.shown, entry.name)),
        nlink: i32::try_from(entry.nlink).ok(),
        size: Some(entry.size),
        mtime: Some(v1::TimeInfo { nanoseconds: Some(seconds.saturating_mul(1_000_000_000) + nanos) }),
        mode: Some(entry.mode),
        uid: Some(entry.user()),
        gid: Some(entry.group()),
    }
}

fn refused(error: &FileError) -> Refusal {
    match error {
        // As Mesos: no text, and yet a form of it.
        FileError::NotFound(_) => refusal(StatusCode::NOT_FOUND, String::new()),
        FileError::Invalid(_) | FileError::NotAFile(_) => refusal(StatusCode::BAD_REQUEST, error.to_string()),
        FileError::Io { .. } => refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}
