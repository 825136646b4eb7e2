//! The child process that fetches: started, told, heard, and killed with whoever waits for it.

use std::path::PathBuf;
use std::process::Stdio;

use chapada_fetcher::child::REPORT;
use chapada_fetcher::{Order, Report};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::FetchFailed;
use crate::config::AgentConfig;
use crate::error::AgentError;

/// Set for a process that is to fetch and do nothing else.
const MARK: &str = "CHAPADA_FETCHER";
/// A report is shorter, whatever a program says besides.
const MOST_REPORT_BYTES: u64 = 256 * 1024;

/// How the child is started.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    arguments: Vec<String>,
}

impl Program {
    /// This very program, unless the configuration says otherwise.
    pub(super) fn find(config: &AgentConfig) -> Result<Self, AgentError> {
        if let Some((path, arguments)) = config.fetcher.split_first() {
            return Ok(Self { path: path.into(), arguments: arguments.to_vec() });
        }
        // The file may have been replaced since; the link leads to what runs.
        let path = PathBuf::from("/proc/self/exe");
        Ok(Self { path, arguments: vec!["fetch".to_owned()] })
    }

    pub(super) async fn run(&self, order: &Order) -> Result<(), FetchFailed> {
        let mut child = Command::new(&self.path)
            .args(&self.arguments)
            .env_clear()
            .env(MARK, "1")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(FetchFailed::Start)?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(FetchFailed::Silent);
        };
        let mut line = serde_json::to_vec(order).map_err(|error| FetchFailed::Said(error.to_string()))?;
        line.push(b'\n');
        let mut said = String::new();
        let mut stdout = stdout.take(MOST_REPORT_BYTES);
        // The input stays open until the child is done: its end would be the child's.
        let (written, read) = tokio::join!(stdin.write_all(&line), stdout.read_to_string(&mut said));
        let report = said.split_once(REPORT).and_then(|(_, rest)| rest.lines().next());
        match report.and_then(|json| serde_json::from_str(json).ok()) {
            Some(Report::Done) => Ok(()),
            Some(Report::Failed(message)) => Err(FetchFailed::Said(message)),
            None => {
                let failed = written.err().or(read.err());
                tracing::warn!(error = ?failed, "the fetcher ended without a report");
                Err(FetchFailed::Silent)
            }
        }
    }
}

/// Fetches what its standard input says, if this process was started for that.
pub(crate) fn child() -> bool {
    let is_asked = std::env::var_os(MARK).is_some();
    if is_asked {
        chapada_fetcher::child::run();
    }
    is_asked
}
