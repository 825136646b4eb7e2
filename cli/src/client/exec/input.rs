//! What a command reads: a stream of records, with the size of the window and now and then that we are alive.

use std::io::{self, Read};
use std::time::Duration;

use bytes::Bytes;
use chapada_wire::Media;
use chapada_wire::v1;
use chapada_wire::v1::agent::call::{AttachContainerInput, Type, attach_container_input};
use chapada_wire::v1::agent::process_io::{self, Control, Data, control, data};
use chapada_wire::v1::agent::{Call, ProcessIo};
use chapada_wire::v1::tty_info::WindowSize;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::terminal;
use crate::client::api::Sending;

/// What is read at once.
const PIECE: usize = 16 * 1024;
/// Pieces and records that wait for the network; a program that does not read makes whoever writes to us wait.
const AHEAD: usize = 4;
/// Source: Mesos' clients. A master gives up a stream that says nothing for ten minutes.
const BEAT: Duration = Duration::from_secs(30);

/// What the command hears from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Its standard input is at its end.
    Nothing,
    /// It is on a terminal that nobody types on.
    Size,
    /// Our standard input; on a terminal its size as well.
    Everything { terminal: bool },
}

/// The stream of records. It goes on until it is dropped.
pub(super) fn records(container: &v1::ContainerId, wanted: Wanted) -> Sending {
    let (sender, records) = mpsc::channel(AHEAD);
    tokio::spawn(say_all(container.clone(), wanted, sender));
    let frames = ReceiverStream::new(records).map(|record| Ok::<_, io::Error>(Frame::data(record)));
    StreamBody::new(frames).boxed_unsync()
}

/// Says everything until nobody listens.
async fn say_all(container: v1::ContainerId, wanted: Wanted, to: mpsc::Sender<Bytes>) {
    let attach = AttachContainerInput {
        r#type: Some(attach_container_input::Type::ContainerId.into()),
        container_id: Some(container),
        ..AttachContainerInput::default()
    };
    let first = (wanted == Wanted::Nothing).then(end);
    let mut sizes = match wanted {
        Wanted::Size | Wanted::Everything { terminal: true } => signal(SignalKind::window_change()).ok(),
        Wanted::Nothing | Wanted::Everything { terminal: false } => None,
    };
    // The window may have changed since the command was launched.
    let first = first.or_else(|| sizes.is_some().then(resized));
    let mut typed = matches!(wanted, Wanted::Everything { .. }).then(read_stdin);
    if to.send(record(attach)).await.is_err() {
        return;
    }
    let mut next = first;
    loop {
        if let Some(io) = next.take()
            && to.send(record(of_process(io))).await.is_err()
        {
            return;
        }
        next = tokio::select! {
            piece = next_piece(&mut typed) => Some(piece),
            () = changed(&mut sizes) => Some(resized()),
            () = tokio::time::sleep(BEAT) => Some(beat()),
            () = to.closed() => return,
        };
    }
}

/// The next of what is typed; after its end there is none.
async fn next_piece(typed: &mut Option<mpsc::Receiver<Vec<u8>>>) -> ProcessIo {
    match typed {
        None => std::future::pending().await,
        Some(pieces) => match pieces.recv().await {
            Some(piece) => written(piece),
            None => {
                *typed = None;
                end()
            }
        },
    }
}

async fn changed(sizes: &mut Option<Signal>) {
    let change = match sizes {
        Some(sizes) => sizes.recv().await,
        None => None,
    };
    if change.is_none() {
        std::future::pending().await
    }
}

/// Reads our standard input on a thread of its own, which nobody waits for: a read of a terminal cannot be taken back.
fn read_stdin() -> mpsc::Receiver<Vec<u8>> {
    let (sender, pieces) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let (mut stdin, mut piece) = (io::stdin().lock(), vec![0; PIECE]);
        loop {
            match stdin.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What cannot be read has come to its end.
                Ok(0) | Err(_) => return,
                Ok(count) if sender.blocking_send(piece[..count].to_vec()).is_err() => return,
                Ok(_) => {}
            }
        }
    });
    pieces
}

fn record(attach: AttachContainerInput) -> Bytes {
    Media::Protobuf.record(&Call {
        r#type: Some(Type::AttachContainerInput.into()),
        attach_container_input: Some(attach),
        ..Call::default()
    })
}

fn of_process(io: ProcessIo) -> AttachContainerInput {
    AttachContainerInput {
        r#type: Some(attach_container_input::Type::ProcessIo.into()),
        process_io: Some(io),
        ..AttachContainerInput::default()
    }
}

fn written(piece: Vec<u8>) -> ProcessIo {
    let data = Data { r#type: Some(data::Type::Stdin.into()), data: Some(piece) };
    ProcessIo { r#type: Some(process_io::Type::Data.into()), data: Some(data), ..ProcessIo::default() }
}

/// Nothing is written any more. Source: Mesos, where a piece without bytes means that.
fn end() -> ProcessIo {
    written(Vec::new())
}

fn resized() -> ProcessIo {
    let WindowSize { rows, columns } = terminal::size();
    let size = WindowSize { rows, columns };
    control(Control {
        r#type: Some(control::Type::TtyInfo.into()),
        tty_info: Some(v1::TtyInfo { window_size: Some(size) }),
        ..Control::default()
    })
}

fn beat() -> ProcessIo {
    let interval = v1::DurationInfo { nanoseconds: i64::try_from(BEAT.as_nanos()).ok() };
    control(Control {
        r#type: Some(control::Type::Heartbeat.into()),
        heartbeat: Some(control::Heartbeat { interval: Some(interval) }),
        ..Control::default()
    })
}

fn control(control: Control) -> ProcessIo {
    ProcessIo {
        r#type: Some(process_io::Type::Control.into()),
        control: Some(control),
        ..ProcessIo::default()
    }
}
