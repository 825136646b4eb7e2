//! Runs a plugin: a program that is told by its environment and its input what to do, and says on its output what came of
//! it. Source: the CNI specification.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::outcome::complaint;

/// More than any real result.
const MAX_OUTPUT: u64 = 1 << 20;
/// Of what it complains of beside its result.
const MAX_ERRORS: u64 = 64 << 10;
/// How much of that is said.
const SHOWN: usize = 512;
/// How long one that was killed may take to be gone.
const DYING: Duration = Duration::from_secs(5);
/// Plugins run programs such as `iptables`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One call of a plugin.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) program: &'a Path,
    /// `ADD` or `DEL`.
    pub(crate) command: &'static str,
    pub(crate) container: &'a str,
    /// Empty when it is gone.
    pub(crate) namespace: &'a Path,
    pub(crate) interface: &'a str,
    /// Where the plugin finds others.
    pub(crate) plugins: &'a [PathBuf],
    pub(crate) config: &'a Map<String, Value>,
    pub(crate) limit: Duration,
}

/// Why a call came to nothing.
#[derive(Debug)]
pub(crate) enum CallError {
    /// It took too long.
    Late,
    /// Nobody waits for it any more.
    GivenUp,
    /// It failed, or said what nobody understands.
    Failed(String),
}

/// The file of a program in the first of these directories that has it.
pub(crate) fn find(plugins: &[PathBuf], program: &str) -> Option<PathBuf> {
    plugins.iter().map(|directory| directory.join(program)).find(|path| path.is_file())
}

impl Call<'_> {
    /// Runs it to its end; what it says, when it says anything. One that is given up or takes too long is killed with all
    /// that it started, and is gone when this returns.
    pub(crate) async fn run(
        &self,
        given_up: &CancellationToken,
    ) -> Result<Option<Map<String, Value>>, CallError> {
        let mut child =
            self.start().map_err(|error| CallError::Failed(format!("cannot start it: {error}")))?;
        let ended = tokio::select! {
            biased;
            () = given_up.cancelled() => Err(CallError::GivenUp),
            ended = timeout(self.limit, converse(&mut child, self.config)) => match ended {
                Err(_) => Err(CallError::Late),
                Ok(Err(error)) => Err(CallError::Failed(error.to_string())),
                Ok(Ok(said)) => Ok(said),
            },
        };
        if ended.is_err() {
            end(&mut child).await;
        }
        let (status, output, errors) = ended?;
        understand(status, &output, &errors).map_err(CallError::Failed)
    }

    fn start(&self) -> io::Result<Child> {
        let path: Vec<&str> = self.plugins.iter().filter_map(|path| path.to_str()).collect();
        Command::new(self.program)
            .env_clear()
            .env("PATH", PATH)
            .env("CNI_COMMAND", self.command)
            .env("CNI_CONTAINERID", self.container)
            .env("CNI_NETNS", self.namespace)
            .env("CNI_IFNAME", self.interface)
            .env("CNI_PATH", path.join(":"))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }
}

/// Tells it its configuration, hears what it says, and waits for its end.
async fn converse(
    child: &mut Child,
    config: &Map<String, Value>,
) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut input), Some(output), Some(errors)) = pipes else {
        return Err(io::Error::other("it has no pipes"));
    };
    let config = serde_json::to_vec(config)?;
    let tell = async move {
        match input.write_all(&config).await {
            // It needs none of it.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            told => told,
        }
    };
    let ((), output, errors) = tokio::try_join!(tell, hear(output, MAX_OUTPUT), hear(errors, MAX_ERRORS))?;
    Ok((child.wait().await?, output, errors))
}

async fn hear(stream: impl AsyncRead + Unpin, most: u64) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    stream.take(most + 1).read_to_end(&mut said).await?;
    if said.len() as u64 > most {
        return Err(io::Error::other(format!("it says more than {most} bytes")));
    }
    Ok(said)
}

/// Kills it with all that it started, and waits until it is gone, so that nothing of it works against who comes next.
async fn end(child: &mut Child) {
    let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) else { return };
    if let Err(error) = killpg(Pid::from_raw(pid), Signal::SIGKILL) {
        tracing::debug!(pid, %error, "the plugin's processes are gone");
    }
    if timeout(DYING, child.wait()).await.is_err() {
        tracing::error!(pid, "a plugin was killed, and does not die");
    }
}

fn understand(
    status: ExitStatus,
    output: &[u8],
    errors: &[u8],
) -> Result<Option<Map<String, Value>>, String> {
    if !status.success() {
        let why = complaint(output).unwrap_or_else(|| shown(if errors.is_empty() { output } else { errors }));
        return Err(if why.is_empty() { status.to_string() } else { why });
    }
    if output.trim_ascii().is_empty() {
        return Ok(None);
    }
    match serde_json::from_slice(output) {
        Ok(result) => Ok(Some(result)),
        Err(error) => Err(format!("what it says is no JSON object ({error}): {:?}", shown(output))),
    }
}

fn shown(said: &[u8]) -> String {
    String::from_utf8_lossy(&said[..said.len().min(SHOWN)]).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    async fn call(script: &str, limit: Duration) -> (Result<Option<Map<String, Value>>, CallError>, String) {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("plugin");
        fs::write(&program, format!("#!/bin/sh\ncd {}\n{script}\n", directory.path().display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let Value::Object(config) = serde_json::json!({"name": "n", "type": "plugin"}) else {
            unreachable!()
        };
        let plugins = [directory.path().to_owned()];
        assert_eq!(find(&plugins, "plugin").as_ref(), Some(&program));
        let call = Call {
            program: &program,
            command: "ADD",
            container: "c",
            namespace: "/run/n".as_ref(),
            interface: "eth0",
            plugins: &plugins,
            config: &config,
            limit,
        };
        let ended = call.run(&CancellationToken::new()).await;
        (ended, fs::read_to_string(directory.path().join("note")).unwrap_or_default())
    }

    const LONG: Duration = Duration::from_secs(60);

    fn failed(ended: Result<Option<Map<String, Value>>, CallError>) -> String {
        match ended {
            Err(CallError::Failed(why)) => why,
            other => panic!("expected a failure, not {other:?}"),
        }
    }

    #[tokio::test]
    async fn a_plugin_has_its_orders_and_nothing_else() {
        let script = "cat > note; env | sort >> note; echo '{\"cniVersion\": \"1.0.0\"}'";
        let (said, note) = call(script, LONG).await;
        assert_eq!(said.unwrap().unwrap()["cniVersion"], "1.0.0");
        for line in [
            "{\"name\":\"n\",\"type\":\"plugin\"}CNI_COMMAND=ADD",
            "CNI_CONTAINERID=c",
            "CNI_IFNAME=eth0",
            "CNI_NETNS=/run/n",
        ] {
            assert!(note.contains(line), "{note}");
        }
        assert!(!note.contains("CARGO"), "{note}");
        assert!(
            call("exec <&-; true", LONG).await.0.unwrap().is_none(),
            "it may say nothing, and need nothing"
        );
    }

    #[tokio::test]
    async fn what_it_says_wrong_is_said() {
        let said = |script: &'static str| async move { failed(call(script, LONG).await.0) };
        assert_eq!(said("echo '{\"code\": 11, \"msg\": \"no room\"}'; exit 1").await, "no room");
        assert_eq!(said("echo out; echo err >&2; exit 1").await, "err");
        assert_eq!(said("exit 3").await, "exit status: 3");
        assert!(said("echo hello").await.starts_with("what it says is no JSON object"));
        assert!(said("echo '[1]'").await.starts_with("what it says is no JSON object"));
        assert_eq!(said("exec cat /dev/zero").await, "it says more than 1048576 bytes");
        assert_eq!(said("exec cat /dev/zero >&2").await, "it says more than 65536 bytes");
    }

    #[tokio::test]
    async fn one_that_hangs_is_killed_with_all_that_it_started() {
        // Long enough that a busy machine has written the note.
        let (ended, note) = call("sleep 1000 & echo $! > note; wait", Duration::from_secs(10)).await;
        assert!(matches!(ended, Err(CallError::Late)), "{ended:?}");
        let child: i32 = note.trim().parse().unwrap();
        let is_gone = || {
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        while !is_gone() {
            tokio::task::yield_now().await;
        }
    }
}
