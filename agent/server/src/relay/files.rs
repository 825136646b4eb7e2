//! Files for a reader at the master: the agent dials, proves itself by the token, and sends as much as the reader takes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chapada_model::TaskKey;
use chapada_wire::link::agent_link_client::AgentLinkClient;
use chapada_wire::link::{
    self, FromRelay, OpenRelay, ReadFile, RelayFailed, SandboxPath, ToRelay, from_relay, open_relay,
    relay_failed,
};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Streaming;

use super::read::CHUNK;
use super::{Entry, FileError, Files, Reader};
use crate::link::dial;
use crate::shell::Input;

/// Files being read at once; a follower may stay for hours and costs a connection and a few KiB.
const READERS: usize = 256;
/// A reader that takes nothing for so long has gone.
const STALLED: Duration = Duration::from_secs(600);
/// How often a followed file is looked at for more.
const LOOK: Duration = Duration::from_millis(100);
/// Messages between the file and the network: credit is what bounds them, this only decouples.
const AHEAD: usize = 4;
/// Entries of one listing message; a message is at most 256 KiB, and a name at most 255 bytes.
const ENTRIES: usize = 200;

/// Serves relays until `stop`.
pub(crate) async fn serve(
    files: Files,
    inputs: mpsc::Sender<Input>,
    mut asked: mpsc::Receiver<(OpenRelay, SocketAddr)>,
    stop: CancellationToken,
) {
    let (tracker, slots) = (TaskTracker::new(), Arc::new(Semaphore::new(READERS)));
    while let Some(Some((open, leader))) = stop.run_until_cancelled(asked.recv()).await {
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            tracing::warn!("{READERS} files are being read; another was not served");
            continue;
        };
        let (files, inputs, stop) = (files.clone(), inputs.clone(), stop.clone());
        tracker.spawn(async move {
            if let Some(Err(error)) = stop.run_until_cancelled(relay(files, inputs, open, leader)).await {
                tracing::debug!(error, "a relay ended");
            }
            drop(slot);
        });
    }
    tracker.close();
    tracker.wait().await;
}

/// One reader.
struct Relay {
    files: Files,
    inputs: mpsc::Sender<Input>,
    send: mpsc::Sender<FromRelay>,
    credits: Streaming<ToRelay>,
    credit: u64,
}

async fn relay(
    files: Files,
    inputs: mpsc::Sender<Input>,
    open: OpenRelay,
    leader: SocketAddr,
) -> Result<(), String> {
    let channel = dial(leader).await.map_err(|error| crate::machine::chain(&error))?;
    let (send, sent) = mpsc::channel(AHEAD);
    let hello = link::RelayHello { token: open.token };
    send.send(message(from_relay::Message::Hello(hello))).await.map_err(|_| gone())?;
    let mut client = AgentLinkClient::new(channel);
    let credits =
        client.relay(ReceiverStream::new(sent)).await.map_err(|status| status.message().to_owned())?;
    let mut relay = Relay { files, inputs, send, credits: credits.into_inner(), credit: 0 };
    let outcome = match open.request {
        Some(open_relay::Request::Browse(browse)) => relay.browse(browse.of).await,
        Some(open_relay::Request::Read(read)) => relay.read(read).await,
        None => Err(RelayEnd::Failed(FileError::Invalid("this agent does not know this request".to_owned()))),
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
        let (task, path) = task_and_path(read.of)?;
        let reader = Arc::new(self.open(&task, &path, read.follow).await?);
        let mut offset = match u64::try_from(read.offset) {
            Ok(offset) => offset,
            Err(_) => reader.size()?.saturating_sub(read.offset.unsigned_abs()),
        };
        let mut left = read.length.unwrap_or(u64::MAX);
        while left > 0 {
            let allowed = self.allowance().await?.min(left);
            let live = read.follow && self.is_live(&task).await;
            let file = reader.clone();
            let chunk = blocking(move || file.read(offset, allowed)).await?;
            if chunk.data.is_empty() {
                if !live {
                    return Ok(());
                }
                self.pause().await?;
                continue;
            }
            let taken = chunk.data.len() as u64;
            (offset, left, self.credit) = (offset + taken, left - taken, self.credit - taken);
            let chunk = link::FileChunk { offset: chunk.offset, data: chunk.data, size: chunk.size };
            self.say(from_relay::Message::Chunk(chunk)).await?;
        }
        Ok(())
    }

    /// Opens the file; one that is followed may not be there yet.
    async fn open(&mut self, task: &TaskKey, path: &str, follow: bool) -> Result<Reader, RelayEnd> {
        loop {
            let live = follow && self.is_live(task).await;
            let (files, key, path) = (self.files.clone(), task.clone(), path.to_owned());
            let opened = blocking(move || files.reader(&files.of_task(&key, &path)?)).await;
            match opened {
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

/// Runs what blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    let panicked = |error| FileError::Io { path: "a file".to_owned(), source: std::io::Error::other(error) };
    spawn_blocking(work).await.map_err(panicked)?
}

fn message(message: from_relay::Message) -> FromRelay {
    FromRelay { message: Some(message) }
}

fn gone() -> String {
    "the reader has gone".to_owned()
}
