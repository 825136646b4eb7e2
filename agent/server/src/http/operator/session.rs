//! LAUNCH_NESTED_CONTAINER_SESSION: a program beside a task's command, whose output is the answer. It ends with the connection.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use chapada_listener::{Call as HttpCall, HttpResponse, form_accepted, stream};
use chapada_model::ContainerId;
use chapada_shim::{ClientError, Event, ExecSpec, Session, SessionStreams, WindowSize};
use chapada_wire::Media;
use chapada_wire::v1;
use chapada_wire::v1::agent::{Call, ProcessIo, process_io};
use http::header::HeaderValue;
use http::{HeaderName, StatusCode};
use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::{Api, Refusal, invalid, refusal};
use crate::containers::beside;

/// Sessions at once; each holds two threads that read.
const SESSIONS: usize = 64;
/// Records between the program and the network. A reader that is slow makes the program wait, as a terminal does.
const AHEAD: usize = 16;
/// What is read at once.
const PIECE: usize = 16 * 1024;
const RECORDIO: &str = "application/recordio";
const MESSAGE_ACCEPT: &str = "message-accept";
const MESSAGE_CONTENT_TYPE: HeaderName = HeaderName::from_static("message-content-type");

static SLOTS: Semaphore = Semaphore::const_new(SESSIONS);

pub(super) async fn open(api: &Arc<Api>, call: &HttpCall, asked: &Call) -> Result<HttpResponse, Refusal> {
    let media = form_of_messages(call)?;
    let launch = asked.launch_nested_container_session.as_ref();
    let launch =
        launch.ok_or_else(|| invalid("Expecting 'launch_nested_container_session' to be present"))?;
    let (mut spec, parent) = program(api, launch).await?;
    let terminal = launch.container.as_ref().and_then(|container| container.tty_info.as_ref());
    spec.terminal = terminal.map(size_of);
    let failed =
        |error: &dyn std::fmt::Display| refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    let slot = SLOTS.try_acquire().map_err(|_| {
        refusal(StatusCode::SERVICE_UNAVAILABLE, format!("{SESSIONS} sessions are open; end one of them"))
    })?;
    let (streams, outputs) = match spec.terminal {
        Some(_) => (None, Vec::new()),
        None => pipes().map(|(streams, outputs)| (Some(streams), outputs)).map_err(|error| failed(&error))?,
    };
    let runtime_dir = api.means.runtime_dir.join(parent.as_str());
    let session = Session::start(&runtime_dir, &spec, streams).map_err(|error| failed(&error))?;
    let session = watch(session).map_err(|error| failed(&error))?;
    let (body, records) = mpsc::channel(AHEAD);
    for (kind, file) in outputs {
        read_from(file, kind, media, body.clone());
    }
    api.tasks.spawn(async move {
        let _slot = slot;
        if let Err(error) = attend(session, media, &body).await {
            tracing::debug!(container_id = %parent, %error, "a session broke");
        }
    });
    let records = ReceiverStream::new(records).map(Ok::<_, io::Error>);
    let mut response = stream(StatusCode::OK, RECORDIO, records);
    let form = HeaderValue::from_static(media.content_type());
    response.headers_mut().insert(MESSAGE_CONTENT_TYPE, form);
    Ok(response)
}

/// The form of the records: as `Message-Accept` says in a stream of records, or as `Accept` says.
fn form_of_messages(call: &HttpCall) -> Result<Media, Refusal> {
    let Some(wanted) = call.header(MESSAGE_ACCEPT) else {
        let forms = [
            (RECORDIO, Media::Json),
            (Media::Json.content_type(), Media::Json),
            (Media::Protobuf.content_type(), Media::Protobuf),
        ];
        return form_accepted(call, &forms).map_err(Box::new);
    };
    let wanted = wanted.split(';').next().unwrap_or_default().trim();
    let found = Media::KNOWN.iter().find(|(name, _)| *name == wanted || wanted == "*/*");
    found.map(|(_, media)| *media).ok_or_else(|| {
        let message = "Expecting 'Message-Accept' to be 'application/json' or 'application/x-protobuf'";
        refusal(StatusCode::NOT_ACCEPTABLE, message.to_owned())
    })
}

/// What to run, and the container it runs in.
async fn program(
    api: &Api,
    launch: &v1::agent::call::LaunchNestedContainerSession,
) -> Result<(ExecSpec, ContainerId), Refusal> {
    let field = "launch_nested_container_session";
    let id = launch.container_id.as_ref().and_then(|id| id.parent.as_ref());
    let parent = id.and_then(|parent| parent.value.as_deref());
    let parent =
        parent.ok_or_else(|| invalid(&format!("Expecting '{field}.container_id.parent' to be present")))?;
    let command = launch.command.as_ref();
    let command = command.ok_or_else(|| invalid(&format!("Expecting '{field}.command' to be present")))?;
    let view = api.view().await.map_err(Box::new)?;
    let found =
        view.tasks.iter().find(|task| task.record.container.as_str() == parent && task.phase.pid().is_some());
    let unknown = || refusal(StatusCode::NOT_FOUND, format!("Container {parent} cannot be found"));
    let (task, agent) = found.zip(view.agent.as_ref()).ok_or_else(unknown)?;
    let spec = beside(&api.means, agent, &task.record, command).map_err(|problem| invalid(&problem))?;
    Ok((spec, task.record.container.clone()))
}

fn size_of(terminal: &v1::TtyInfo) -> WindowSize {
    let size = terminal.window_size.unwrap_or_default();
    let side =
        |side: Option<u32>, usual: u16| side.and_then(|side| u16::try_from(side).ok()).unwrap_or(usual);
    WindowSize { rows: side(size.rows, 24), columns: side(size.columns, 80) }
}

/// What a program writes to, and our ends of it.
type Outputs = Vec<(process_io::data::Type, File)>;

/// Nothing to read, and two pipes to write.
fn pipes() -> io::Result<(SessionStreams, Outputs)> {
    let pipe = || -> io::Result<(File, OwnedFd)> {
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
        Ok((ours.into(), theirs))
    };
    let ((out, stdout), (err, stderr)) = (pipe()?, pipe()?);
    let streams = SessionStreams { stdin: File::open("/dev/null")?.into(), stdout, stderr };
    Ok((streams, vec![(process_io::data::Type::Stdout, out), (process_io::data::Type::Stderr, err)]))
}

/// Sends what a program writes until it and all it started are gone, or nobody reads any more.
fn read_from(mut file: File, kind: process_io::data::Type, media: Media, body: mpsc::Sender<Bytes>) {
    drop(tokio::task::spawn_blocking(move || {
        let mut piece = vec![0; PIECE];
        loop {
            let count = match file.read(&mut piece) {
                // A terminal that is gone says so by an error.
                Ok(0) | Err(_) => return,
                Ok(count) => count,
            };
            let data = process_io::Data { r#type: Some(kind as i32), data: Some(piece[..count].to_vec()) };
            let record = ProcessIo {
                r#type: Some(process_io::Type::Data as i32),
                data: Some(data),
                ..ProcessIo::default()
            };
            if body.blocking_send(media.record(&record)).is_err() {
                return;
            }
        }
    }));
}

/// Stays until the program has ended, or nobody reads any more; the program is killed then.
async fn attend(
    mut session: AsyncFd<Session>,
    media: Media,
    body: &mpsc::Sender<Bytes>,
) -> Result<(), ClientError> {
    loop {
        while let Some(event) = session.get_mut().poll_event()? {
            match event {
                Event::SessionTerminal => {
                    if let Some(terminal) = session.get_mut().take_terminal() {
                        read_from(terminal, process_io::data::Type::Stdout, media, body.clone());
                    }
                }
                Event::SessionEnded { .. } | Event::Refused { .. } => return Ok(()),
                _ => {}
            }
        }
        tokio::select! {
            () = body.closed() => return Ok(()),
            ready = session.readable_mut() => ready.map_err(ClientError::Broken)?.clear_ready(),
        }
    }
}

#[expect(
    deprecated,
    reason = "the replacement is unsafe; a session has one descriptor for life, which is all it asks"
)]
fn watch(session: Session) -> io::Result<AsyncFd<Session>> {
    AsyncFd::new(session)
}
