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
    let api = Api::find(&args.cluster).await?;
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
    outcome(attended, session.end(), || session.status()).await
}

/// How the command ended. That is asked from the beginning: once the task itself has ended, nobody knows any more. Whoever got no
/// answer then asks again.
async fn outcome<A: Future<Output = Result<i32>>>(
    attended: impl Future<Output = Result<Ended>>,
    end: impl Future<Output = Result<i32>>,
    again: impl FnOnce() -> A,
) -> Result<ExitCode> {
    let (mut attended, mut end) = (std::pin::pin!(attended), std::pin::pin!(end));
    let mut known = None;
    let ended = loop {
        tokio::select! {
            ended = &mut attended => break ended?,
            status = &mut end, if known.is_none() => known = Some(status),
        }
    };
    if let Ended::BySignal(number) = ended {
        return Ok(code_of_signal(number));
    }
    let status = match known {
        Some(Ok(status)) => status,
        // It has ended, so the answer to who asked early is on its way or lost.
        None => match tokio::time::timeout(LAST_WORDS, end).await {
            Ok(Ok(status)) => status,
            Ok(Err(_)) | Err(_) => again().await?,
        },
        Some(Err(_)) => again().await?,
    };
    Ok(code(status))
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

    async fn goes_on(end: &'static str) -> Result<Ended> {
        tokio::task::yield_now().await;
        match end {
            "well" => Ok(Ended::Well),
            _ => Ok(Ended::BySignal(2)),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn how_it_ended_is_asked_before_it_has_and_again_if_nobody_says() {
        let never = || async { panic!("it is known") };
        let told = async { Ok(3 << 8) };
        assert_eq!(outcome(goes_on("well"), told, never).await.expect("an end"), ExitCode::from(3));
        let late = async {
            // Longer than the command goes on, and no time at all.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            Ok(4 << 8)
        };
        assert_eq!(outcome(goes_on("well"), late, never).await.expect("an end"), ExitCode::from(4));
        let again = || async { Ok(5 << 8) };
        let refused = async { bail!("too many wait") };
        assert_eq!(outcome(goes_on("well"), refused, again).await.expect("an end"), ExitCode::from(5));
        let lost = std::future::pending();
        assert_eq!(outcome(goes_on("well"), lost, again).await.expect("an end"), ExitCode::from(5));
        let unknown = || async { bail!("nobody knows") };
        assert!(outcome(goes_on("well"), std::future::pending(), unknown).await.is_err());
        let interrupted = outcome(goes_on("by a signal"), std::future::pending(), never).await;
        assert_eq!(interrupted.expect("an end"), ExitCode::from(130));
    }
}
