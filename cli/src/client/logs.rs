//! What a task wrote, relayed by the master.

use std::io::Write;

use anyhow::{Context, Result, bail};
use clap::Args;
use http_body_util::BodyExt;
use serde_json::Value;

use super::api::{Api, escaped};
use super::{Cluster, task};

const BROKE_OFF: &str = "the connection broke before the end of the log; run it again to go on";

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    cluster: Cluster,
    /// A task's id, a part of it that no other task has, or `framework/task`.
    task: String,
    /// Goes on as the task writes, until it has ended.
    #[arg(long, short)]
    follow: bool,
    /// The task's stderr instead of its stdout.
    #[arg(long, short = 'e')]
    stderr: bool,
    /// Only so many lines before the end; without it, all that is kept.
    #[arg(long, short = 'n', visible_alias = "tail", value_name = "LINES")]
    lines: Option<u64>,
}

pub(crate) async fn logs(args: &LogsArgs) -> Result<()> {
    let api = Api::find(&args.cluster).await?;
    let task = task::find(&api, &args.task).await?;
    let files = format!("/query/v1/tasks/{}/{}/files", escaped(&task.framework), escaped(&task.id));
    let file = if args.stderr { "stderr" } else { "stdout" };
    // Of a negative number of lines there are as many as are kept.
    let lines = args.lines.and_then(|lines| i64::try_from(lines).ok()).unwrap_or(-1);
    let asked = format!("path={file}&lines={lines}");
    if args.follow {
        follow(&api, &format!("{files}/follow?{asked}")).await
    } else {
        print(&api, &format!("{files}/download?{asked}")).await
    }
}

async fn print(api: &Api, path: &str) -> Result<()> {
    let mut body = api.stream(path).await?;
    let mut stdout = std::io::stdout().lock();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.context(BROKE_OFF)?.into_data() else { continue };
        stdout.write_all(&piece)?;
    }
    Ok(stdout.flush()?)
}

async fn follow(api: &Api, path: &str) -> Result<()> {
    let mut body = api.stream(path).await?;
    let mut events = Events::default();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.context(BROKE_OFF)?.into_data() else { continue };
        for (name, data) in events.take(&piece) {
            let said: Value = serde_json::from_str(&data)?;
            match name.as_str() {
                "end" => return Ok(()),
                "failed" => bail!("{}", said["message"].as_str().unwrap_or(BROKE_OFF)),
                _ => {
                    let mut stdout = std::io::stdout().lock();
                    stdout.write_all(said["data"].as_str().unwrap_or_default().as_bytes())?;
                    stdout.flush()?;
                }
            }
        }
    }
    bail!(BROKE_OFF)
}

/// Takes server-sent events out of a stream, which has one line of data each and comments between.
#[derive(Default)]
struct Events {
    buffer: Vec<u8>,
    name: String,
    data: String,
}

impl Events {
    /// The names and the data of those that are whole now.
    fn take(&mut self, piece: &[u8]) -> Vec<(String, String)> {
        self.buffer.extend_from_slice(piece);
        let mut whole = Vec::new();
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            match line.trim_end().split_once(':') {
                Some(("event", name)) => name.trim_start().clone_into(&mut self.name),
                Some(("data", data)) => data.trim_start().clone_into(&mut self.data),
                None if !self.data.is_empty() => {
                    whole.push((std::mem::take(&mut self.name), std::mem::take(&mut self.data)));
                }
                Some(_) | None => {}
            }
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_wherever_the_stream_is_cut() {
        let stream = ":\n\ndata: {\"data\":\"a: b\"}\n\nevent: end\ndata: {}\n\n".as_bytes();
        let expected =
            [(String::new(), r#"{"data":"a: b"}"#.to_owned()), ("end".to_owned(), "{}".to_owned())];
        for cut in 0..stream.len() {
            let mut events = Events::default();
            let mut seen = events.take(&stream[..cut]);
            seen.extend(events.take(&stream[cut..]));
            assert_eq!(seen, expected, "cut at {cut}");
        }
    }
}
