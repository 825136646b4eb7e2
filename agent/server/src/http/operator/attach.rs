//! ATTACH_CONTAINER_OUTPUT and ATTACH_CONTAINER_INPUT: to read along what a container writes, and to write what it reads.
//! Whoever leaves changes nothing for the container.

use std::sync::Arc;

use chapada_listener::{Call as HttpCall, HttpResponse, empty};
use chapada_wire::v1::TtyInfo;
use chapada_wire::v1::agent::call::Type;
use chapada_wire::v1::agent::call::attach_container_input;
use chapada_wire::v1::agent::process_io::{self, control, data};
use chapada_wire::v1::agent::{Call, ProcessIo};
use http::StatusCode;

use super::containers::waited;
use super::records::{self, Sent};
use super::target::{Target, not_attached};
use super::{Api, Refusal, invalid, refusal, use_containers};
use crate::attach::{ContainerPath, Stdin, read_along, window_size};

const INPUT: &str = "attach_container_input";
const OUTPUT: &str = "attach_container_output";

pub(super) async fn output(api: &Arc<Api>, call: &HttpCall, asked: &Call) -> Result<HttpResponse, Refusal> {
    let media = records::form_wanted(call)?;
    let attach = asked.attach_container_output.as_ref();
    let attach = attach.ok_or_else(|| invalid(&format!("Expecting '{OUTPUT}' to be present")))?;
    let path = ContainerPath::read(&format!("{OUTPUT}.container_id"), attach.container_id.as_ref());
    let path = path.map_err(|problem| invalid(&problem))?;
    let attached = match Target::find(api, &path).await? {
        Target::Session(session) => session.output.attach().map_err(|error| {
            refusal(StatusCode::BAD_REQUEST, format!("Container {path} cannot be attached to: {error}"))
        })?,
        Target::Command(shim) => {
            let attached = read_along(api.means.runtime_dir.join(shim), &api.tasks).await;
            attached.map_err(|error| not_attached(&path, &error))?
        }
    };
    Ok(records::answer(api, call, media, attached.pieces, Some(attached.cut)))
}

/// Reads a stream of calls and does as they say until it, or the program, ends.
pub(super) async fn input(api: &Arc<Api>, call: &HttpCall) -> Result<HttpResponse, Refusal> {
    let mut sent = Sent::new(call)?;
    let first =
        sent.next().await?.ok_or_else(|| invalid("Expecting a first record with the container's id"))?;
    let attach = input_of(&first)?;
    use_containers(api, call, &first).await?;
    if attach.r#type() != attach_container_input::Type::ContainerId {
        return Err(invalid(&format!("Expecting '{INPUT}.type' to be CONTAINER_ID in the first record")));
    }
    let path = ContainerPath::read(&format!("{INPUT}.container_id"), attach.container_id.as_ref());
    let path = path.map_err(|problem| invalid(&problem))?;
    let taken = || {
        let message = format!("Container {path} has somebody who writes to it already; end that connection");
        refusal(StatusCode::CONFLICT, message)
    };
    match Target::find(api, &path).await? {
        Target::Session(session) => {
            let mut stdin = session.stdin.clone().try_lock_owned().map_err(|_| taken())?;
            until(call, session.end(), Box::pin(pass_on(&mut sent, &mut stdin))).await
        }
        Target::Command(shim) => {
            let end = end_of(api, &path).await?;
            let typing = api.means.terminals.take(api.means.runtime_dir.join(&shim), &shim).await;
            let mut typing = typing.map_err(|error| not_attached(&path, &error))?.ok_or_else(taken)?;
            until(call, end, Box::pin(pass_on(&mut sent, &mut typing.stdin))).await
        }
    }
}

/// Does this until the program has ended, or the agent.
async fn until(
    call: &HttpCall,
    end: impl Future<Output = Option<i32>>,
    input: impl Future<Output = Result<(), Refusal>>,
) -> Result<HttpResponse, Refusal> {
    let stopping = || refusal(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping".to_owned());
    tokio::select! {
        done = input => done.map(|()| empty(StatusCode::OK)),
        _status = end => Ok(empty(StatusCode::OK)),
        () = call.stop.cancelled() => Err(stopping()),
    }
}

/// Waits for the end of a container that has a shim, in what this gives; too many may wait already.
async fn end_of(
    api: &Api,
    path: &ContainerPath,
) -> Result<impl Future<Output = Option<i32>> + use<>, Refusal> {
    let launched = api.means.nested.find(path);
    let of_the_books = match launched {
        Some(_) => None,
        None => Some(waited(api, path).await?),
    };
    Ok(async move {
        match (launched, of_the_books) {
            (Some(launched), _) => launched.end().await?.status,
            (None, Some(ended)) => ended.await.ok()?.status,
            (None, None) => None,
        }
    })
}

fn input_of(call: &Call) -> Result<&chapada_wire::v1::agent::call::AttachContainerInput, Refusal> {
    if call.r#type() != Type::AttachContainerInput {
        let message = "Expecting 'type' to be ATTACH_CONTAINER_INPUT in every record of a streaming request";
        return Err(invalid(message));
    }
    call.attach_container_input.as_ref().ok_or_else(|| invalid(&format!("Expecting '{INPUT}' to be present")))
}

async fn pass_on(sent: &mut Sent<'_>, stdin: &mut Stdin) -> Result<(), Refusal> {
    while let Some(call) = sent.next().await? {
        let attach = input_of(&call)?;
        if attach.r#type() != attach_container_input::Type::ProcessIo {
            return Err(invalid(&format!(
                "Expecting '{INPUT}.type' to be PROCESS_IO after the first record"
            )));
        }
        let io = attach.process_io.as_ref();
        let io = io.ok_or_else(|| invalid(&format!("Expecting '{INPUT}.process_io' to be present")))?;
        obey(io, stdin).await?;
    }
    Ok(())
}

async fn obey(io: &ProcessIo, stdin: &mut Stdin) -> Result<(), Refusal> {
    let expect = |what: &str| invalid(&format!("Expecting '{INPUT}.process_io.{what}"));
    match io.r#type() {
        process_io::Type::Data => {
            let data = io.data.as_ref().ok_or_else(|| expect("data' to be present"))?;
            if data.r#type() != data::Type::Stdin {
                return Err(expect("data.type' to be STDIN"));
            }
            match data.data.as_deref() {
                Some([]) | None => stdin.end(),
                Some(bytes) => stdin.write(bytes).await,
            }
            Ok(())
        }
        process_io::Type::Control => {
            let control = io.control.as_ref().ok_or_else(|| expect("control' to be present"))?;
            match control.r#type() {
                control::Type::Heartbeat => Ok(()),
                control::Type::TtyInfo => {
                    let terminal = control.tty_info.filter(|terminal| terminal.window_size.is_some());
                    let terminal =
                        terminal.ok_or_else(|| expect("control.tty_info.window_size' to be present"))?;
                    resize(stdin, &terminal)
                }
                control::Type::Unknown => Err(expect("control.type' to be TTY_INFO or HEARTBEAT")),
            }
        }
        process_io::Type::Unknown => Err(expect("type' to be DATA or CONTROL")),
    }
}

fn resize(stdin: &Stdin, terminal: &TtyInfo) -> Result<(), Refusal> {
    match stdin.resize(window_size(terminal)) {
        Ok(true) => Ok(()),
        Ok(false) => {
            let message = format!(
                "'{INPUT}.process_io.control.tty_info': it has no terminal; launch it with 'container.tty_info'"
            );
            Err(invalid(&message))
        }
        Err(error) => Err(refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}
