//! What a task wrote, relayed by the master.

use std::io::Write;

use anyhow::{Result, bail};
use clap::Args;
use http_body_util::BodyExt;
use serde_json::Value;

use super::api::{Api, ApiError, escaped};
use super::{Cluster, listing};

/// What one read brings at most; the master gives no more.
const CHUNK: u64 = 64 * 1024;

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
    /// Starts so many bytes before the end.
    #[arg(long, value_name = "BYTES")]
    tail: Option<u64>,
}

pub(crate) async fn logs(args: &LogsArgs) -> Result<()> {
    let api = Api::find(&args.cluster.master).await?;
    let (framework, task) = resolve(&api, &args.task).await?;
    let files = format!("/query/v1/tasks/{}/{}/files", escaped(&framework), escaped(&task));
    let file = if args.stderr { "stderr" } else { "stdout" };
    let start = args.tail.map_or(0, |bytes| -(i64::try_from(bytes).unwrap_or(i64::MAX)));
    if args.follow {
        follow(&api, &format!("{files}/follow?path={file}&offset={start}")).await
    } else {
        read(&api, &format!("{files}/read?path={file}"), start).await
    }
}

async fn resolve(api: &Api, named: &str) -> Result<(String, String)> {
    if let Some((framework, task)) = named.split_once('/') {
        return Ok((framework.to_owned(), task.to_owned()));
    }
    let key = |task: &Value| {
        let field = |name: &str| task[name].as_str().unwrap_or_default().to_owned();
        (field("framework_id"), field("id"))
    };
    let found: Vec<_> = listing::tasks_like(api, named).await?.iter().map(key).collect();
    if let [exact] = found.iter().filter(|(_, task)| task == named).collect::<Vec<_>>()[..] {
        return Ok(exact.clone());
    }
    match &found[..] {
        [] => Err(ApiError::NotFound(format!("there is no task {named}; `chapada tasks` lists them")).into()),
        [one] => Ok(one.clone()),
        several => {
            let names: Vec<_> =
                several.iter().take(5).map(|(framework, task)| format!("{framework}/{task}")).collect();
            bail!("{} tasks have {named:?} in their id or name, such as {}", several.len(), names.join(", "))
        }
    }
}

async fn read(api: &Api, path: &str, start: i64) -> Result<()> {
    let mut offset = start;
    let mut stdout = std::io::stdout().lock();
    loop {
        let chunk = api.get(&format!("{path}&offset={offset}&length={CHUNK}")).await?;
        let data = chunk["data"].as_str().unwrap_or_default();
        if data.is_empty() {
            return Ok(());
        }
        stdout.write_all(data.as_bytes())?;
        offset = chunk["offset"].as_i64().unwrap_or_default() + i64::try_from(data.len())?;
    }
}

async fn follow(api: &Api, path: &str) -> Result<()> {
    let mut body = api.stream(path).await?;
    let mut buffer = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        buffer.extend_from_slice(&data);
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            print_event_line(&line)?;
        }
    }
    Ok(())
}

/// Only `data:` lines carry text; the rest of the stream's grammar is events and comments.
fn print_event_line(line: &[u8]) -> Result<()> {
    let Some(json) = line.strip_prefix(b"data:") else { return Ok(()) };
    let event: Value = serde_json::from_slice(json)?;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(event["data"].as_str().unwrap_or_default().as_bytes())?;
    stdout.flush()?;
    Ok(())
}
