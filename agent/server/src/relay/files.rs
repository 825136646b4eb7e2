//! Files for a reader at the master, as much as the reader takes.

use std::time::Duration;

use chapada_model::TaskKey;
use chapada_wire::link::{
    self, FromRelay, OpenRelay, ReadFile, RelayFailed, SandboxPath, ToRelay, from_relay, open_relay,
    relay_failed,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{AHEAD, Relays, dial_back, message};
use crate::files::{CHUNK, Entry, FileError, Files, LogReader, blocking};
use crate::link::Way;
use crate::shell::Input;

/// A reader that takes nothing for so long has gone.
const STALLED: Duration = Duration::from_secs(600);
/// How often a followed file is looked at for more.
const LOOK: Duration = Duration::from_millis(100);
/// Entries of one listing message; a message is at most 256 KiB, and a name at most 255 bytes.
const ENTRIES: usize = 200;

/// One reader.
struct Relay {
    files: Files,
    inputs: mpsc::Sender<Input>,
    send: mpsc::Sender<FromRelay>,
    credits: Streaming<ToRelay>,
    credit: u64,
}

pub(super) async fn send(relays: Relays, open: OpenRelay, leader: &Way) -> Result<(), String> {
    let (send, sent) = mpsc::channel(AHEAD);
    let credits = dial_back(leader, open.token, ReceiverStream::new(sent)).await?;
    let mut relay = Relay { files: relays.files, inputs: relays.inputs, send, credits, credit: 0 };
    let outcome = match open.request {
        Some(open_relay::Request::Browse(browse)) => relay.browse(browse.of).await,
        Some(open_relay::Request::Read(read)) => relay.read(read).await,
        // A newer master's, for one.
        Some(open_relay::Request::ServeApi(_)) | None => {
            Err(RelayEnd::Failed(FileError::Invalid("this agent does not know this request".to_owned())))
        }
    };
    match outcome {
        Ok(()) => relay.say(from_relay::Message::Done(link::RelayDone {})).await.map_err(|_| gone()),
        Err(RelayEnd::Failed(error)) => {
            let failed = RelayFailed { kind: kind_of(&error) as i32, message: error.to_string() };
            relay.say(from_relay::Message::Failed(failed)).await.map_err(|_| gone())
        }
        Err(RelayEnd::ReaderGone) => Err(gone()),
    }?;
    // The reader closes once it has taken the last message.
    drop(relay.send);
    while let Ok(Ok(Some(_))) = timeout(STALLED, relay.credits.message()).await {}
    Ok(())
}

enum RelayEnd {
    Failed(FileError),
    ReaderGone,
}

impl From<FileError> for RelayEnd {
    fn from(error: FileError) -> Self {
        Self::Failed(error)
    }
}

impl Relay {
    async fn browse(&mut self, of: Option<SandboxPath>) -> Result<(), RelayEnd> {
        let (task, path) = task_and_path(of)?;
        let files = self.files.clone();
        let listed = blocking(move || {
            let place = files.of_task(&task, &path)?;
            let entries = files.browse(&place)?;
            Ok(entries.iter().map(|entry| wire_entry(&place.shown, entry)).collect::<Vec<_>>())
        })
        .await?;
        for page in listed.chunks(ENTRIES) {
            let entries = link::FileEntries { entries: page.to_vec() };
            self.say(from_relay::Message::Entries(entries)).await?;
        }
        if listed.is_empty() {
            self.say(from_relay::Message::Entries(link::FileEntries::default())).await?;
        }
        Ok(())
    }

    async fn read(&mut self, read: ReadFile) -> Result<(), RelayEnd> {
        let (task, path) = task_and_path(read.of.clone())?;
        let mut log = self.open(&task, &path, &read).await?;
        let turns = read.follow || read.lines.is_some();
        let mut left = read.length.unwrap_or(u64::MAX);
        while left > 0 {
            let allowed = self.allowance().await?.min(left);
            let live = read.follow && self.is_live(&task).await;
            let chunk;
            (log, chunk) = blocking(move || {
                let chunk = if turns { log.next(allowed) } else { log.read(allowed) }?;
                Ok((log, chunk))
            })
            .await?;
            if chunk.data.is_empty() {
                if !live {
                    return Ok(());
                }
                self.pause().await?;
                continue;
            }
            let taken = chunk.data.len() as u64;
            (left, self.credit) = (left - taken, self.credit - taken);
            let chunk = link::FileChunk { offset: chunk.offset, data: chunk.data, size: chunk.size };
            self.say(from_relay::Message::Chunk(chunk)).await?;
        }
        Ok(())
    }

    /// Opens the file; one that is followed may not be there yet.
    async fn open(&mut self, task: &TaskKey, path: &str, read: &ReadFile) -> Result<LogReader, RelayEnd> {
        let (offset, lines) = (read.offset, read.lines);
        loop {
            let live = read.follow && self.is_live(task).await;
            let (files, key, path) = (self.files.clone(), task.clone(), path.to_owned());
            let opened = blocking(move || {
                let place = files.of_task(&key, &path)?;
                match lines {
                    Some(lines) => LogReader::last_lines(files, place, lines),
                    None => LogReader::at(files, place, offset),
                }
            });
            match opened.await {
                Err(FileError::NotFound(_)) if live => self.pause().await?,
                other => return Ok(other?),
            }
        }
    }

    /// Waits for the time to look again, or for the reader to leave.
    async fn pause(&mut self) -> Result<(), RelayEnd> {
        match timeout(LOOK, self.credits.message()).await {
            Err(_) => Ok(()),
            Ok(Ok(Some(more))) => {
                self.credit = self.credit.saturating_add(more.credit);
                Ok(())
            }
            Ok(Ok(None) | Err(_)) => Err(RelayEnd::ReaderGone),
        }
    }

    /// Waits until the reader takes more, and says how much of a chunk that is.
    async fn allowance(&mut self) -> Result<u64, RelayEnd> {
        while self.credit == 0 {
            match timeout(STALLED, self.credits.message()).await {
                Ok(Ok(Some(more))) => self.credit = self.credit.saturating_add(more.credit),
                Ok(Ok(None) | Err(_)) | Err(_) => return Err(RelayEnd::ReaderGone),
            }
        }
        Ok(self.credit.min(CHUNK as u64))
    }

    async fn is_live(&self, task: &TaskKey) -> bool {
        let (reply, answer) = oneshot::channel();
        let asked = self.inputs.send(Input::IsLive(task.clone(), reply)).await;
        asked.is_ok() && answer.await.unwrap_or(false)
    }

    async fn say(&self, said: from_relay::Message) -> Result<(), RelayEnd> {
        self.send.send(message(said)).await.map_err(|_| RelayEnd::ReaderGone)
    }
}

fn task_and_path(of: Option<SandboxPath>) -> Result<(TaskKey, String), FileError> {
    let of = of.ok_or_else(|| FileError::Invalid("the request names no file".to_owned()))?;
    let invalid = |error: chapada_model::InvalidId| FileError::Invalid(error.to_string());
    let framework = of.framework_id.parse().map_err(invalid)?;
    let task = of.task_id.parse().map_err(invalid)?;
    Ok((TaskKey { framework, task }, of.path))
}

fn wire_entry(directory: &str, entry: &Entry) -> link::FileEntry {
    let path = if directory.is_empty() { entry.name.clone() } else { format!("{directory}/{}", entry.name) };
    let modified_ms = entry.modified.0.saturating_mul(1000) + entry.modified.1 / 1_000_000;
    link::FileEntry {
        path,
        name: entry.name.clone(),
        size: entry.size,
        modified_ms: u64::try_from(modified_ms).unwrap_or_default(),
        mode: entry.mode,
        nlink: u32::try_from(entry.nlink).unwrap_or(u32::MAX),
        user: entry.user(),
        group: entry.group(),
    }
}

fn kind_of(error: &FileError) -> relay_failed::Kind {
    match error {
        FileError::NotFound(_) => relay_failed::Kind::NotFound,
        FileError::Invalid(_) => relay_failed::Kind::Invalid,
        FileError::NotAFile(_) => relay_failed::Kind::NotAFile,
        FileError::Io { .. } => relay_failed::Kind::Failed,
    }
}

fn gone() -> String {
    "the reader has gone".to_owned()
}
