//! LIST_FILES and READ_FILE. A master keeps no files for others: its log goes to standard error. The one name that
//! tools look for, `/master/log`, is there and holds nothing.

use chapada_listener::{HttpResponse, empty};
use chapada_wire::v1::master::response::{ListFiles, Type as Answer};
use chapada_wire::v1::master::{Call, Response};
use http::StatusCode;

use super::calls::{bare, invalid};

/// Where Mesos shows its log.
const LOG: &str = "/master/log";

/// Whether there is a folder of this name.
pub(crate) fn is_folder(path: &str) -> bool {
    path.strip_suffix('/').unwrap_or(path) == LOG
}

#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
pub(super) fn list(asked: &Call) -> Result<Response, HttpResponse> {
    let list = asked.list_files.as_ref().and_then(|list| list.path.as_deref());
    let path = list.ok_or_else(|| invalid("Expecting 'list_files' to be present"))?;
    match is_folder(path) {
        true => Ok(Response { list_files: Some(ListFiles::default()), ..bare(Answer::ListFiles) }),
        false => Err(empty(StatusCode::NOT_FOUND)),
    }
}

/// There is none to read.
pub(super) fn read(asked: &Call) -> HttpResponse {
    match &asked.read_file {
        None => invalid("Expecting 'read_file' to be present"),
        Some(_) => empty(StatusCode::NOT_FOUND),
    }
}
