//! What a container is to be: everything the shim needs to know, and nothing of tasks or frameworks.

use std::path::{Component, Path, PathBuf};

use chapada_isolation::cgroup::{Limits, SHIMS};
use chapada_isolation::devices::Device;
use chapada_isolation::ids::IdRange;
use chapada_isolation::namespaces::{JoinedNamespace, NamespaceKind};
use chapada_isolation::privileges::Privileges;
use chapada_isolation::rlimits::Rlimit;
use chapada_isolation::seccomp::Filter;
use chapada_isolation::terminals::WindowSize;
use serde::{Deserialize, Serialize};

use crate::files::{RootFileSystem, VolumeMount};

/// Docker's default for `/dev/shm`.
const SHM_BYTES: u64 = 64 << 20;

/// What `/tmp` holds of a container that asks for no size and whose memory has no limit.
const TMP_BYTES: u64 = 1 << 30;
/// What `/tmp` holds at most of a container that asks for no size.
const MOST_TMP_BYTES: u64 = 64 << 30;

/// A name in a file system holds this many bytes.
const MAX_ID_BYTES: usize = 255;

/// One container. Start from [`ContainerSpec::new`] and set what differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerSpec {
    /// Becomes the name of its cgroups: no slash, not `.`, `..` or `shims`, at most 255 bytes.
    pub id: String,
    /// The ids of the containers that it is in, the outermost first: it is charged to them and ends with each of them.
    #[serde(default)]
    pub within: Vec<String>,
    /// Where the shim keeps its socket, its log, and the exit code; see [`crate::runtime_dir`]. Created with mode 0700 if
    /// it is not there. One directory serves one container, once. Its last component must be `id`.
    pub runtime_dir: PathBuf,
    /// The working directory. It must exist; the shim gives it, and `stdout` and `stderr` in it, to `user`.
    pub sandbox: PathBuf,
    /// What to run.
    pub command: Command,
    /// The whole environment; nothing is inherited. With a root of its own, `HOME` is added from the user's entry if it is
    /// not here.
    pub environment: Vec<(String, String)>,
    /// A name or a number from the host's `/etc/passwd`; `None`: the agent's own user. With a root of its own, what Docker
    /// takes: `user` or `user:group`, names from that root; `None`: 0.
    pub user: Option<String>,
    /// What is in the sandbox and belongs to this user of the host, who put it there, is given to `user` as well.
    #[serde(default)]
    pub furnished_by: Option<u32>,
    /// A root file system of its own. `None`: the host's files.
    #[serde(default)]
    pub root: Option<RootFileSystem>,
    /// A user namespace of its own, with these ids of the host, which no other container may have at the time. Needs `root`.
    /// `None`: its root is the host's, with few capabilities.
    #[serde(default)]
    pub user_namespace: Option<IdRange>,
    /// Refuses a user, of the command or of a program beside it, who is root of the machine, and gives it none of the machine's
    /// groups but those that the machine itself has put it in; see [`ContainerSpec::permitted`]. Names are looked up inside,
    /// so this cannot be known before.
    #[serde(default)]
    pub never_host_root: bool,
    /// Where the command starts: absolute in the container, made if it is not there. `None`: the sandbox.
    #[serde(default)]
    pub working_directory: Option<PathBuf>,
    /// How much of what it writes is kept in `stdout` and `stderr` of its sandbox. `None`: all of it.
    pub logs: Option<LogLimits>,
    /// A terminal of this size for its standard input, output and error. What it shows goes to `stdout` of the sandbox; needs
    /// `logs`. `None`: standard input is empty.
    #[serde(default)]
    pub terminal: Option<WindowSize>,
    /// What it may use.
    pub resources: Limits,
    /// What it does not share with the host, beyond what no container shares.
    pub namespaces: Namespaces,
    /// Namespaces that it shares with others: a network made by others, or those of another container.
    #[serde(default)]
    pub joined: Vec<JoinedNamespace>,
    /// Who is process 1.
    pub pid1: Pid1,
    /// The name it has for itself. `None`: that of the host.
    pub hostname: Option<String>,
    /// Its `/tmp`.
    pub temporary_files: TemporaryFiles,
    /// The most that `/dev/shm` holds, in bytes. Charged to the container as it fills.
    pub shm_bytes: u64,
    /// Host directories it must not see, such as the agent's own state: an empty one takes their place. The sandbox may be
    /// below one of them.
    pub hidden_paths: Vec<PathBuf>,
    /// A directory of mounts that hold networks of containers: it holds none of them.
    /// See [`chapada_isolation::networks`].
    #[serde(default)]
    pub network_mounts: Option<PathBuf>,
    /// Devices of the machine that it may use, such as GPUs.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// What else shows in it, in this order.
    #[serde(default)]
    pub volumes: Vec<VolumeMount>,
    /// Resource limits per process. What is not here has a default ([`chapada_isolation::rlimits::apply_defaults`]) or is the
    /// agent's. See [`ContainerSpec::check_rlimits`].
    pub rlimits: Vec<Rlimit>,
    /// Capabilities and groups.
    #[serde(default)]
    pub privileges: Privileges,
    /// Which system calls it may make.
    pub system_calls: SystemCalls,
}

impl ContainerSpec {
    /// A container with the safe defaults: own user, default limits, our init, private `/tmp`, the host's network.
    pub fn new(
        id: impl Into<String>,
        runtime_root: &Path,
        sandbox: impl Into<PathBuf>,
        command: Command,
    ) -> Self {
        let id = id.into();
        Self {
            runtime_dir: runtime_root.join(&id),
            id,
            within: Vec::new(),
            sandbox: sandbox.into(),
            command,
            environment: Vec::new(),
            user: None,
            furnished_by: None,
            root: None,
            user_namespace: None,
            never_host_root: false,
            working_directory: None,
            logs: Some(LogLimits::default()),
            terminal: None,
            resources: Limits::default(),
            namespaces: Namespaces::default(),
            joined: Vec::new(),
            pid1: Pid1::Init,
            hostname: None,
            temporary_files: TemporaryFiles::Private { size_bytes: None },
            shm_bytes: SHM_BYTES,
            hidden_paths: Vec::new(),
            network_mounts: None,
            devices: Vec::new(),
            volumes: Vec::new(),
            rlimits: Vec::new(),
            privileges: Privileges::default(),
            system_calls: SystemCalls::Standard,
        }
    }

    /// Checks what can be checked without the kernel. [`crate::Launcher::launch`] does it too.
    ///
    /// # Errors
    /// Names the field and the rule.
    pub fn validate(&self) -> Result<(), InvalidSpec> {
        check_id(&self.id)?;
        self.within.iter().try_for_each(|id| check_id(id))?;
        absolute("runtime_dir", &self.runtime_dir)?;
        absolute("sandbox", &self.sandbox)?;
        self.hidden_paths.iter().try_for_each(|path| absolute("hidden_paths", path))?;
        self.network_mounts.iter().try_for_each(|path| absolute("network_mounts", path))?;
        self.volumes.iter().try_for_each(VolumeMount::validate)?;
        for device in &self.devices {
            let plain = device.name.components().all(|part| matches!(part, Component::Normal(_)));
            if !plain || device.name.as_os_str().is_empty() || device.rule.minor.is_none() {
                let rule = "a name must be a relative path without '..', and a number that of one device";
                return Err(InvalidSpec { field: "devices", rule });
            }
        }
        self.working_directory.iter().try_for_each(|path| absolute("working_directory", path))?;
        self.root.iter().try_for_each(RootFileSystem::validate)?;
        if let Some(range) = self.user_namespace {
            let refuse = |rule| Err(InvalidSpec { field: "user_namespace", rule });
            if !range.is_valid() {
                return refuse("ids must be neither 0 nor 4294967295 on the host, and at least one");
            }
            if self.root.is_none() {
                return refuse("it needs a root file system of its own");
            }
        }
        if self.runtime_dir.file_name().is_none_or(|name| name != self.id.as_str()) {
            return Err(InvalidSpec {
                field: "runtime_dir",
                rule: "its last component must be the container id",
            });
        }
        if self.logs.is_some_and(|limits| limits.bytes == 0 || limits.files == 0) {
            return Err(InvalidSpec { field: "logs", rule: "there must be a file, and room in it" });
        }
        if self.terminal.is_some() && self.logs.is_none() {
            return Err(InvalidSpec { field: "terminal", rule: "what it shows needs 'logs' to go to" });
        }
        self.command.validate()?;
        check_environment(&self.environment)?;
        let joins = |kind| self.joined.iter().filter(|joined| joined.kind == kind).count();
        if joins(NamespaceKind::Network) + usize::from(self.namespaces.network) > 1
            || joins(NamespaceKind::Ipc) > 1
            || joins(NamespaceKind::Uts) + usize::from(self.hostname.is_some()) > 1
        {
            let rule = "one of each kind; its own network and a name are for namespaces of its own";
            return Err(InvalidSpec { field: "joined", rule });
        }
        if self.hostname.as_ref().is_some_and(|name| name.is_empty() || name.len() > 64) {
            return Err(InvalidSpec { field: "hostname", rule: "it must have 1 to 64 bytes" });
        }
        Ok(())
    }
}

impl ContainerSpec {
    /// The most that its own `/tmp` holds: what it asks for, or else as much as its memory, and where that has no limit 1 GiB.
    /// `None`: it has the host's.
    pub fn temporary_bytes(&self) -> Option<u64> {
        let TemporaryFiles::Private { size_bytes } = self.temporary_files else { return None };
        let of_memory = || self.resources.memory_bytes.map_or(TMP_BYTES, |bytes| bytes.min(MOST_TMP_BYTES));
        Some(size_bytes.unwrap_or_else(of_memory))
    }
}

/// Refuses what is not one plain name below a directory.
pub(crate) fn check_id(id: &str) -> Result<(), InvalidSpec> {
    let reserved = id.is_empty() || [".", "..", SHIMS].contains(&id) || id.len() > MAX_ID_BYTES;
    if reserved || id.contains(|c: char| c == '/' || c.is_control()) {
        let rule = "it must be a plain file name of at most 255 bytes, not '.', '..' or 'shims'";
        return Err(InvalidSpec { field: "id", rule });
    }
    Ok(())
}

pub(crate) fn check_environment(environment: &[(String, String)]) -> Result<(), InvalidSpec> {
    for (name, value) in environment {
        if name.is_empty() || name.contains('=') || name.contains('\0') || value.contains('\0') {
            let rule = "a name must not be empty nor hold '=', and neither name nor value a zero byte";
            return Err(InvalidSpec { field: "environment", rule });
        }
    }
    Ok(())
}

pub(crate) fn absolute(field: &'static str, path: &Path) -> Result<(), InvalidSpec> {
    if path.is_absolute() && !path.as_os_str().as_encoded_bytes().contains(&0) {
        return Ok(());
    }
    Err(InvalidSpec { field, rule: "it must be an absolute path without a zero byte" })
}

/// A field of a [`ContainerSpec`] that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("container spec: {field}: {rule}")]
pub struct InvalidSpec {
    /// The field.
    pub field: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

/// What a container runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// `/bin/sh -c` with this text.
    Shell(String),
    /// A program, looked up in the environment's `PATH` if its name has no slash.
    Program {
        /// The file to run.
        file: String,
        /// All arguments, the program's own name (`argv[0]`) first; empty: just `file`.
        argv: Vec<String>,
    },
}

impl Command {
    pub(crate) fn validate(&self) -> Result<(), InvalidSpec> {
        let (file, argv) = self.file_and_argv();
        if file.is_empty() || std::iter::once(&file).chain(&argv).any(|text| text.contains('\0')) {
            let rule = "the program must be named, and nothing may hold a zero byte";
            return Err(InvalidSpec { field: "command", rule });
        }
        Ok(())
    }

    /// The file to execute, and its arguments from `argv[0]` on.
    pub fn file_and_argv(&self) -> (String, Vec<String>) {
        match self {
            Self::Shell(text) => ("/bin/sh".to_owned(), vec!["sh".to_owned(), "-c".to_owned(), text.clone()]),
            Self::Program { file, argv } if argv.is_empty() => (file.clone(), vec![file.clone()]),
            Self::Program { file, argv } => (file.clone(), argv.clone()),
        }
    }
}

/// How much a log holds: the file that is written and the older ones beside it, `stdout.1` being the youngest of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLimits {
    /// The most that one file holds, in bytes.
    pub bytes: u64,
    /// How many files there are at most, at least one.
    pub files: u32,
}

impl Default for LogLimits {
    /// Five times 10 MiB.
    fn default() -> Self {
        Self { bytes: 10 << 20, files: 5 }
    }
}

/// Namespaces on request. The pid, mount, ipc, uts and cgroup namespaces are always the container's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Namespaces {
    /// A network of its own, with nothing but an `lo` that is up. `false`: the host's network.
    pub network: bool,
}

/// Who is process 1 of the container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pid1 {
    /// Our init: runs the command as its child, reaps orphans, forwards signals to the command's process group.
    #[default]
    Init,
    /// The command itself. The kernel then ignores signals it has no handler for, SIGTERM included.
    Command,
}

/// What is at `/tmp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemporaryFiles {
    /// Memory of its own, charged to the container.
    Private {
        /// The most it holds; `None`: see [`ContainerSpec::temporary_bytes`].
        size_bytes: Option<u64>,
    },
    /// What the root file system has there: the host's own directory, as Mesos has it without an image.
    Host,
}

impl Default for TemporaryFiles {
    fn default() -> Self {
        Self::Private { size_bytes: None }
    }
}

/// Which system calls a container may make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemCalls {
    /// Those of [`chapada_isolation::seccomp`].
    #[default]
    Standard,
    /// Those of an operator's profile; see [`chapada_isolation::seccomp::Profile`].
    Profile(Filter),
    /// All. For an operator's exception only: capabilities still bound what they can do.
    Unconfined,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(id: &str) -> ContainerSpec {
        ContainerSpec::new(id, Path::new("/run/c"), "/sandbox", Command::Shell("true".into()))
    }

    #[test]
    fn ids_stay_plain_names() {
        assert_eq!(spec("0b6c").validate(), Ok(()));
        for bad in ["", ".", "..", "shims", "a/b", "a\nb", &"x".repeat(256)] {
            assert_eq!(spec(bad).validate().unwrap_err().field, "id", "{bad}");
        }
    }

    #[test]
    fn each_field_is_named_when_it_is_wrong() {
        let mut wrong = spec("a");
        wrong.sandbox = "relative".into();
        assert_eq!(wrong.validate().unwrap_err().field, "sandbox");
        let mut wrong = spec("a");
        wrong.environment = vec![("A=B".into(), "c".into())];
        assert_eq!(wrong.validate().unwrap_err().field, "environment");
        let mut wrong = spec("a");
        wrong.command = Command::Program { file: String::new(), argv: vec![] };
        assert_eq!(wrong.validate().unwrap_err().field, "command");
        let mut wrong = spec("a");
        wrong.runtime_dir = "/run/c/b".into();
        assert_eq!(wrong.validate().unwrap_err().field, "runtime_dir");
    }
}
