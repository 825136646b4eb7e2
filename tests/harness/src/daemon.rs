//! One daemon as a real process.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::eventually;

/// A daemon stops within a second; this bounds a machine under load.
const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// A program of this workspace, built beside the test: `chapada`, `chapada-example-sweep`, …
///
/// # Panics
/// When it is not built, with the command that builds it.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let found = test.ancestors().skip(1).take(3).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built: run `cargo build --workspace --bins` first"))
}

/// Names a `chapada` of another commit, for tests of builds that run mixed.
const OTHER_BUILD: &str = "CHAPADA_OTHER_PROGRAM";

/// The program `chapada` of another commit where there is one, else that of this one: then builds are mixed in name only.
#[must_use]
pub fn other_build() -> PathBuf {
    std::env::var_os(OTHER_BUILD).map_or_else(|| binary("chapada"), PathBuf::from)
}

/// A running `chapada` daemon. Dropping it kills it; its containers are not its own and stay.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    command: Vec<OsString>,
    namespace: Option<String>,
    log: PathBuf,
    child: Child,
}

impl Daemon {
    /// Starts `chapada <arguments>`, with its log below `folder`; in a network namespace when one is named.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(name: &str, folder: &Path, namespace: Option<&str>, arguments: &[String]) -> Self {
        Self::start_build(&binary("chapada"), name, folder, namespace, arguments)
    }

    /// As [`Daemon::start`], of this program.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_build(
        program: &Path,
        name: &str,
        folder: &Path,
        namespace: Option<&str>,
        arguments: &[String],
    ) -> Self {
        let log = folder.join(format!("{name}.log"));
        let command: Vec<OsString> =
            std::iter::once(program.into()).chain(arguments.iter().map(OsString::from)).collect();
        let namespace = namespace.map(str::to_owned);
        let child = spawn(&command, namespace.as_deref(), &log);
        Self { name: name.to_owned(), command, namespace, log, child }
    }

    /// SIGKILL, and the same command once more.
    ///
    /// # Panics
    /// When it cannot be started again.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        self.child = spawn(&self.command, self.namespace.as_deref(), &self.log);
    }

    /// SIGKILL; returns when the process is gone. Harmless when it is already.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// It is of this program from its next start on.
    pub fn becomes(&mut self, program: &Path) {
        self.command[0] = program.into();
    }

    /// Starts it again after [`Daemon::kill`].
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn restart(&mut self) {
        self.child = spawn(&self.command, self.namespace.as_deref(), &self.log);
    }

    /// SIGTERM, then waits for the end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn stop(&mut self) -> ExitStatus {
        let _ = kill(self.pid(), Signal::SIGTERM);
        eventually(&format!("{} stops", self.name), STOPS_WITHIN, || {
            self.child
                .try_wait()
                .map_err(|error| error.to_string())?
                .ok_or_else(|| "still running".to_owned())
        })
    }

    /// Waits for it to end by itself.
    ///
    /// # Panics
    /// When it does not within `within`.
    pub fn ends(&mut self, within: Duration) -> ExitStatus {
        let name = self.name.clone();
        eventually(&format!("{name} ends"), within, || {
            self.child
                .try_wait()
                .map_err(|error| error.to_string())?
                .ok_or_else(|| "still running".to_owned())
        })
    }

    /// The process, as long as it was not waited for.
    ///
    /// # Panics
    /// Never: Linux pids fit.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a pid fits"))
    }

    /// Everything it logged so far, over all its restarts.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(40)..].join("\n");
            eprintln!("---- {} ({}), last lines ----\n{last}", self.name, self.log.display());
        }
    }
}

fn spawn(command: &[OsString], namespace: Option<&str>, log: &Path) -> Child {
    let file = File::options().create(true).append(true).open(log).expect("a log file in the test's folder");
    let mut process = match namespace {
        None => Command::new(&command[0]),
        Some(namespace) => {
            let mut inside = Command::new("nsenter");
            inside.arg(format!("--net=/run/netns/{namespace}")).arg("--").arg(&command[0]);
            inside
        }
    };
    process
        .args(&command[1..])
        .env_remove("CHAPADA_MASTER")
        .env_remove("CHAPADA_TLS_CA")
        .env_remove("CHAPADA_TLS_CERT")
        .env_remove("CHAPADA_TLS_KEY")
        .env("CHAPADA_LOG", "info")
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("a second handle of the log"))
        .stderr(file)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", command[0].display()))
}
