//! `chapada exec`: a command in the container of a task, through the master.
//!
//! - `session`: the calls of the agent's API;
//! - `input`: what is typed or piped in, and the size of the window;
//! - `output`: what the command writes;
//! - `terminal`: raw mode and its end.

mod input;
mod output;
mod session;
mod terminal;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use hyper::body::Incoming;

use self::input::Wanted;
use self::session::Session;
use self::terminal::{Raw, Signals};
use super::api::ApiError;
use super::{Api, Cluster, task};

/// How long after its input broke off a command may still be taken for one that has just ended.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// What shells add to the number of a signal that ended a program.
const SIGNALLED: i32 = 128;

#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    cluster: Cluster,
    /// Passes on standard input; without it the command reads nothing.
    #[arg(long, short)]
    interactive: bool,
    /// Gives the command a terminal, as large as this one.
    #[arg(long, short)]
    tty: bool,
    /// A task's id, a part of its id or name that no other task has, or `framework/task`.
    task: String,
    /// The command and its arguments, run without a shell. Put `--` before one that begins with a dash.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// How the command's connection ended.
enum Ended {
    Well,
    BySignal(i32),
}

pub(crate) async fn exec(args: &ExecArgs) -> Result<ExitCode> {
    if args.tty && args.interactive && !std::io::stdin().is_terminal() {
        bail!(
            "-t passes on keys and standard input is no terminal: leave -t out to pass on a file or a pipe"
        );
    }
    let api = Api::find(&args.cluster.master).await?;
    let task = task::find(&api, &args.task).await?;
    if !task.runs() || task.container.is_empty() {
        bail!(
            "task {} is {}, so there is no container to run a command in; `chapada tasks --state TASK_RUNNING` lists those that run",
            task.id,
            task.state
        );
    }
    let session = Session::new(&api, &task);
    let size = args.tty.then(terminal::size);
    let output = session.launch(&args.command, size).await?;
    let wanted = match (args.interactive, args.tty) {
        (true, _) => Wanted::Everything { terminal: args.tty },
        (false, true) => Wanted::Size,
        (false, false) => Wanted::Nothing,
    };
    let attended = async {
        match args.interactive && args.tty {
            true => {
                let signals = Signals::listen()?;
                let _until_the_end = Raw::enter().context("cannot put the terminal into raw mode")?;
                attend(&session, output, wanted, Some(signals)).await
            }
            false => attend(&session, output, wanted, None).await,
        }
    };
    outcome(attended, session.status()).await
}

/// How the command ended, which is asked from the beginning: once the task itself has ended, nobody knows any more.
async fn outcome(
    attended: impl Future<Output = Result<Ended>>,
    status: impl Future<Output = Result<i32>>,
) -> Result<ExitCode> {
    let (mut attended, mut status) = (std::pin::pin!(attended), std::pin::pin!(status));
    let mut known = None;
    let ended = loop {
        tokio::select! {
            ended = &mut attended => break ended?,
            status = &mut status, if known.is_none() => known = Some(status),
        }
    };
    match (ended, known) {
        (Ended::BySignal(number), _) => Ok(code_of_signal(number)),
        (Ended::Well, Some(status)) => Ok(code(status?)),
        (Ended::Well, None) => Ok(code(status.await?)),
    }
}

/// Stays until the command has ended, or its connection.
async fn attend(
    session: &Session<'_>,
    body: Incoming,
    wanted: Wanted,
    signals: Option<Signals>,
) -> Result<Ended> {
    let mut writing = std::pin::pin!(output::write_out(body));
    let signalled = async {
        match signals {
            Some(mut signals) => signals.next().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        written = &mut writing => written.map(|()| Ended::Well),
        number = signalled => Ok(Ended::BySignal(number)),
        error = feed(session, wanted) => {
            // It may be the end of the command that ended its input.
            match tokio::time::timeout(LAST_WORDS, &mut writing).await {
                Ok(written) => written.map(|()| Ended::Well),
                Err(_) => Err(error).context("the command's input broke off, and so does the command"),
            }
        }
    }
}

/// Passes input on; ends only when that fails.
async fn feed(session: &Session<'_>, wanted: Wanted) -> ApiError {
    match session.attach(input::records(session.container(), wanted)).await {
        Ok(()) => std::future::pending().await,
        Err(error) => error,
    }
}

/// An exit code out of a status as wait(2) gives it.
fn code(status: i32) -> ExitCode {
    match status & 0x7f {
        0 => ExitCode::from((status >> 8) as u8),
        signal => code_of_signal(signal),
    }
}

fn code_of_signal(number: i32) -> ExitCode {
    ExitCode::from(u8::try_from(SIGNALLED + number).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_was_killed_has_the_code_that_shells_give_it() {
        for (status, expected) in [(0, 0), (3 << 8, 3), (255 << 8, 255), (9, 137), (15 | 0x80, 143)] {
            assert_eq!(code(status), ExitCode::from(expected), "{status}");
        }
    }

    #[tokio::test]
    async fn how_it_ended_is_asked_before_it_has() {
        let asked = std::cell::Cell::new(false);
        let attended = async {
            tokio::task::yield_now().await;
            assert!(asked.get(), "it goes on, and nobody has asked");
            Ok(Ended::Well)
        };
        let status = async {
            asked.set(true);
            Ok(3 << 8)
        };
        assert_eq!(outcome(attended, status).await.expect("an end"), ExitCode::from(3));
    }
}
